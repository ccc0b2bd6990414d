package nameserver

import (
	"maps"
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// Notice is what members of a broker are told when its lowest id changes.
type Notice struct {
	To     []string // addresses
	Header command.MinBrokerIDHeader
}

// notice tells members that the lowest id is another one now: all of them if one went offline, else all but the new
// lowest one, which knows. It returns nil if there is nobody to tell.
func (b *broker) notice(name, offline, haAddr string) *Notice {
	lowest := b.lowest()
	n := &Notice{Header: command.MinBrokerIDHeader{
		MinBrokerID: lowest, BrokerName: name, MinBrokerAddr: b.addrs[lowest],
		OfflineBrokerAddr: offline, HABrokerAddr: haAddr,
	}}
	for _, id := range slices.Sorted(maps.Keys(b.addrs)) {
		if offline != "" || id != lowest {
			n.To = append(n.To, b.addrs[id])
		}
	}
	if len(n.To) == 0 {
		return nil
	}
	return n
}

// Unregister removes members, several at a time because each call looks at all topics, and returns what others are to
// be told.
func (t *Table) Unregister(members ...command.BrokerIdentity) []*Notice {
	var notices []*Notice
	gone := make(map[string]bool)    // brokers without members
	reduced := make(map[string]bool) // brokers with fewer members
	for _, m := range members {
		delete(t.lives, place{m.ClusterName, m.BrokerAddr})
		b := t.brokers[m.BrokerName]
		if b == nil {
			continue
		}
		id, ok := b.remove(m.BrokerAddr)
		if !ok {
			continue
		}
		t.version++
		if len(b.addrs) == 0 {
			t.dropBroker(m.BrokerName, b)
			gone[m.BrokerName] = true
			continue
		}
		reduced[m.BrokerName] = true
		if id < b.lowest() {
			if n := b.notice(m.BrokerName, m.BrokerAddr, ""); n != nil {
				notices = append(notices, n)
			}
		}
	}
	t.withdraw(gone, reduced)
	return notices
}

// remove removes the member with the address, and returns its id; false if there is none.
func (b *broker) remove(addr string) (skua.BrokerID, bool) {
	for id, a := range b.addrs {
		if a == addr {
			delete(b.addrs, id)
			return id, true
		}
	}
	return 0, false
}

func (t *Table) dropBroker(name string, b *broker) {
	delete(t.brokers, name)
	for cluster, names := range t.clusters {
		delete(names, name)
		if len(names) == 0 {
			delete(t.clusters, cluster)
		}
	}
}

// withdraw takes the topics of brokers away that are gone, and the write permission from those whose acting master may
// only be read.
func (t *Table) withdraw(gone, reduced map[string]bool) {
	if len(gone)+len(reduced) == 0 {
		return
	}
	for topic, of := range t.queues {
		for name, q := range of {
			switch {
			case gone[name]:
				t.dropQueue(topic, name)
			case reduced[name]:
				b := t.brokers[name]
				if b != nil && b.actingMaster && b.addrs[skua.Master] == "" {
					q.Perm &^= skua.PermWrite
					t.putQueue(topic, q)
				}
			}
		}
	}
}

// ConnClosed removes the members that registered over conn last, and returns them and what others are to be told.
func (t *Table) ConnClosed(conn any) ([]command.BrokerIdentity, []*Notice) {
	return t.removeIf(func(l *life) bool { return l.conn == conn })
}

// Expire removes the members that have been silent too long, and returns them, their connections and what others are to
// be told.
func (t *Table) Expire(now int64) (members []command.BrokerIdentity, conns []any, notices []*Notice) {
	members, notices = t.removeIf(func(l *life) bool {
		late := now-l.seen > l.timeout
		if late {
			conns = append(conns, l.conn)
		}
		return late
	})
	return members, conns, notices
}

func (t *Table) removeIf(f func(*life) bool) ([]command.BrokerIdentity, []*Notice) {
	var members []command.BrokerIdentity
	for p, l := range t.lives {
		if f(l) {
			members = append(members, command.BrokerIdentity{
				BrokerName: l.name, BrokerAddr: p.addr, ClusterName: p.cluster, BrokerID: l.id})
		}
	}
	if members == nil {
		return nil, nil
	}
	return members, t.Unregister(members...)
}
