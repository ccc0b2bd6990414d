package broker

import (
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// maxBroadcasters bounds the clients of which broadcasts remembers the offsets, one for each topic and group. Proxies name
// clients that the broker does not know otherwise.
const maxBroadcasters = 1_000_000

// broadcastScan is how often the offsets of broadcasting groups are gathered.
const broadcastScan = 5 * time.Second

// broadcastSuffix makes of a group's name the one under which the offsets of its broadcasting members are saved.
const broadcastSuffix = "@broadcast"

// broadcasts remembers how far the members of broadcasting groups have read. They keep their offsets themselves; the broker
// steps in when a member changes between pulling through a proxy and pulling from the broker, or pulls through a proxy that
// does not know where to begin. The least offset of all members is saved as that of the group with broadcastSuffix, so that
// a member of whom nothing is known begins there.
//
// It is a table without clock, goroutine or I/O, safe for concurrent use. The zero value is ready.
type broadcasts struct {
	mu    sync.Mutex
	table map[offsetKey]map[string]*broadcaster // by client id; guarded by mu
	count int                                   // of broadcasters; guarded by mu
}

// broadcaster is a member of a broadcasting group as to one topic.
type broadcaster struct {
	seen    time.Time
	proxied bool // it pulls through a proxy
	offsets map[int32]skua.QueueOffset
}

// broadcastPull is who pulls for a broadcasting group.
type broadcastPull struct {
	client  string
	proxied bool
}

// note remembers that a client has read up to an offset of a queue. An offset never goes back.
func (b *broadcasts) note(topic, group string, queue int32, off skua.QueueOffset, by broadcastPull, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := offsetKey{topic, group}
	c := b.table[key][by.client]
	if c == nil {
		if b.count >= maxBroadcasters {
			return
		}
		c = &broadcaster{offsets: map[int32]skua.QueueOffset{}}
		if b.table == nil {
			b.table = map[offsetKey]map[string]*broadcaster{}
		}
		if b.table[key] == nil {
			b.table[key] = map[string]*broadcaster{}
		}
		b.table[key][by.client] = c
		b.count++
	}
	c.seen, c.proxied = now, by.proxied
	if had, ok := c.offsets[queue]; !ok || off > had {
		c.offsets[queue] = off
	}
}

// begin tells whether a pull at an offset has to be sent to where its client was before, known to another way of pulling.
// known is that place, noOffset if it is not known.
func (b *broadcasts) begin(topic, group string, queue int32, off skua.QueueOffset, by broadcastPull) (known skua.QueueOffset, moved bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.table[offsetKey{topic, group}][by.client]
	if c == nil {
		return noOffset, by.proxied && off < 0
	}
	if moved = c.proxied != by.proxied || c.proxied && off < 0; !moved {
		return noOffset, false
	}
	known, ok := c.offsets[queue]
	if !ok {
		known = noOffset
	}
	return known, true
}

// gather forgets clients that are silent for after, or for atMost if online says that they are connected all the same, and
// calls save with the least offset of the others for each queue.
func (b *broadcasts) gather(now time.Time, after, atMost time.Duration, online func(group, client string) bool, save func(k offsetKey, queue int32, least skua.QueueOffset)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, clients := range b.table {
		least := map[int32]skua.QueueOffset{}
		for id, c := range clients {
			silent, connected := now.Sub(c.seen), online(key.group, id)
			if connected || silent < after {
				for queue, off := range c.offsets {
					if had, ok := least[queue]; !ok || off < had {
						least[queue] = off
					}
				}
			}
			if connected && silent >= atMost || !connected && silent >= after {
				delete(clients, id)
				b.count--
			}
		}
		if len(clients) == 0 {
			delete(b.table, key)
		}
		for queue, off := range least {
			save(key, queue, off)
		}
	}
}

// forget drops what is remembered of which.
func (b *broadcasts) forget(which func(offsetKey) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, clients := range b.table {
		if which(key) {
			b.count -= len(clients)
			delete(b.table, key)
		}
	}
}

// broadcaster returns who pulls, if the pull is that of a broadcasting group, else nil. want is what the group wants, nil if
// it has no member.
func (b *Broker) broadcaster(conn *wire.Conn, h *command.PullHeader, want *consumerOutlook) *broadcastPull {
	if !b.options.Load().EnableBroadcastOffsetStore {
		return nil
	}
	if h.RequestSource == command.ProxyForBroadcast {
		if len(h.ProxyClientID) == 0 || len(h.ProxyClientID) > maxClientName {
			return nil
		}
		return &broadcastPull{string(h.ProxyClientID), true}
	}
	if want == nil || want.model != command.Broadcasting || want.kind != command.ConsumePassively {
		return nil
	}
	if id := b.clients.idOf(conn, h.Group); id != "" {
		return &broadcastPull{client: id}
	}
	return nil
}

// broadcastStart is where a pull of a broadcasting client is to begin instead of where it asks, noOffset if it may.
func (p *pull) broadcastStart() skua.QueueOffset {
	b, queue := p.b, p.queue.ID()
	off, moved := b.broadcasts.begin(p.topic.Name, p.group.Name, queue, p.request.Offset, *p.broadcast)
	if !moved {
		return noOffset
	}
	if off == noOffset {
		off = b.offsets.committed(p.topic.bytes, []byte(p.group.Name+broadcastSuffix), queue)
	}
	switch {
	case off != noOffset:
		return off
	case p.queue.Min() == 0 && (p.queue.Max() == 0 || b.store.Hot(p.queue, 0)):
		return 0
	}
	return p.queue.Max()
}

// noteBroadcast remembers how far a broadcasting client has come, as its pull tells, or where it was sent.
func (p *pull) noteBroadcast(status command.Status, next skua.QueueOffset) {
	off := p.request.Offset
	if status == command.StatusPullOffsetMoved {
		off = next
	}
	p.b.broadcasts.note(p.topic.Name, p.group.Name, p.queue.ID(), off, *p.broadcast, p.b.now())
}

// gatherBroadcasts saves the least offsets of broadcasting groups.
func (b *Broker) gatherBroadcasts(now time.Time) {
	o := b.options.Load()
	online := func(group, client string) bool { _, ok := b.clients.contact(group, client); return ok }
	b.broadcasts.gather(now, time.Duration(o.BroadcastOffsetExpireSecond)*time.Second, time.Duration(o.BroadcastOffsetExpireMaxSecond)*time.Second,
		online, func(k offsetKey, queue int32, least skua.QueueOffset) {
			if b.topics.find(k.topic) != nil { // a pull may have ended after its topic
				b.offsets.commit([]byte(k.topic), []byte(k.group+broadcastSuffix), queue, least)
			}
		})
}
