package conf

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
)

// Setting is one key of a server with its value and where that came from.
type Setting struct {
	Key, Value string
	Origin     string // "default", "broker.conf:12", "environment", "command line", ...
	Ignored    bool   // known to RocketMQ, without effect in Skua
}

// Doubt is something in the configuration that is probably a mistake but stops nothing.
type Doubt struct {
	Origin  string // where it stands
	Key     string
	Message string // what is wrong and what may have been meant
}

// Loaded tells what Load found.
type Loaded struct {
	Settings []Setting // all keys of the server, then RocketMQ's others
	Doubts   []Doubt   // unknown keys, keys that are set twice
}

// Load sets the options struct that dst points to to its defaults and then to what the sources say, later ones winning.
// All values that do not fit their tags are reported together, as *ValueError joined; if there are none, the struct's
// method Check has its say. Unknown and duplicate keys are listed in the result; if strict is true they are errors.
func Load(dst any, role Role, strict bool, sources ...Source) (*Loaded, error) {
	Defaults(dst)
	l := loading{role: role, at: map[string]int{}}
	for f := range fields(dst) {
		l.at[f.key] = len(l.Settings)
		l.Settings = append(l.Settings, Setting{Key: f.key, Origin: "default"})
	}
	for _, src := range sources {
		l.take(dst, src)
	}
	if len(l.errs) == 0 {
		if err := checkBeyondTags(dst); err != nil {
			l.fail(err)
		}
	}
	if strict {
		for _, d := range l.Doubts {
			l.errs = append(l.errs, fmt.Errorf("%s: %s", d.Origin, d.Message))
		}
	}
	if err := errors.Join(l.errs...); err != nil {
		return nil, err
	}
	for f := range fields(dst) {
		l.Settings[l.at[f.key]].Value = f.text()
	}
	return &l.Loaded, nil
}

// loading is the state of a Load.
type loading struct {
	Loaded
	role Role
	at   map[string]int // key to its place in Settings
	errs []error
}

func (l *loading) take(dst any, src Source) {
	seen := map[string]string{}
	for _, p := range src.Pairs {
		origin := src.origin(p)
		if before, ok := seen[p.Key]; ok {
			l.doubt(origin, p.Key, fmt.Sprintf("key %s was set before, at %s; this one counts", p.Key, before))
		}
		if _, ok := l.at[p.Key]; ok || l.role.knownToJava(p.Key) {
			seen[p.Key] = origin
		}
		l.one(dst, p, origin)
	}
}

func (l *loading) one(dst any, p Pair, origin string) {
	f, ok := lookup(dst, p.Key)
	if !ok {
		l.foreign(p, origin)
		return
	}
	l.Settings[l.at[p.Key]].Origin = origin
	if err := f.set(p.Value); err != nil {
		l.fail(err)
	}
}

// fail notes an error and, if it is about a value, where that came from.
func (l *loading) fail(err error) {
	if bad, ok := errors.AsType[*ValueError](err); ok {
		bad.Origin = l.Origin(bad.Key)
	}
	l.errs = append(l.errs, err)
}

// foreign takes a key that the options struct does not have.
func (l *loading) foreign(p Pair, origin string) {
	if l.role.knownToJava(p.Key) {
		s := Setting{Key: p.Key, Value: strings.TrimSpace(p.Value), Origin: origin, Ignored: true}
		if i, ok := l.at[p.Key]; ok {
			l.Settings[i] = s
			return
		}
		l.at[p.Key] = len(l.Settings)
		l.Settings = append(l.Settings, s)
		return
	}
	message := "unknown key " + p.Key
	if other, ok := l.role.otherRole(p.Key); ok {
		message += fmt.Sprintf(": it belongs to the %s", other)
	} else if near := nearest(p.Key, l.candidates()); near != "" {
		message += fmt.Sprintf(", did you mean %s?", near)
	}
	l.doubt(origin, p.Key, message)
}

func (l *loading) doubt(origin, key, message string) {
	l.Doubts = append(l.Doubts, Doubt{Origin: origin, Key: key, Message: message})
}

// candidates are the keys that a misspelt one may have meant; those that have an effect come first and win a tie.
func (l *loading) candidates() []string {
	var keys []string
	for _, s := range l.Settings {
		if !s.Ignored {
			keys = append(keys, s.Key)
		}
	}
	for _, k := range l.role.javaKeys() {
		keys = append(keys, k.name)
	}
	return keys
}

// Derive gives the setting of key a value that was found out rather than configured, such as the host name, and notes
// origin for it. It panics if the options struct that dst points to has no such key or the value does not fit.
func (l *Loaded) Derive(dst any, key, value, origin string) {
	if err := Set(dst, key, value); err != nil {
		panic(fmt.Sprintf("conf: derived setting: %v", err))
	}
	i := slices.IndexFunc(l.Settings, func(s Setting) bool { return s.Key == key })
	l.Settings[i].Value, _ = Value(dst, key)
	l.Settings[i].Origin = origin
}

// Origin returns where the value of key came from, "default" if it was not set.
func (l *Loaded) Origin(key string) string {
	if s, ok := l.find(key); ok {
		return s.Origin
	}
	return "default"
}

// Warn writes a warning for each doubt.
func (l *Loaded) Warn(log *slog.Logger) {
	for _, d := range l.Doubts {
		log.Warn("configuration: "+d.Message, "at", d.Origin)
	}
}

// Log is Warn and one line for each reason for which keys that were set have no effect.
func (l *Loaded) Log(log *slog.Logger) {
	l.Warn(log)
	var ignored []string
	for _, s := range l.Settings {
		if s.Ignored {
			ignored = append(ignored, s.Key)
		}
	}
	for _, idle := range byReason(ignored) {
		log.Info("configuration: these keys of RocketMQ have no effect in Skua", "keys", strings.Join(idle.Keys, " "), "because", idle.Why)
	}
}

// Print writes a line for each key that Skua acts on: key=value and, as a comment, its origin. With all, RocketMQ's
// other keys follow. Values that look secret are masked.
func (l *Loaded) Print(w io.Writer, role Role, all bool) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range l.complete(role) {
		if s.Ignored && !all {
			continue
		}
		origin := s.Origin
		if s.Ignored {
			origin += ", no effect in Skua"
			if why := whyIdle(s.Key); why != "" {
				origin += ": " + why
			}
		}
		// Not to be taken for the end of a column or of the line.
		value := strings.NewReplacer("\t", " ", "\n", " ").Replace(Mask(s.Key, s.Value))
		if _, err := fmt.Fprintf(tw, "%s=%s\t# %s\n", s.Key, value, origin); err != nil {
			return err
		}
	}
	return tw.Flush()
}

func (l *Loaded) complete(role Role) []Setting {
	all := slices.Clone(l.Settings)
	for _, k := range role.javaKeys() {
		if _, ok := l.find(k.name); !ok {
			all = append(all, Setting{Key: k.name, Value: k.fallback, Origin: "default", Ignored: true})
		}
	}
	return all
}

func (l *Loaded) find(key string) (Setting, bool) {
	i := slices.IndexFunc(l.Settings, func(s Setting) bool { return s.Key == key })
	if i < 0 {
		return Setting{}, false
	}
	return l.Settings[i], true
}
