package conf_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/magiconair/properties"

	"github.com/skuamq/skua/internal/conf"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []conf.Pair
	}{
		{"separators", "a=1\nb:2\nc 3\n  d = 4\ne\nf=\n", []conf.Pair{{"a", "1", 1}, {"b", "2", 2}, {"c", "3", 3}, {"d", "4", 4}, {"e", "", 5}, {"f", "", 6}}},
		{"comments", "#a=1\n ! b=2\n\n \t\nc=3#4\n", []conf.Pair{{"c", "3#4", 5}}},
		{"continued", "a=1,\\\n   2\nb=3", []conf.Pair{{"a", "1,2", 1}, {"b", "3", 3}}},
		{"continued under Windows", "a=1,\\\r\n   2\r\nb=3\r\n", []conf.Pair{{"a", "1,2", 1}, {"b", "3", 3}}},
		{"a comment cannot be continued", "# a \\\nb=1\n", []conf.Pair{{"b", "1", 2}}},
		{"escaped backslash at the end", "a=C:\\\\\nb=1\n", []conf.Pair{{"a", `C:\`, 1}, {"b", "1", 2}}},
		{"backslash at the very end", "a=1\\", []conf.Pair{{"a", "1", 1}}},
		{"escapes", `a\ b=\u4e2d\t${x}` + "\n", []conf.Pair{{"a b", "中\t${x}", 1}}},
		{"latin 1", "a=\xe9\n", []conf.Pair{{"a", "é", 1}}},
		{"byte order mark", "\xef\xbb\xbfa=1", []conf.Pair{{"a", "1", 1}}},
		{"duplicates are kept", "a=1\na=2", []conf.Pair{{"a", "1", 1}, {"a", "2", 2}}},
		{"delay levels", "messageDelayLevel=1s 5s 1h", []conf.Pair{{"messageDelayLevel", "1s 5s 1h", 1}}},
		{"name servers", "namesrvAddr=a:1;b:2", []conf.Pair{{"namesrvAddr", "a:1;b:2", 1}}},
	} {
		src, err := conf.Parse("x", []byte(tt.text))
		if err != nil || !slices.Equal(src.Pairs, tt.want) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, src.Pairs, err, tt.want)
		}
	}
}

func TestParseNamesTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"a=1\n\n=2\n":    `broker.conf:3: cannot read "=2", want key=value`,
		"a=\\u12\n":      `broker.conf:1: cannot read "a=\\u12", want key=value`,
		"a=1\nb=\\uXYZW": `broker.conf:2: cannot read`,
	} {
		if _, err := conf.Parse("broker.conf", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestArgs(t *testing.T) {
	src, err := conf.Args([]string{"a=1", "b= x=y", "c="})
	if want := []conf.Pair{{"a", "1", 0}, {"b", " x=y", 0}, {"c", "", 0}}; err != nil || !slices.Equal(src.Pairs, want) {
		t.Errorf("got %+v, %v", src.Pairs, err)
	}
	for _, bad := range []string{"a", "=1", ""} {
		if _, err := conf.Args([]string{bad}); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestRewrite(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		changes    []conf.Pair
		want       string
	}{
		{"in place", "# top\na=1\nb = 2 \\\n  3\n# end\n", []conf.Pair{{Key: "b", Value: "x"}}, "# top\na=1\nb=x\n# end\n"},
		{"the last that counts", "a=1\na=2\n", []conf.Pair{{Key: "a", Value: "3"}}, "a=1\na=3\n"},
		{"appended", "a=1", []conf.Pair{{Key: "b", Value: "2"}}, "a=1\nb=2\n"},
		{"appended to an open line", "a=1\\", []conf.Pair{{Key: "b", Value: "2"}}, "a=1\nb=2\n"},
		{"appended to a line continued by a blank one", "a=1\\\n\n", []conf.Pair{{Key: "b", Value: "2"}}, "a=1\\\n\nb=2\n"},
		{"into nothing", "", []conf.Pair{{Key: "b", Value: `C:\x`}}, "b=C:\\\\x\n"},
		{"escaped", "", []conf.Pair{{Key: "a b", Value: " 中\n😀"}}, "a\\ b=\\ \\u4e2d\\n\\ud83d\\ude00\n"},
	} {
		if got := string(conf.Rewrite([]byte(tt.text), tt.changes)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzParse compares with the library that reads the file as a whole, which tells no line numbers, and checks that a
// setting put into any file is read back from it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a=1\nb:2\n", "a\\\n b=1", "# x\\\na=\\u0041\\", "a=1\r\nb=2\rc", "=", "\\", "a\\=b = c\\:d", "\\\n\n"} {
		f.Add(s)
	}
	whole := properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	f.Fuzz(func(t *testing.T, text string) {
		src, err := conf.Parse("x", []byte(text))
		rewritten := conf.Rewrite([]byte(text), []conf.Pair{{Key: "k y", Value: " v\\"}})
		if err != nil {
			return
		}
		again, err := conf.Parse("x", rewritten)
		if i := slices.IndexFunc(again.Pairs, func(p conf.Pair) bool { return p.Key == "k y" && p.Value == " v\\" }); err != nil || i < 0 {
			t.Errorf("%q: rewritten to %q: %+v, %v", text, rewritten, again.Pairs, err)
		}
		if strings.Contains(text, "\r") || strings.HasPrefix(text, "\xef\xbb\xbf") || strings.HasSuffix(text, `\`) {
			return // where the library differs from Java
		}
		p, err := whole.LoadBytes([]byte(text))
		if err != nil {
			return
		}
		got := map[string]string{}
		for _, pair := range src.Pairs {
			got[pair.Key] = pair.Value
		}
		for _, k := range p.Keys() {
			if v, _ := p.Get(k); got[k] != v {
				t.Errorf("%q: %q is %q, want %q", text, k, got[k], v)
			}
		}
	})
}

// FuzzLoad looks for a file that breaks loading.
func FuzzLoad(f *testing.F) {
	f.Add("listenPort=1*2\nratio=1\n")
	f.Add("brokerIp1=\nautoCreateTopicEnable=x")
	f.Fuzz(func(t *testing.T, text string) {
		src, err := conf.Parse("x", []byte(text))
		if err != nil {
			return
		}
		var o, again options
		l, err := conf.Load(&o, conf.Broker, false, src)
		if err != nil {
			return
		}
		for _, s := range l.Settings {
			if s.Ignored {
				continue
			}
			if err := conf.Set(&again, s.Key, s.Value); err != nil {
				t.Fatal(err)
			}
		}
		if o != again {
			t.Errorf("%+v came back as %+v", o, again)
		}
	})
}
