package conf

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// ValueError tells that the value of a key could not be used.
type ValueError struct {
	Key, Value string
	Want       string // "a whole number from 0 to 65535"
	Origin     string // "broker.conf:12", "command line"; empty if unknown
}

func (e *ValueError) Error() string {
	where := ""
	if e.Origin != "" {
		where = e.Origin + ": "
	}
	return fmt.Sprintf("%s%s=%s: want %s", where, e.Key, Mask(e.Key, e.Value), e.Want)
}

func (f field) misfit(value string) error {
	return &ValueError{Key: f.key, Value: value, Want: f.want()}
}

// set parses s and stores it in the field. Blanks around a value never mean anything in these settings and are easily
// left behind in a file, so they are cut off.
func (f field) set(s string) error {
	s = strings.TrimSpace(s)
	v, ok := f.parse(s)
	if !ok || !f.takes(v) {
		return f.misfit(s)
	}
	f.value.Set(v)
	return nil
}

// parse returns s as a value of the field's type.
func (f field) parse(s string) (v reflect.Value, ok bool) {
	v = reflect.New(f.value.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
		return v, true
	case reflect.Bool:
		// Java takes everything but "true" for false: "yes" and "on" would switch off what they meant to switch on.
		on := strings.EqualFold(s, "true")
		v.SetBool(on)
		return v, on || strings.EqualFold(s, "false")
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, ok := number(s)
		if !ok && f.unit == "bytes" {
			n, ok = size(s)
		}
		v.SetInt(n)
		return v, ok && !v.OverflowInt(n)
	case reflect.Float64:
		x, err := strconv.ParseFloat(s, 64)
		v.SetFloat(x)
		return v, err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
	default:
		panic(fmt.Sprintf("conf: %s has a field of kind %s", f.key, v.Kind()))
	}
}

// takes reports whether v, a value of the field's type, fits its tags.
func (f field) takes(v reflect.Value) bool {
	if v.Kind() == reflect.String {
		return len(f.words) == 0 || slices.Contains(f.words, v.String()) || v.String() == f.fallback
	}
	return (f.min == "" || !less(v, f.bound(f.min))) && (f.max == "" || !less(f.bound(f.max), v))
}

// bound is the value of a tag min or max.
func (f field) bound(tag string) reflect.Value {
	v, ok := f.parse(tag)
	if !ok {
		panic(fmt.Sprintf("conf: %s has the bound %q", f.key, tag))
	}
	return v
}

func less(a, b reflect.Value) bool {
	if a.CanFloat() {
		return a.Float() < b.Float()
	}
	return a.Int() < b.Int()
}

// want says what the field takes: "a whole number from 1 to 60000 ms".
func (f field) want() string {
	switch f.value.Kind() {
	case reflect.String:
		return f.choice()
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number" + cmp.Or(f.span(), " such as 0.75")
	}
	want := "a whole number" + cmp.Or(f.span(), " of at most 63 bits")
	if f.unit == "bytes" {
		want += ", or one with a unit such as 512MB or 10GB"
	}
	return want
}

// span says between what a number may be, "" if that can be anything.
func (f field) span() string {
	low, high := f.min, f.max
	if f.value.Type().Size() == 4 {
		low, high = cmp.Or(low, strconv.Itoa(math.MinInt32)), cmp.Or(high, strconv.Itoa(math.MaxInt32))
	}
	switch {
	case low != "" && high != "":
		return " from " + low + " to " + f.counted(high)
	case low != "":
		return " of at least " + f.counted(low)
	case high != "":
		return " of at most " + f.counted(high)
	}
	return ""
}

// counted is a bound with its unit, which sizes such as 128MB have already.
func (f field) counted(bound string) string {
	if f.unit == "" || strings.HasSuffix(bound, "B") {
		return bound
	}
	return bound + " " + f.unit
}

// choice spells the words of f: "fast, safe, strict or nothing".
func (f field) choice() string {
	words := f.words
	if f.fallback == "" {
		words = append(slices.Clone(words), "nothing")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// text is the inverse of set.
func (f field) text() string {
	switch f.value.Kind() {
	case reflect.String:
		return f.value.String()
	case reflect.Bool:
		return strconv.FormatBool(f.value.Bool())
	case reflect.Float64:
		return strconv.FormatFloat(f.value.Float(), 'g', -1, 64)
	default:
		return strconv.FormatInt(f.value.Int(), 10)
	}
}

// number parses a decimal number or a product of such, as in 1024*1024*1024, which people write for sizes.
func number(s string) (int64, bool) {
	n := int64(1)
	for factor := range strings.SplitSeq(s, "*") {
		x, err := strconv.ParseInt(strings.TrimSpace(factor), 10, 64)
		if err != nil {
			return 0, false
		}
		product := n * x
		if n != 0 && (product/n != x || n == -1 && x == math.MinInt64) {
			return 0, false
		}
		n = product
	}
	return n, true
}

// size parses a whole number with a unit: K, M, G or T, which count 1024 each, with or without B or iB behind it.
func size(s string) (int64, bool) {
	digits := strings.TrimRight(s, "KMGTBikmgtb ")
	unit := strings.ToUpper(strings.TrimSpace(s[len(digits):]))
	n, err := strconv.ParseInt(digits, 10, 64)
	shift := map[string]int{"B": 0, "K": 10, "M": 20, "G": 30, "T": 40}
	if unit != "B" {
		unit = strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "I")
	}
	by, ok := shift[unit]
	return n << by, err == nil && ok && n >= 0 && n<<by>>by == n
}
