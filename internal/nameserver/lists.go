package nameserver

import (
	"maps"
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// Cluster describes all brokers.
func (t *Table) Cluster() command.ClusterInfo {
	info := command.ClusterInfo{Brokers: make(map[string]command.BrokerData), Clusters: make(map[string][]string)}
	for name, b := range t.brokers {
		info.Brokers[name] = b.data(name)
	}
	for cluster, names := range t.clusters {
		info.Clusters[cluster] = slices.Sorted(maps.Keys(names))
	}
	return info
}

// Members are the members of a broker; none if the name is not known.
func (t *Table) Members(cluster, name string) command.BrokerMemberGroup {
	g := command.BrokerMemberGroup{Name: name, Cluster: cluster}
	if b := t.brokers[name]; b != nil {
		g.Addrs = maps.Clone(b.addrs)
	}
	return g
}

// Topics are the topics of which keep says yes to some broker's queues, in order. A nil keep means all.
func (t *Table) Topics(keep func(command.QueueData) bool) []string {
	topics := []string{}
	for topic, of := range t.queues {
		ok := keep == nil
		for _, q := range of {
			ok = ok || keep(q)
		}
		if ok {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	return topics
}

// TopicsOf are the topics of a cluster.
func (t *Table) TopicsOf(cluster string) []string {
	names := t.clusters[cluster]
	return t.Topics(func(q command.QueueData) bool { return names[q.BrokerName] })
}

// SystemTopics are the topics that are named like clusters and brokers, and the address of some broker.
func (t *Table) SystemTopics() command.TopicList {
	list := command.TopicList{Topics: []string{}}
	for _, cluster := range slices.Sorted(maps.Keys(t.clusters)) {
		list.Topics = append(list.Topics, cluster)
		list.Topics = append(list.Topics, slices.Sorted(maps.Keys(t.clusters[cluster]))...)
	}
	if len(t.brokers) > 0 {
		b := t.brokers[slices.Min(slices.Collect(maps.Keys(t.brokers)))]
		list.BrokerAddr = b.addrs[b.lowest()]
	}
	return list
}

// SetPerm sets the permission of all topics of a broker to what change makes of it, and returns their number.
func (t *Table) SetPerm(name string, change func(skua.Perm) skua.Perm) int {
	n := 0
	for topic, of := range t.queues {
		if q, ok := of[name]; ok {
			q.Perm = change(q.Perm)
			t.putQueue(topic, q)
			n++
		}
	}
	return n
}

// DeleteTopic forgets a topic, in one cluster only if that is not "". Brokers that still have it bring it back with
// their next change.
func (t *Table) DeleteTopic(topic, cluster string) {
	for name := range t.queues[topic] {
		if cluster == "" || t.clusters[cluster][name] {
			t.dropQueue(topic, name)
		}
	}
}

// AddTopic adds queues of a topic on brokers that are registered; others are left out.
func (t *Table) AddTopic(topic string, queues []command.QueueData) {
	for _, q := range queues {
		if t.brokers[q.BrokerName] != nil {
			t.putQueue(topic, q)
		}
	}
}
