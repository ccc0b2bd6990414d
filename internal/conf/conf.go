// Package conf fills the options structs of the servers from Java-style configuration: property files, the environment
// and settings of the command line, under RocketMQ's own key names. It hides the properties syntax, the conversion of
// values, where each value came from, which of RocketMQ's keys Skua does not act on, and what a misspelt key probably
// meant. It opens no file and keeps no state.
//
// An options struct looks like this; embedded structs count as part of the one that embeds them:
//
//	type Options struct {
//		// Port for clients.
//		ListenPort int32 `key:"listenPort" default:"10911" min:"0" max:"65535"`
//		// How long messages are kept.
//		FileReservedTime int32 `key:"fileReservedTime" default:"72" unit:"h" min:"0" live:"true"`
//	}
//
// The tag key is the name, default the value that Defaults sets, unit what numbers count (bytes may be written with a
// unit, as 10GB), min and max what a number may be at least and at most, written as a value is, oneOf the words that a text
// must be one of (or empty, if that is the default), live:"true" marks what may be changed while the server runs. Fields
// without key are not settings. The kinds are string, bool, int, int32, int64 and float64.
//
// What tags cannot say, such as what two values have to do with each other, is for a method of the struct that Load and
// Check call when all values fit their tags. It returns the error of Misfit for a value that is wrong:
//
//	func (o *Options) Check() error
package conf

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
)

// Defaults sets each field of the options struct that dst points to to the default in its tag. It panics if a tag does
// not fit its field, which is a mistake in the program.
func Defaults(dst any) {
	for f := range fields(dst) {
		if err := f.set(f.fallback); err != nil {
			panic(fmt.Sprintf("conf: default of %s: %v", f.key, err))
		}
	}
}

// Check returns an error if a value in the options struct that src points to does not fit its tags, all such values
// joined, or else what its method Check returns. It is for structs that were filled by other means than Load.
func Check(src any) error {
	var errs []error
	for f := range fields(src) {
		if !f.takes(f.value) {
			errs = append(errs, f.misfit(f.text()))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return checkBeyondTags(src)
}

func checkBeyondTags(src any) error {
	if o, ok := src.(interface{ Check() error }); ok {
		return o.Check()
	}
	return nil
}

// Misfit returns a *ValueError for the value of key in the options struct that src points to. The format and what
// follows it complete "want ...": they say what would do, and why.
func Misfit(src any, key, format string, args ...any) error {
	value, _ := Value(src, key)
	return &ValueError{Key: key, Value: value, Want: fmt.Sprintf(format, args...)}
}

// Set parses value and sets the field of key in the options struct that dst points to. The error is *UnknownKeyError or
// *ValueError; the struct is unchanged then. Check Live first when the change comes over the network.
func Set(dst any, key, value string) error {
	f, ok := lookup(dst, key)
	if !ok {
		return &UnknownKeyError{Key: key}
	}
	return f.set(value)
}

// Live reports whether the options struct that dst points to has key and whether its field is tagged live.
func Live(dst any, key string) (live, known bool) {
	f, ok := lookup(dst, key)
	return f.live, ok
}

// Value returns the value of key in the options struct that dst points to as text that Set accepts.
func Value(dst any, key string) (value string, known bool) {
	f, ok := lookup(dst, key)
	if !ok {
		return "", false
	}
	return f.text(), true
}

// Properties returns the settings of the options struct that dst points to as lines "key=value", followed by the keys
// that RocketMQ's server of this role has and Skua does not act on, with RocketMQ's defaults: tools look for some of
// them. Values that look secret are masked.
func Properties(dst any, role Role) string {
	var b strings.Builder
	own := map[string]bool{}
	for f := range fields(dst) {
		own[f.key] = true
		fmt.Fprintf(&b, "%s=%s\n", f.key, Mask(f.key, f.text()))
	}
	for _, k := range role.javaKeys() {
		if !own[k.name] && k.hasFallback {
			fmt.Fprintf(&b, "%s=%s\n", k.name, k.fallback)
		}
	}
	return b.String()
}

// Mask returns value, or asterisks if key is the name of a secret and the value is not empty.
func Mask(key, value string) string {
	if value == "" {
		return ""
	}
	k := strings.ToLower(key)
	for _, s := range []string{"password", "secret", "credential", "initauthenticationuser"} {
		if strings.Contains(k, s) {
			return "******"
		}
	}
	return value
}

// UnknownKeyError tells that a server has no such setting.
type UnknownKeyError struct {
	Key string
}

func (e *UnknownKeyError) Error() string { return fmt.Sprintf("unknown key %s", e.Key) }

// field is one setting of an options struct.
type field struct {
	key, fallback, unit string
	min, max            string   // of numbers; "": as its type allows
	words               []string // that a text must be one of, any if empty
	live                bool
	value               reflect.Value
}

// fields are the settings of the struct that dst points to, in the order of their declaration.
func fields(dst any) iter.Seq[field] {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("conf: %T is no pointer to a struct", dst))
	}
	return func(yield func(field) bool) { walk(v.Elem(), yield) }
}

func walk(v reflect.Value, yield func(field) bool) bool {
	t := v.Type()
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct {
			if !walk(v.Field(i), yield) {
				return false
			}
			continue
		}
		key, ok := sf.Tag.Lookup("key")
		if !ok {
			continue
		}
		tag := sf.Tag.Get
		f := field{key: key, fallback: tag("default"), unit: tag("unit"), min: tag("min"), max: tag("max"),
			words: strings.Fields(tag("oneOf")), live: tag("live") == "true", value: v.Field(i)}
		if !yield(f) {
			return false
		}
	}
	return true
}

func lookup(dst any, key string) (field, bool) {
	for f := range fields(dst) {
		if f.key == key {
			return f, true
		}
	}
	return field{}, false
}
