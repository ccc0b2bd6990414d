package filter

import (
	"os"
	"strings"
	"testing"
)

// unescape reads a field of testdata/java.tsv.
var unescape = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r", `\f`, "\f", `\0`, "\x00", `\1`, "\x01", `\2`, "\x02").Replace

// javaCase is a line of testdata/java.tsv.
type javaCase struct{ expression, properties, result string }

func javaCases(t testing.TB) []javaCase {
	t.Helper()
	data, err := os.ReadFile("testdata/java.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []javaCase
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			t.Fatalf("line %q has %d fields", line, len(f))
		}
		all = append(all, javaCase{unescape(f[1]), unescape(f[2]), f[0]})
	}
	return all
}

// Everything comes to what it comes to in Java.
func TestAsInJava(t *testing.T) {
	cases := javaCases(t)
	if len(cases) < 1500 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		x, err := Compile(c.expression, 0)
		got := "INVALID"
		if err == nil {
			if got = x.Evaluate([]byte(c.properties)).String(); got == "FAILED" {
				got = "ERROR"
			}
		}
		if got != c.result {
			t.Errorf("%q with %q: %s (%v), in Java %s", c.expression, c.properties, got, err, c.result)
		}
	}
}
