package conf_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/conf"
)

type limits struct {
	MaxMessageSize int32   `key:"maxMessageSize" default:"4194304" unit:"bytes" live:"true"`
	Ratio          float64 `key:"ratio" default:"0.75"`
}

type options struct {
	Name   string `key:"brokerName" default:"broker-a"`
	IP     string `key:"brokerIP1"`
	Port   int32  `key:"listenPort" default:"10911"`
	Stamp  int64  `key:"stamp" default:"-1"`
	Create bool   `key:"autoCreateTopicEnable" default:"true"`
	limits
	Secret string `key:"secretKey"`
	Path   string // no setting
}

func load(t *testing.T, strict bool, sources ...conf.Source) (options, *conf.Loaded, error) {
	t.Helper()
	var o options
	l, err := conf.Load(&o, conf.Broker, strict, sources...)
	return o, l, err
}

func file(t *testing.T, text string) conf.Source {
	t.Helper()
	src, err := conf.Parse("broker.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestDefaults(t *testing.T) {
	o, l, err := load(t, true)
	if err != nil {
		t.Fatal(err)
	}
	want := options{Name: "broker-a", Port: 10911, Stamp: -1, Create: true, limits: limits{4194304, 0.75}}
	if o != want {
		t.Errorf("got %+v, want %+v", o, want)
	}
	if got := l.Origin("listenPort"); got != "default" {
		t.Errorf("origin of listenPort: %q", got)
	}
}

func TestLaterSourcesWin(t *testing.T) {
	args, err := conf.Args([]string{"listenPort=3", "brokerName="})
	if err != nil {
		t.Fatal(err)
	}
	o, l, err := load(t, true, conf.One("environment", "brokerName", "env"),
		file(t, "# a comment\n\nbrokerName = file \nlistenPort=2\nstamp: 7\n"), args)
	if err != nil {
		t.Fatal(err)
	}
	if o.Name != "" || o.Port != 3 || o.Stamp != 7 {
		t.Errorf("got %+v", o)
	}
	for key, want := range map[string]string{"brokerName": "command line", "listenPort": "command line", "stamp": "broker.conf:5"} {
		if got := l.Origin(key); got != want {
			t.Errorf("origin of %s: got %q, want %q", key, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"listenPort", " 9876 ", "9876"},
		{"listenPort", "+5", "5"},
		{"maxMessageSize", "1024 * 1024*4", "4194304"},
		{"maxMessageSize", "512KB", "524288"},
		{"maxMessageSize", "1 GiB", "1073741824"},
		{"maxMessageSize", "3m", "3145728"},
		{"maxMessageSize", "7B", "7"},
		{"maxMessageSize", "2GB", ""},
		{"maxMessageSize", "99999999999T", ""},
		{"maxMessageSize", "GB", ""},
		{"maxMessageSize", "-1K", ""},
		{"maxMessageSize", "1iB", ""},
		{"listenPort", "1K", ""},
		{"stamp", "9223372036854775807", "9223372036854775807"},
		{"autoCreateTopicEnable", "FALSE", "false"},
		{"ratio", "1e-1", "0.1"},
		{"brokerName", "  a b  ", "a b"},
		{"listenPort", "2147483648", ""},
		{"listenPort", "", ""},
		{"listenPort", "0x10", ""},
		{"listenPort", "1_000", ""},
		{"listenPort", "10**2", ""},
		{"stamp", "4294967296*4294967296", ""},
		{"stamp", "-9223372036854775808*-1", ""},
		{"stamp", "-1*-9223372036854775808", ""},
		{"autoCreateTopicEnable", "yes", ""},
		{"autoCreateTopicEnable", "", ""},
		{"ratio", "NaN", ""},
		{"ratio", "much", ""},
	} {
		var o options
		conf.Defaults(&o)
		before := o
		err := conf.Set(&o, tt.key, tt.value)
		if tt.want == "" {
			if _, ok := errors.AsType[*conf.ValueError](err); !ok || o != before {
				t.Errorf("%s=%q: got error %v and %+v, want *ValueError and no change", tt.key, tt.value, err, o)
			}
			continue
		}
		if got, _ := conf.Value(&o, tt.key); err != nil || got != tt.want {
			t.Errorf("%s=%q: got %q, %v, want %q", tt.key, tt.value, got, err, tt.want)
		}
	}
}

func TestUnknownKeyOfSet(t *testing.T) {
	err := conf.Set(new(options), "Path", "x")
	if _, ok := errors.AsType[*conf.UnknownKeyError](err); !ok {
		t.Errorf("got %v", err)
	}
}

// bounded are options of which each tag and each kind of error is there once.
type bounded struct {
	Port  int32   `key:"port" default:"80" min:"0" max:"65535"`
	Wait  int32   `key:"wait" default:"5" unit:"ms" min:"1"`
	Size  int32   `key:"size" default:"1MB" unit:"bytes" min:"20" max:"128MB"`
	Cut   int32   `key:"cut" default:"0" unit:"bytes" max:"5"`
	Least int64   `key:"least" default:"0" unit:"bytes" min:"0"`
	Most  int64   `key:"most" default:"0" unit:"s" max:"10"`
	Any   int64   `key:"any" default:"-1"`
	Part  float64 `key:"part" default:"0.5" min:"0" max:"1"`
	Share float64 `key:"share" default:"2"`
	Mode  string  `key:"mode" default:"auto" oneOf:"auto on off"`
}

// Check wants least to be at least size.
func (o *bounded) Check() error {
	if o.Least != 0 && o.Least < int64(o.Size) {
		return conf.Misfit(o, "least", "0 or at least size, %d bytes", o.Size)
	}
	return nil
}

func TestRanges(t *testing.T) {
	const sizes = ", or one with a unit such as 512MB or 10GB"
	for setting, want := range map[string]string{
		"port=0": "", "port=65535": "", "wait=2147483647": "", "size=20": "", "size=128MB": "", "size=1024*1024": "", "cut=-7": "", "least=1000GB": "",
		"most=-9223372036854775808": "", "any=9223372036854775807": "", "part=0": "", "part=1.0": "", "share=-1e9": "",
		"port=-1":         "a whole number from 0 to 65535",
		"port=65536":      "a whole number from 0 to 65535",
		"port=x":          "a whole number from 0 to 65535",
		"wait=0":          "a whole number from 1 to 2147483647 ms",
		"wait=2147483648": "a whole number from 1 to 2147483647 ms",
		"size=19":         "a whole number from 20 to 128MB" + sizes,
		"size=134217729":  "a whole number from 20 to 128MB" + sizes,
		"cut=6":           "a whole number from -2147483648 to 5 bytes" + sizes,
		"least=-1":        "a whole number of at least 0 bytes" + sizes,
		"most=11":         "a whole number of at most 10 s",
		"any=1e3":         "a whole number of at most 63 bits",
		"part=1.01":       "a number from 0 to 1",
		"part=-0.1":       "a number from 0 to 1",
		"share=NaN":       "a number such as 0.75",
	} {
		var o bounded
		conf.Defaults(&o)
		before := o
		key, value, _ := strings.Cut(setting, "=")
		err := conf.Set(&o, key, value)
		if want == "" {
			if err != nil || conf.Check(&o) != nil {
				t.Errorf("%s: %v, %v", setting, err, conf.Check(&o))
			}
			continue
		}
		if want = setting + ": want " + want; err == nil || err.Error() != want || o != before {
			t.Errorf("got %v and %+v, want %s and no change", err, o, want)
		}
		if _, err := conf.Load(&o, conf.Broker, false, file(t, "# bounds\n"+setting)); err == nil || err.Error() != "broker.conf:2: "+want {
			t.Errorf("Load: got %v, want the same with the place", err)
		}
	}
}

// What code puts into the struct is held against the same tags.
func TestCheck(t *testing.T) {
	var o bounded
	conf.Defaults(&o)
	o.Port, o.Part, o.Mode, o.Least = -5, 7, "maybe", 1
	const want = "port=-5: want a whole number from 0 to 65535\npart=7: want a number from 0 to 1\nmode=maybe: want auto, on or off"
	if err := conf.Check(&o); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	o.Port, o.Part, o.Mode = 1, 0, "on"
	if err := conf.Check(&o); err == nil || err.Error() != "least=1: want 0 or at least size, 1048576 bytes" {
		t.Errorf("got %v", err)
	}
	o.Least = 0
	if err := conf.Check(&o); err != nil {
		t.Error(err)
	}
}

// What values have to do with each other is looked at when all of them are known.
func TestLoadChecksRelations(t *testing.T) {
	var o bounded
	if _, err := conf.Load(&o, conf.Broker, true, file(t, "least=1KB\nsize=1000\n")); err != nil {
		t.Error(err)
	}
	_, err := conf.Load(&o, conf.Broker, false, file(t, "\nleast=1KB\n"))
	if err == nil || err.Error() != "broker.conf:2: least=1024: want 0 or at least size, 1048576 bytes" {
		t.Errorf("got %v", err)
	}
	if _, err = conf.Load(&o, conf.Broker, false, file(t, "least=1KB\nport=x\n")); err == nil || strings.Contains(err.Error(), "least") {
		t.Errorf("got %v, want nothing but the value that cannot be read", err)
	}
}

func TestBadTagsPanic(t *testing.T) {
	for name, o := range map[string]any{
		"default": &struct {
			N int `key:"n" default:"0" min:"1"`
		}{},
		"min": &struct {
			N int `key:"n" default:"0" min:"few"`
		}{},
		"max": &struct {
			N int32 `key:"n" default:"0" max:"3000000000"`
		}{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			conf.Defaults(o)
		}()
	}
}

func TestWords(t *testing.T) {
	var o struct {
		Mode  string `key:"mode" default:"auto" oneOf:"auto on off"`
		Maybe string `key:"maybe" default:"" oneOf:"fast safe"`
	}
	conf.Defaults(&o)
	for setting, want := range map[string]string{
		"mode=off": "", "mode= on ": "", "maybe=": "", "maybe=safe": "",
		"mode=":      "mode=: want auto, on or off",
		"mode=On":    "mode=On: want auto, on or off",
		"maybe=slow": "maybe=slow: want fast, safe or nothing",
	} {
		key, value, _ := strings.Cut(setting, "=")
		err := conf.Set(&o, key, value)
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: %v", setting, err)
		}
	}
}

// All mistakes of a file are told at once, each with its place.
func TestBadValues(t *testing.T) {
	_, _, err := load(t, false, file(t, "listenPort=ten\nautoCreateTopicEnable=on\n"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"broker.conf:1: listenPort=ten: want a whole number from -2147483648 to 2147483647",
		"broker.conf:2: autoCreateTopicEnable=on: want true or false",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
}

func TestDoubts(t *testing.T) {
	const text = "brokerIp1=1.2.3.4\nlisenPort=1\nzzzzzz=1\nkvConfigPath=x\nlistenPort=1\nlistenPort=2\nbrokerip=1"
	o, l, err := load(t, false, file(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if o.Port != 2 {
		t.Errorf("listenPort: got %d, want the last", o.Port)
	}
	want := []conf.Doubt{
		{Origin: "broker.conf:1", Key: "brokerIp1", Message: "unknown key brokerIp1, did you mean brokerIP1?"},
		{Origin: "broker.conf:2", Key: "lisenPort", Message: "unknown key lisenPort, did you mean listenPort?"},
		{Origin: "broker.conf:3", Key: "zzzzzz", Message: "unknown key zzzzzz"},
		{Origin: "broker.conf:4", Key: "kvConfigPath", Message: "unknown key kvConfigPath: it belongs to the name server"},
		{Origin: "broker.conf:6", Key: "listenPort", Message: "key listenPort was set before, at broker.conf:5; this one counts"},
		{Origin: "broker.conf:7", Key: "brokerip", Message: "unknown key brokerip, did you mean brokerIP1?"},
	}
	if len(l.Doubts) != len(want) {
		t.Fatalf("got %+v", l.Doubts)
	}
	for i, d := range l.Doubts {
		if d != want[i] {
			t.Errorf("got %+v\nwant %+v", d, want[i])
		}
	}
	if _, _, err := load(t, true, file(t, text)); err == nil || strings.Count(err.Error(), "\n") != len(want)-1 {
		t.Errorf("strict: got %v", err)
	}
}

func TestKeysWithoutEffect(t *testing.T) {
	_, l, err := load(t, true, file(t, "sendMessageThreadPoolNums=16\nsecretKey=abc\nrmqAddressServerDomain=x\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := l.Print(&out, conf.Broker, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"listenPort=10911 ", "# default\n", "secretKey=****** ", "# broker.conf:2\n",
		"sendMessageThreadPoolNums=16 ", "# broker.conf:1, no effect in Skua: Skua has no thread pools", "pullMessageThreadPoolNums=20 ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%.2000s", want, out.String())
		}
	}
	var log strings.Builder
	l.Log(slog.New(slog.NewTextHandler(&log, nil)))
	if !strings.Contains(log.String(), `keys=sendMessageThreadPoolNums because="Skua has no thread pools: a`) || strings.Contains(log.String(), "abc") {
		t.Errorf("got %s", &log)
	}
	out.Reset()
	if err := l.Print(&out, conf.Broker, false); err != nil || strings.Contains(out.String(), "ThreadPool") {
		t.Errorf("got %v, %s", err, &out)
	}
}

func TestProperties(t *testing.T) {
	o := options{Secret: "abc", Port: 5}
	got := conf.Properties(&o, conf.Broker)
	for _, want := range []string{"listenPort=5\n", "secretKey=******\n", "brokerIP1=\n", "pullMessageThreadPoolNums=20\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "listenPort="); n != 1 {
		t.Errorf("listenPort is there %d times", n)
	}
	if strings.Contains(conf.Properties(&o, conf.Nameserver), "pullMessageThreadPoolNums") {
		t.Error("the name server has a key of the broker")
	}
}

func TestLive(t *testing.T) {
	for key, want := range map[string][2]bool{"maxMessageSize": {true, true}, "listenPort": {false, true}, "nothing": {false, false}} {
		if live, known := conf.Live(new(options), key); live != want[0] || known != want[1] {
			t.Errorf("%s: got %v, %v", key, live, known)
		}
	}
}

func TestDerive(t *testing.T) {
	var o options
	l, err := conf.Load(&o, conf.Broker, true)
	if err != nil {
		t.Fatal(err)
	}
	l.Derive(&o, "brokerIP1", "10.0.0.1", "interface eth0")
	if got := l.Origin("brokerIP1"); got != "interface eth0" || o.IP != "10.0.0.1" {
		t.Errorf("got %q, %q", got, o.IP)
	}
}
