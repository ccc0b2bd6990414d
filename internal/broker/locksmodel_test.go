package broker

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

// lockModel runs consumers that go by the rules of RocketMQ's clients against the table of locks, and watches that no
// queue is ever in two hands.
type lockModel struct {
	t       *testing.T
	rnd     *rand.Rand
	path    string
	now     time.Time     // what passes
	skew    time.Duration // of the clock on the wall
	locks   *locks        // nil while the broker is down
	members map[string]*lockMember
	born    int
	handled map[skua.Queue]int // messages begun
	story   []string
}

// lockMember is a consumer as clients are: it begins a message only when the broker confirmed the lock within the last
// 30 s, renews all locks every now and then, and gives a queue back when no message of it is being handled.
type lockMember struct {
	id     string
	held   map[skua.Queue]time.Time // when the confirmed request was sent
	busy   map[skua.Queue]time.Time // until when a message is handled
	going  map[skua.Queue]bool      // to be given back when it is not busy
	lazy   bool                     // seldom renews in time
	leaves bool
}

const (
	clientRelies  = 30 * time.Second
	longestHandle = 25 * time.Second
	modelQueues   = 4
)

func (m *lockModel) say(format string, args ...any) {
	m.story = append(m.story, m.now.Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	if len(m.story) > 60 {
		m.story = m.story[1:]
	}
}

func (m *lockModel) wall() time.Time { return m.now.Add(m.skew) }

func (m *lockModel) openBroker() {
	m.locks = openLocks(m.path, "b", slog.New(slog.DiscardHandler), m.wall, m.now)
}

func (m *lockModel) some() (id string) {
	ids := slices.Sorted(maps.Keys(m.members))
	if len(ids) == 0 {
		return ""
	}
	return ids[m.rnd.IntN(len(ids))]
}

func (m *lockModel) someQueues() []skua.Queue {
	var some []skua.Queue
	for id := range int32(modelQueues) {
		if m.rnd.IntN(4) > 0 {
			some = append(some, queues(id)...)
		}
	}
	return some
}

// ask is a LOCK_BATCH_MQ. The answer counts from when it was asked for.
func (m *lockModel) ask(c *lockMember, some []skua.Queue) {
	asked := m.now
	m.pass(time.Duration(m.rnd.IntN(500)) * time.Millisecond)
	if m.locks == nil || len(some) == 0 {
		return
	}
	got := m.locks.acquire("G", c.id, some, m.now)
	m.say("%s asks for %v, gets %v", c.id, ids(some), ids(got))
	for _, q := range some {
		if slices.Contains(got, q) {
			c.held[q] = asked
		} else {
			delete(c.held, q)
			delete(c.going, q)
		}
	}
}

func ids(some []skua.Queue) (out []int32) {
	for _, q := range some {
		out = append(out, q.ID)
	}
	return out
}

// begin handles a message, if the member may.
func (m *lockModel) begin(c *lockMember, q skua.Queue) {
	asked, held := c.held[q]
	if !held || c.going[q] || m.now.Sub(asked) >= clientRelies || m.now.Before(c.busy[q]) {
		return
	}
	for _, other := range m.members {
		if other != c && m.now.Before(other.busy[q]) {
			m.t.Fatalf("%s begins a message of queue %d while %s handles one:\n%s", c.id, q.ID, other.id, joinLines(m.story))
		}
	}
	c.busy[q] = m.now.Add(longestHandle - time.Duration(m.rnd.Int64N(int64(longestHandle))/(1+m.rnd.Int64N(8))))
	m.handled[q]++
	m.say("%s begins on %d until %s", c.id, q.ID, c.busy[q].Format("15:04:05.000"))
}

func joinLines(lines []string) (s string) {
	for _, l := range lines {
		s += l + "\n"
	}
	return s
}

// pass lets time pass, and members give back what they are done with.
func (m *lockModel) pass(d time.Duration) {
	m.now = m.now.Add(d)
	if m.locks == nil {
		return
	}
	for _, c := range m.members {
		for q := range c.going {
			if !m.now.Before(c.busy[q]) {
				m.locks.release("G", c.id, []skua.Queue{q})
				m.say("%s gives %d back", c.id, q.ID)
				delete(c.held, q)
				delete(c.going, q)
			}
		}
		if busy := slices.ContainsFunc(slices.Collect(maps.Values(c.busy)), m.now.Before); c.leaves && !busy {
			m.locks.releaseClient("G", c.id)
			m.say("%s leaves", c.id)
			delete(m.members, c.id)
		}
	}
}

func (m *lockModel) step() {
	c := m.members[m.some()]
	switch n := m.rnd.IntN(40); {
	case c == nil || n == 0 && len(m.members) < 5:
		m.born++
		id := fmt.Sprint("c", m.born)
		m.members[id] = &lockMember{id: id, held: map[skua.Queue]time.Time{}, busy: map[skua.Queue]time.Time{}, going: map[skua.Queue]bool{}, lazy: m.rnd.IntN(2) == 0}
	case n == 1:
		c.leaves = true
	case n == 2 && m.rnd.IntN(3) == 0: // killed: what it was busy with ends there
		m.say("%s is killed", c.id)
		delete(m.members, c.id)
	case n == 3:
		m.restart()
	case n == 4: // the clock is set; the next scan comes before anything else
		m.skew += time.Duration(m.rnd.IntN(200)-100) * time.Second
		m.say("clock is off by %v", m.skew)
		m.locks.expire(m.now)
	case n < 8:
		m.locks.expire(m.now)
	case n < 14: // queues are divided anew
		mine := m.someQueues()
		var fresh []skua.Queue
		for id := range int32(modelQueues) {
			q := queues(id)[0]
			_, held := c.held[q]
			if wanted := slices.Contains(mine, q) && !c.leaves; held && !wanted {
				c.going[q] = true
			} else if wanted && !held {
				fresh = append(fresh, q)
			}
		}
		m.ask(c, fresh)
	case n < 20:
		if !c.lazy || m.rnd.IntN(10) == 0 {
			m.ask(c, slices.Collect(maps.Keys(c.held)))
		}
	default:
		m.beginAll(c)
	}
	m.pass(time.Duration(m.rnd.IntN(2000)) * time.Millisecond)
}

// beginAll handles a message of each queue that the member may.
func (m *lockModel) beginAll(c *lockMember) {
	for id := range int32(modelQueues) {
		if !c.leaves {
			m.begin(c, queues(id)[0])
		}
	}
}

// restart stops the broker, or kills it, and starts it again after a while, in which the clock may be set back.
func (m *lockModel) restart() {
	if m.rnd.IntN(2) == 0 {
		if err := m.locks.close(); err != nil {
			m.t.Fatal(err)
		}
	} else {
		m.locks.file.journal.Close() // as the kernel does
	}
	m.locks = nil
	down := time.Duration(m.rnd.IntN(20)) * time.Second
	if m.rnd.IntN(5) == 0 {
		down = 2 * time.Minute
	}
	m.say("the broker is down for %v", down)
	for end := m.now.Add(down); m.now.Before(end); m.pass(time.Second) {
		if c := m.members[m.some()]; c != nil {
			m.beginAll(c)
		}
	}
	if m.rnd.IntN(3) == 0 {
		m.skew -= time.Duration(m.rnd.IntN(100)) * time.Second
	}
	m.openBroker()
}

// Whatever members and the broker do, at most one member handles messages of a queue, and no queue is lost to all.
func TestOrderlyLocksInAnyInterleaving(t *testing.T) {
	for seed := range uint64(12) {
		m := &lockModel{t: t, rnd: rand.New(rand.NewPCG(seed, 7)), path: filepath.Join(t.TempDir(), "skua", "locks"), now: clock0,
			members: map[string]*lockMember{}, handled: map[skua.Queue]int{}}
		m.openBroker()
		for range 500 {
			m.step()
		}
		if len(m.handled) < modelQueues {
			t.Errorf("seed %d: only queues %v were handled", seed, m.handled)
		}
		m.members = map[string]*lockMember{}
		m.pass(lockLife + time.Second)
		if got := m.locks.acquire("G", "last", queues(0, 1, 2, 3), m.now); len(got) != modelQueues {
			t.Errorf("seed %d: when all others have gone a member gets %v", seed, got)
		}
		if err := m.locks.close(); err != nil {
			t.Error(err)
		}
	}
}
