package conf

import (
	_ "embed"
	"path"
	"slices"
	"strings"
	"sync"
)

// Role says which of RocketMQ's servers an options struct stands for, and so which keys its files may hold.
type Role int

// The roles.
const (
	Nameserver Role = iota
	Broker
)

// String is the role in words.
func (r Role) String() string {
	if r == Nameserver {
		return "name server"
	}
	return "broker"
}

// classes are the configuration classes that RocketMQ's server of the role fills from its file.
func (r Role) classes() []string {
	if r == Nameserver {
		return []string{"NamesrvConfig", "NettyServerConfig", "NettyClientConfig", "ControllerConfig", "JraftConfig"}
	}
	return []string{"BrokerConfig", "MessageStoreConfig", "NettyServerConfig", "NettyClientConfig", "AuthConfig"}
}

// javaTable lists the configuration keys of RocketMQ 5.5.0, a line each: class, key, default, separated by tabs. The
// default is left out, with its tab, if it is null or depends on the machine.
//
//go:embed java.tsv
var javaTable string

// javaKey is a configuration key of RocketMQ.
type javaKey struct {
	class, name, fallback string
	hasFallback           bool
}

// javaTableRows is parsed when it is first needed: most starts need it never.
var javaTableRows = sync.OnceValue(func() []javaKey {
	var rows []javaKey
	for line := range strings.Lines(javaTable) {
		class, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		name, fallback, has := strings.Cut(rest, "\t")
		rows = append(rows, javaKey{class, name, fallback, has})
	}
	return rows
})

// javaKeys are the keys of the role, each once.
func (r Role) javaKeys() []javaKey {
	var keys []javaKey
	seen := map[string]bool{}
	for _, class := range r.classes() {
		for _, k := range javaTableRows() {
			if k.class == class && !seen[k.name] {
				seen[k.name] = true
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// idleTable says why keys of RocketMQ have no effect: lines of a pattern, in which * stands for any text, and a reason,
// separated by a tab. The first pattern that fits counts.
//
//go:embed idle.tsv
var idleTable string

// whyIdle tells why a key of RocketMQ on which Skua does not act has no effect; "" if the table does not say.
func whyIdle(key string) string {
	for line := range strings.Lines(idleTable) {
		pattern, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if fits, _ := path.Match(pattern, key); fits {
			return reason
		}
	}
	return ""
}

// Idle are keys that have no effect for one reason.
type Idle struct {
	Why  string
	Keys []string // sorted
}

// IdleKeys lists the keys of RocketMQ's server of the role that have no effect in Skua: all but those for which acts
// returns true. Keys for which nobody has written down a reason come first, with an empty one.
func IdleKeys(role Role, acts func(key string) bool) []Idle {
	var keys []string
	for _, k := range role.javaKeys() {
		if !acts(k.name) {
			keys = append(keys, k.name)
		}
	}
	slices.Sort(keys)
	return byReason(keys)
}

// byReason groups keys by the reason for which they have no effect, sorted by reason.
func byReason(keys []string) []Idle {
	var all []Idle
	for _, key := range keys {
		why := whyIdle(key)
		i := slices.IndexFunc(all, func(x Idle) bool { return x.Why == why })
		if i < 0 {
			i = len(all)
			all = append(all, Idle{Why: why})
		}
		all[i].Keys = append(all[i].Keys, key)
	}
	slices.SortFunc(all, func(a, b Idle) int { return strings.Compare(a.Why, b.Why) })
	return all
}

// systemKeys are read from the file by RocketMQ's start-up code rather than into a class.
var systemKeys = map[string]bool{"rmqAddressServerDomain": true, "rmqAddressServerSubGroup": true}

// knownToJava reports whether RocketMQ's server of the role has the key.
func (r Role) knownToJava(key string) bool {
	if systemKeys[key] {
		return true
	}
	for _, k := range r.javaKeys() {
		if k.name == key {
			return true
		}
	}
	return false
}

// otherRole is the role that has the key if r does not.
func (r Role) otherRole(key string) (Role, bool) {
	other := Nameserver
	if r == Nameserver {
		other = Broker
	}
	return other, other.knownToJava(key)
}
