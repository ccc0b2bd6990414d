package conf

import (
	_ "embed"
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
