package conf

import (
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
	Want       string // "a whole number from -2147483648 to 2147483647"
	Origin     string // "broker.conf:12", "command line"; empty if unknown
}

func (e *ValueError) Error() string {
	where := ""
	if e.Origin != "" {
		where = e.Origin + ": "
	}
	return fmt.Sprintf("%s%s=%s: want %s", where, e.Key, Mask(e.Key, e.Value), e.Want)
}

// set parses s and stores it in the field. Blanks around a value never mean anything in these settings and are easily
// left behind in a file, so they are cut off.
func (f field) set(s string) error {
	s = strings.TrimSpace(s)
	want := ""
	switch f.value.Kind() {
	case reflect.String:
		if len(f.words) > 0 && !slices.Contains(f.words, s) && s != f.fallback {
			want = f.choice()
			break
		}
		f.value.SetString(s)
	case reflect.Bool:
		// Java takes everything but "true" for false: "yes" and "on" would switch off what they meant to switch on.
		switch strings.ToLower(s) {
		case "true":
			f.value.SetBool(true)
		case "false":
			f.value.SetBool(false)
		default:
			want = "true or false"
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, ok := number(s)
		if !ok && f.unit == "bytes" {
			n, ok = size(s)
		}
		if ok && !f.value.OverflowInt(n) {
			f.value.SetInt(n)
			break
		}
		want = fmt.Sprintf("a whole number from %d to %d", math.MinInt32, math.MaxInt32)
		if f.value.Type().Size() == 8 {
			want = "a whole number of at most 63 bits"
		}
		if f.unit == "bytes" {
			want += ", or one with a unit such as 512MB or 10GB"
		}
	case reflect.Float64:
		x, err := strconv.ParseFloat(s, 64)
		if err == nil && !math.IsNaN(x) && !math.IsInf(x, 0) {
			f.value.SetFloat(x)
			break
		}
		want = "a number such as 0.75"
	default:
		panic(fmt.Sprintf("conf: %s has a field of kind %s", f.key, f.value.Kind()))
	}
	if want != "" {
		return &ValueError{Key: f.key, Value: s, Want: want}
	}
	return nil
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
