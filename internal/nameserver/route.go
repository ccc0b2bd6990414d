package nameserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// Route tells where the queues of a topic are; false if there are none. The caller may change the answer.
func (t *Table) Route(topic string) (*command.TopicRoute, bool) {
	of := t.queues[topic]
	r := &command.TopicRoute{FilterServers: make(map[string][]string)}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		r.Queues = append(r.Queues, of[name])
		b := t.brokers[name]
		if b == nil {
			continue
		}
		r.Brokers = append(r.Brokers, b.data(name))
		for _, addr := range b.addrs {
			if l := t.lives[place{b.cluster, addr}]; l != nil && len(l.filterServers) > 0 {
				r.FilterServers[addr] = l.filterServers
			}
		}
	}
	if len(r.Queues) == 0 || len(r.Brokers) == 0 {
		return nil, false
	}
	if m := t.mappings[topic]; len(m) > 0 {
		r.Mappings = maps.Clone(m)
	}
	if t.Rules.ActingMaster && !strings.HasPrefix(topic, skua.MemberTopicPrefix) {
		actMaster(r)
	}
	return r, true
}

func (b *broker) data(name string) command.BrokerData {
	return command.BrokerData{Addrs: maps.Clone(b.addrs), Name: name, Cluster: b.cluster,
		EnableActingMaster: b.actingMaster, ZoneName: b.zone}
}

// actMaster shows the lowest slave as master where there is none, so that clients go on reading. Where the topic may be
// written the broker's own view differs, and nothing is changed.
func actMaster(r *command.TopicRoute) {
	for _, b := range r.Brokers {
		if len(b.Addrs) == 0 || b.Addrs[skua.Master] != "" || !b.EnableActingMaster {
			continue
		}
		for _, q := range r.Queues {
			if q.BrokerName == b.Name && !q.Perm.Writable() {
				lowest := slices.Min(slices.Collect(maps.Keys(b.Addrs)))
				b.Addrs[skua.Master] = b.Addrs[lowest]
				delete(b.Addrs, lowest)
				break
			}
		}
	}
}

// inZone removes brokers of other zones from a route, unless they have no master.
func inZone(r *command.TopicRoute, zone string) {
	away := make(map[string]bool)
	r.Brokers = slices.DeleteFunc(r.Brokers, func(b command.BrokerData) bool {
		if b.Addrs[skua.Master] == "" || strings.EqualFold(b.ZoneName, zone) {
			return false
		}
		away[b.Name] = true
		for _, addr := range b.Addrs {
			delete(r.FilterServers, addr)
		}
		return true
	})
	r.Queues = slices.DeleteFunc(r.Queues, func(q command.QueueData) bool { return away[q.BrokerName] })
}

// WhyNoRoute says why a topic has no route and what to do. nameserver is this server's address as the client sees it.
func (t *Table) WhyNoRoute(topic, nameserver string) string {
	const shown = 255 // bytes of a name, which the client chose
	if len(topic) > shown {
		topic = strings.ToValidUTF8(topic[:shown], "") + "..."
	}
	var b strings.Builder
	// Clients, scripts and people search for these words of Java's.
	fmt.Fprintf(&b, "No topic route info in name server for the topic: %s\n", topic)
	if len(t.brokers) == 0 {
		fmt.Fprintf(&b, "0 brokers are registered at this name server. Start one with: skua broker -n %s", nameserver)
		return b.String()
	}
	fmt.Fprintf(&b, "%s up (%s), none has the topic. ", plural(len(t.brokers), "broker is", "brokers are"), some(t.brokers))
	if strings.HasPrefix(topic, skua.RetryPrefix) {
		b.WriteString("A broker makes it when a consumer of the group connects.")
		return b.String()
	}
	if creators := t.queues[skua.TemplateTopic]; len(creators) > 0 {
		fmt.Fprintf(&b, "autoCreateTopicEnable=true on %s: the first message sent creates it. ", some(creators))
	} else {
		b.WriteString("autoCreateTopicEnable=false on all. ")
	}
	cluster := slices.Min(slices.Collect(maps.Keys(t.clusters)))
	fmt.Fprintf(&b, "Create it with: mqadmin updateTopic -n %s -c %s -t %s", nameserver, cluster, topic)
	return b.String()
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// some names up to three keys of m.
func some[V any](m map[string]V) string {
	names := slices.Sorted(maps.Keys(m))
	if len(names) > 3 {
		names = append(names[:3], "...")
	}
	return strings.Join(names, ", ")
}
