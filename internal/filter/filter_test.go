package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func props(pairs ...string) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = fmt.Appendf(b, "%s\x01%s\x02", pairs[i], pairs[i+1])
	}
	return b
}

func TestErrorsTellWhereAndWhat(t *testing.T) {
	for expression, want := range map[string]string{
		"":                        "line 1, column 1: found the end, want a property, a string, a number, TRUE, FALSE, NULL, NOT, a sign or (",
		"a = ":                    "line 1, column 5: found the end, want a property",
		"a == 1":                  `line 1, column 4: found "=", want a property`,
		"a != 1":                  "line 1, column 3: found !=, want <>",
		"a =\n  'x":               "line 2, column 3: the string that begins here has no end",
		"größe = 1":               `line 1, column 3: found "ö", which begins nothing`,
		"a = \"x\"":               "line 1, column 5: found a double quote",
		"a = 'ä' #":               `line 1, column 9: found "#"`,
		"a = 1 /* x":              "line 1, column 7: the comment that begins here has no end",
		"a IN (1)":                `line 1, column 7: found "1", want a string in single quotes`,
		"a IN ('x' 'y')":          `line 1, column 11: found "'y'", want , or ) in the list`,
		"a IN 'x'":                `line 1, column 6: found "'x'", want ( and a list of strings`,
		"1 IN ('x')":              "line 1, column 3: found 1 before IN, want a property",
		"NOT a in ('x')":          "line 1, column 7: found a condition before in, want a property",
		"a BETWEEN 1, 2":          `line 1, column 12: found ",", want AND between the ends of the range`,
		"a BETWEEN 3 AND 1":       "line 1, column 3: BETWEEN 3 AND 1 is an empty range",
		"a BETWEEN 'a' AND 2":     `line 1, column 3: "a" cannot be compared with BETWEEN: want a number or a property`,
		"a > 'x'":                 `line 1, column 3: "x" cannot be compared with >`,
		"a >= TRUE":               "line 1, column 3: TRUE cannot be compared with >=",
		"(a = 1) < 1":             "line 1, column 9: a condition cannot be compared with <",
		"a = NULL":                "line 1, column 3: NULL cannot be compared: want IS NULL or IS NOT NULL",
		"TRUE = 'x'":              `line 1, column 6: TRUE cannot be compared with "x"`,
		"a = 1 AND 5":             "line 1, column 11: found 5, which is no condition",
		"-a":                      "line 1, column 1: found a value, which is no condition",
		"a IS 5":                  `line 1, column 6: found "5", want NULL or NOT NULL`,
		"a IS NOT 5":              `line 1, column 10: found "5", want NULL`,
		"a NOT 5":                 `line 1, column 7: found "5", want IN, BETWEEN, CONTAINS, STARTSWITH or ENDSWITH`,
		"(a = 1":                  "line 1, column 7: found the end, want ), or AND, OR or a comparison before it",
		"a = 0.0":                 `line 1, column 5: "0.0" must be at least`,
		"a = 1e400":               `line 1, column 5: "1e400" must be at least`,
		"a = 9223372036854775808": `line 1, column 5: "9223372036854775808" is more than 9223372036854775807`,
		"a CONTAINS b":            `line 1, column 12: found "b", want a string in single quotes`,
	} {
		_, err := Compile(expression, 0)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", expression, err, want)
		}
	}
}

func TestIgnored(t *testing.T) {
	for expression, want := range map[string]string{
		"a = 1":             "",
		"a = 1 -- x\n":      "",
		"a = 1 b = 2":       "b = 2",
		"a LIKE '%x'":       "LIKE '%x'",
		"a = 05":            "5",
		"(a = 1) ) /* x ":   ") /* x ",
		" a = 1 /* y */ , ": ", ",
	} {
		x, err := Compile(expression, 0)
		if err != nil || x.Ignored() != want || x.String() != expression {
			t.Errorf("%q: %q (%v), want %q", expression, x.Ignored(), err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	names := func(n int) string {
		var parts []string
		for i := range n {
			parts = append(parts, fmt.Sprintf("p%d = 1", i))
		}
		return strings.Join(parts, " OR ")
	}
	nested := func(n int, open, end string) string {
		return strings.Repeat(open, n) + "a = 1" + strings.Repeat(end, n)
	}
	for _, c := range []struct{ expression, want string }{
		{"a = '" + strings.Repeat("x", MaxLength-6) + "'", ""},
		{"a = '" + strings.Repeat("x", MaxLength-5) + "'", "line 1, column 1: the expression has 65537 bytes, at most 65536 are allowed"},
		{names(maxNames), ""},
		{names(maxNames + 1), `line 1, column 695: "p64" is one property too many, at most 64 different ones are allowed`},
		{nested(maxDepth-1, "(", ")"), ""},
		{nested(maxDepth, "(", ")"), "line 1, column 201: parentheses, NOT and signs stand more than 200 deep inside one another"},
		{nested(maxDepth, "NOT ", ""), "line 1, column 801: parentheses, NOT and signs stand more than 200 deep inside one another"},
		{nested(maxDepth, "- ", ""), "line 1, column 401: parentheses, NOT and signs stand more than 200 deep inside one another"},
	} {
		_, err := Compile(c.expression, 0)
		if got := fmt.Sprint(err); got != c.want && (err != nil || c.want != "") {
			t.Errorf("%.20q...: %s, want %s", c.expression, got, c.want)
		}
	}
}

func TestCost(t *testing.T) {
	for expression, want := range map[string]int{
		"TRUE":                       0,
		"a":                          0,
		"a = 1":                      1,
		"a = 1 AND (b > 2 OR NOT c)": 2,
		"a IS NOT NULL":              1,
		"a BETWEEN 1 AND 2":          2,
		"a CONTAINS 'x'":             4,
		"a IN ('x')":                 1,
		"a IN ('" + strings.Repeat("x','", 99) + "y')":                                  1, // the same again does not count
		"a IN ('1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16')": 2,
	} {
		x, err := Compile(expression, 0)
		if err != nil || x.Cost() != want {
			t.Errorf("%.30q: %d, %v, want %d", expression, x.Cost(), err, want)
		}
	}
	many := "a = 1" + strings.Repeat(" OR a = 2", 99)
	if _, err := Compile(many, 100); err != nil {
		t.Error(err)
	}
	want := "line 1, column 1: the expression costs 100, at most 99 are allowed: "
	if _, err := Compile(many, 99); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

const fiveTerms = "TAGS IN ('TagA', 'TagB') AND amount BETWEEN 10 AND 5000 AND region = 'eu-west' AND (vip = TRUE OR score >= 99.5)"

// usual is what a message usually has.
var usual = props("KEYS", "order-4711 customer-12", "UNIQ_KEY", "0A00000200002A9F00000000000003E8", "CLUSTER", "DefaultCluster",
	"amount", "1299", "region", "eu-west", "vip", "false", "score", "99.75", "TAGS", "TagA", "WAIT", "true")

func TestMatchDoesNotAllocate(t *testing.T) {
	long := props("a", strings.Repeat("1", 300), "b", "not a number", "c", "-1e308")
	for _, c := range []struct {
		expression string
		properties []byte
		want       Result
	}{
		{fiveTerms, usual, True},
		{"a > 1.5", long, True},
		{"a > b", long, Failed},
		{"c < 5.5 AND a CONTAINS '11' AND b NOT IN ('x', 'y')", long, True},
		{"-a = 5 OR NOT (c = b)", long, True},
	} {
		x, err := Compile(c.expression, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := x.Evaluate(c.properties); got != c.want {
			t.Errorf("%s: %v, want %v", c.expression, got, c.want)
		}
		if n := testing.AllocsPerRun(100, func() { x.Match(c.properties) }); n != 0 {
			t.Errorf("%s: %g allocations", c.expression, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	x, err := Compile(fiveTerms, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !x.Match(usual) {
			b.Fatal("it does not match")
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(fiveTerms, 0); err != nil {
			b.Fatal(err)
		}
	}
}
