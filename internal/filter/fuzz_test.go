package filter_test

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/filter"
	"github.com/skuamq/skua/internal/record"
)

// FuzzExpression compiles and evaluates anything. What an expression is part of has the result that logic gives it, and
// properties are found that package record finds.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{"a = 1", "a > b OR NOT (c IN ('x', 'y') AND a IS NULL)", "a BETWEEN -1 AND 5.5e1", "a NOT CONTAINS 'it''s'",
		"a = TRUE /* x */ -- y\n", "--5 = a", "a LIKE 'x'", "((a)) <> 5L", "a STARTSWITH '' OR a", "-(a = 1) NOT BETWEEN b AND 0"} {
		f.Add(seed, "a\x01 7 \x02b\x01x\x02c\x01", "5")
	}
	f.Fuzz(func(t *testing.T, expression, properties, value string) {
		checkLookup(t, properties)
		checkNumbers(t, value)
		x, err := filter.Compile(expression, 1000)
		if err != nil {
			return
		}
		r := x.Evaluate([]byte(properties))
		if ignored := x.Ignored(); ignored != "" {
			checkSame(t, strings.TrimSuffix(expression, ignored), properties, r)
			return
		}
		if strings.Contains(expression, "--") {
			return // what is added to it could be in a comment, or end one
		}
		opposite := map[filter.Result]filter.Result{filter.True: filter.False, filter.False: filter.True, filter.Null: filter.Null, filter.Failed: filter.Failed}
		checkSame(t, "("+expression+")", properties, r)
		checkSame(t, "NOT ("+expression+")", properties, opposite[r])
		checkSame(t, expression+" OR FALSE", properties, r)
		checkSame(t, "TRUE AND ("+expression+")", properties, r)
	})
}

// checkSame checks that an expression comes to want. It may be too deep or costly now.
func checkSame(t *testing.T, expression, properties string, want filter.Result) {
	t.Helper()
	x, err := filter.Compile(expression, 0)
	if err != nil {
		if strings.Contains(err.Error(), "deep inside") || strings.Contains(err.Error(), "are allowed") {
			return
		}
		t.Fatalf("%q: %v", expression, err)
	}
	if got := x.Evaluate([]byte(properties)); got != want {
		t.Fatalf("%q with %q: %v, want %v", expression, properties, got, want)
	}
}

// checkLookup compares what an expression finds with what package record does.
func checkLookup(t *testing.T, properties string) {
	for _, name := range []string{"a", "b", "c"} {
		v, ok := record.Property([]byte(properties), name)
		x, err := filter.Compile(name+" = '"+strings.ReplaceAll(string(v), "'", "''")+"'", 0)
		if err != nil {
			continue // the value is too long
		}
		want := filter.True
		if !ok {
			want = filter.Null
		}
		if got := x.Evaluate([]byte(properties)); got != want {
			t.Fatalf("%s in %q: %v, want %v", name, properties, got, want)
		}
	}
}

// checkNumbers compares how numbers are read with what package strconv makes of them, where both mean the same.
func checkNumbers(t *testing.T, value string) {
	properties := []byte("a\x01" + value)
	if strings.ContainsAny(value, "\x01\x02") || value == "" {
		return
	}
	is := func(expression string) filter.Result {
		x, err := filter.Compile(expression, 0)
		if err != nil {
			t.Fatal(err)
		}
		return x.Evaluate(properties)
	}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > math.MinInt64 {
		other := strconv.FormatInt(max(n, -n), 10)
		if n < 0 {
			other = "-" + other
		}
		want := filter.True
		if is("a = "+other+" AND a < 9223372036854775807") != want && n != math.MaxInt64 {
			t.Fatalf("%q is not %s", value, other)
		}
	} else if is("a <> 5000000000") != filter.Failed && strings.Trim(value, "0123456789+-") == "" {
		t.Fatalf("%q is a number", value)
	}
	if n, err := strconv.ParseFloat(value, 64); err == nil && !strings.ContainsAny(value, "xX_iInN") {
		want := filter.False
		if n > 0.5 {
			want = filter.True
		}
		if got := is("a > 0.5"); got != want {
			t.Fatalf("%q, which is %g, > 0.5: %v", value, n, got)
		}
	}
}
