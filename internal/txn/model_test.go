package txn

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

// model is a server of half messages in a few lines, with a log that is a slice: what it stores, forgets when it is killed
// and finds again is as in the real one. Beside it stands what must be true of each transaction.
type model struct {
	t   *testing.T
	rnd *rand.Rand

	log     []entry
	durable int // entries before it are on disk
	halves  []skua.LogOffset
	ops     []skua.LogOffset

	// What a killed process leaves, beside the log.
	saved standing

	// What it forgets.
	book    *Book
	asked   Asked
	opQueue *OpQueue
	batch   []byte
	settled skua.LogOffset // see the mark of the real one
	next    *standing
	clock   Clock

	wall    int64
	elapsed time.Duration
	rules   Rules
	alive   bool

	txns []*transaction
	open []func() // ends of which the record is stored, and no more
}

type standing struct {
	first, op skua.QueueOffset
	mark, end skua.LogOffset
}

// entry is a record of the log.
type entry struct {
	kind     rune // h half, o op, c commit, g given up
	id       int
	half     Half
	prepared skua.LogOffset // -1: none
	body     []byte
}

// transaction is what must be true of one.
type transaction struct {
	names []skua.QueueOffset // places of its copies, in order
	state state
	held  bool // somebody is about to end it
}

type state int

const (
	waiting state = iota
	committed
	rolledBack // and an op message tells
	forgotten  // rolled back, but no op message tells: a kill undoes it
	givenUp
)

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), wall: 1_000_000_000,
		rules: Rules{Timeout: 6 * time.Second, Interval: 30 * time.Second, MaxChecks: 3, Keep: 2 * time.Hour}}
	m.restart()
	return m
}

func (m *model) end() skua.LogOffset { return skua.LogOffset(len(m.log)) }

func (m *model) now() int64 { return m.clock.Now(m.wall, m.elapsed) }

// store appends a record. Store times never decrease, as the real ones do not.
func (m *model) store(e entry) skua.LogOffset {
	at := m.end()
	if e.kind == 'h' {
		e.half.Offset = skua.QueueOffset(len(m.halves))
		m.halves = append(m.halves, at)
	}
	if e.kind == 'o' {
		m.ops = append(m.ops, at)
	}
	m.log = append(m.log, e)
	return at
}

// send stores a new half message.
func (m *model) send() {
	id := len(m.txns)
	at := skua.QueueOffset(len(m.halves))
	h := Half{First: at, Stored: m.now(), FirstStored: m.now(), Group: []byte("g"), Marked: true}
	if m.rnd.IntN(5) == 0 {
		h.Immunity = time.Duration(m.rnd.IntN(200)) * time.Second
	}
	m.store(entry{kind: 'h', id: id, half: h, prepared: -1})
	m.txns = append(m.txns, &transaction{names: []skua.QueueOffset{at}})
}

// half reads the half message at a place.
func (m *model) half(at skua.QueueOffset) (Half, int, skua.LogOffset) {
	e := m.log[m.halves[at]]
	h := e.half
	h.Offset = at
	return h, e.id, m.halves[at]
}

// finish ends a transaction by any of its names. It reports false if the process died in between.
func (m *model) finish(commit bool) bool {
	x := m.txns[m.rnd.IntN(len(m.txns))]
	name := x.names[m.rnd.IntN(len(x.names))]
	h, id, _ := m.half(name)
	present, outcome := m.book.Claim(name, h.First, m.end())
	if want := x.state == waiting; want != (outcome == Claimed) && !x.held || x.held && outcome != Busy {
		m.t.Fatalf("transaction %d is %d, under its name %d it is %d", id, x.state, name, outcome)
	}
	if outcome != Claimed {
		return true
	}
	if last := x.names[len(x.names)-1]; present != last {
		m.t.Fatalf("transaction %d is at %d, under its name %d it is at %d", id, last, name, present)
	}
	if m.rnd.IntN(20) == 0 {
		m.book.Release(present) // the store did not take it
		return true
	}
	h, _, log := m.half(present)
	close := func() {
		m.book.Finish(present, h.First)
		m.batch = AppendOp(m.batch, present)
		m.asked.Answer(h.Group, name)
		x.held = false
	}
	if !commit {
		x.state = forgotten
		close()
		return true
	}
	m.store(entry{kind: 'c', id: id, prepared: log})
	x.state = committed
	if m.rnd.IntN(2) == 0 {
		x.held = true
		m.open = append(m.open, close)
		return m.rnd.IntN(10) > 0
	}
	close()
	return true
}

// close has all ends that began come to theirs.
func (m *model) close() {
	for _, f := range m.open {
		f()
	}
	m.open = nil
}

// writeOps writes op messages.
func (m *model) writeOps() bool {
	body, settled := slices.Clone(m.batch), m.book.Settled(m.end())
	for len(body) > 0 {
		part, rest := CutOp(body, 8)
		log := m.store(entry{kind: 'o', prepared: -1, body: slices.Clone(part)})
		m.opQueue.Add(skua.QueueOffset(len(m.ops)-1), m.log[log].body)
		EachOp(part, func(at skua.QueueOffset) {
			if _, id, _ := m.half(at); m.txns[id].state == forgotten && at == m.last(id) {
				m.txns[id].state = rolledBack
			}
		})
		if body = rest; len(body) > 0 && m.rnd.IntN(30) == 0 {
			return false
		}
	}
	m.batch, m.settled = m.batch[:0], settled
	return true
}

func (m *model) last(id int) skua.QueueOffset {
	names := m.txns[id].names
	return names[len(names)-1]
}

// keep saves how far halves have come, when the log is on disk up to there.
func (m *model) keep() {
	if m.next == nil {
		s := standing{first: m.book.First(), end: m.end(), mark: m.settled}
		s.op = m.opQueue.Of(s.first)
		if len(m.batch) == 0 {
			s.mark = m.book.Settled(m.end())
			m.settled = s.mark
		}
		m.next = &s
	}
	if int(m.next.end) <= m.durable {
		m.saved, m.next = *m.next, nil
		m.passed()
	}
}

// passed notes that what was rolled back before the place that was saved stays so. Nothing there may wait.
func (m *model) passed() {
	for id, x := range m.txns {
		switch {
		case m.last(id) >= m.saved.first:
		case x.state == forgotten:
			x.state = rolledBack
		case x.state == waiting:
			m.t.Fatalf("transaction %d waits at %d, before the place that was saved, %d", id, m.last(id), m.saved.first)
		}
	}
}

// look looks after halves for a while.
func (m *model) look() bool {
	for range m.rnd.IntN(20) {
		at, ok := m.book.Look(m.now(), skua.QueueOffset(len(m.halves)))
		if !ok {
			return true
		}
		h, id, _ := m.half(at)
		if m.txns[id].state != waiting || m.last(id) != at {
			m.t.Fatalf("place %d of transaction %d is looked at, which is %d and at %d", at, id, m.txns[id].state, m.last(id))
		}
		verdict, when := m.rules.Judge(&h, m.alive, m.asked.Room(h.Group, m.now()), m.now())
		if when = Grain(when, m.rules.Interval); verdict <= Crowd && verdict != Ask && when <= m.now() {
			m.t.Fatalf("verdict %d at %d is to be judged again at %d", verdict, m.now(), when)
		}
		switch verdict {
		case Wait:
			m.book.Later(at, when, 0)
		case Fresh:
			m.book.Stop(at, when)
		case Alone, Crowd:
			m.book.Later(at, when, GroupOf(h.Group))
		case Ask:
			if !m.again(at, h.Checks+1) {
				return false
			}
			m.asked.Ask(h.Group, m.last(id), m.now())
		case GiveUp:
			if h.Checks < m.rules.MaxChecks && m.now()-h.FirstStored < m.rules.Keep.Milliseconds() {
				m.t.Fatalf("place %d is given up after %d checks and %d ms", at, h.Checks, m.now()-h.FirstStored)
			}
			if !m.giveUp(at) {
				return false
			}
		}
	}
	return true
}

// again stores a half anew.
func (m *model) again(at skua.QueueOffset, checks int) bool {
	h, id, log := m.half(at)
	if _, outcome := m.book.Claim(at, at, m.end()); outcome != Claimed {
		m.t.Fatalf("place %d cannot be claimed: %d", at, outcome)
	}
	to := skua.QueueOffset(len(m.halves))
	copied := h
	copied.Checks, copied.Stored = checks, m.now()
	m.store(entry{kind: 'h', id: id, half: copied, prepared: log})
	m.txns[id].names = append(m.txns[id].names, to)
	if m.rnd.IntN(20) == 0 {
		return false
	}
	m.book.Move(at, h.First, to)
	m.batch = AppendOp(m.batch, at)
	return true
}

func (m *model) giveUp(at skua.QueueOffset) bool {
	h, id, log := m.half(at)
	if _, outcome := m.book.Claim(at, at, m.end()); outcome != Claimed {
		m.t.Fatalf("place %d cannot be claimed: %d", at, outcome)
	}
	m.store(entry{kind: 'g', id: id, prepared: log})
	m.txns[id].state = givenUp
	if m.rnd.IntN(10) == 0 {
		return false
	}
	m.book.Finish(at, h.First)
	m.batch = AppendOp(m.batch, at)
	return true
}

// resume puts a half back that was given up.
func (m *model) resume() {
	x := m.txns[m.rnd.IntN(len(m.txns))]
	if x.state != givenUp {
		return
	}
	h, id, _ := m.half(x.names[0])
	if m.book.Known(h.First) {
		m.t.Fatalf("transaction %d was given up and is known", id)
	}
	to := skua.QueueOffset(len(m.halves))
	h.Checks, h.Stored, h.FirstStored = 0, m.now(), m.now()
	m.store(entry{kind: 'h', id: id, half: h, prepared: -1})
	m.book.Adopt(h.First, to)
	x.names, x.state = append(x.names, to), waiting
}

// thin stores the first halves anew if there is little between them.
func (m *model) thin() bool {
	for m.book.Sparse(skua.QueueOffset(len(m.halves)), 10) {
		h, id, _ := m.half(m.book.First())
		if m.txns[id].held {
			return true
		}
		if !m.again(m.book.First(), h.Checks) {
			return false
		}
	}
	return true
}

// powerCut takes back what was not on disk.
func (m *model) powerCut() {
	m.log = m.log[:m.durable]
	for len(m.halves) > 0 && int(m.halves[len(m.halves)-1]) >= m.durable {
		m.halves = m.halves[:len(m.halves)-1]
	}
	for len(m.ops) > 0 && int(m.ops[len(m.ops)-1]) >= m.durable {
		m.ops = m.ops[:len(m.ops)-1]
	}
	// What is true now is what the log says, read from its beginning, and what was saved of rollbacks.
	before := m.txns
	m.txns = nil
	copies := map[skua.LogOffset]skua.QueueOffset{}
	for i, e := range m.log {
		switch e.kind {
		case 'h':
			at := m.halfAt(skua.LogOffset(i))
			for len(m.txns) <= e.id {
				m.txns = append(m.txns, &transaction{})
			}
			x := m.txns[e.id]
			x.names, x.state = append(x.names, at), waiting
			copies[skua.LogOffset(i)] = at
		case 'c':
			m.txns[e.id].state = committed
		case 'g':
			m.txns[e.id].state = givenUp
		case 'o':
			EachOp(e.body, func(at skua.QueueOffset) {
				if _, id, _ := m.half(at); m.txns[id].state == waiting && m.last(id) == at {
					m.txns[id].state = rolledBack
				}
			})
		}
	}
	for id, x := range m.txns {
		if x.state == waiting && m.last(id) < m.saved.first && before[id].state == rolledBack {
			x.state = rolledBack
		}
	}
	m.passed()
}

func (m *model) halfAt(log skua.LogOffset) skua.QueueOffset {
	at, _ := slices.BinarySearch(m.halves, log)
	return skua.QueueOffset(at)
}

// restart forgets what a killed process forgets, and finds out the rest.
func (m *model) restart() {
	m.open = nil
	for _, x := range m.txns {
		if x.held = false; x.state == forgotten {
			x.state = waiting
		}
	}
	end := skua.QueueOffset(len(m.halves))
	m.book, m.opQueue, m.asked = NewBook(min(m.saved.first, end)), NewOpQueue(min(m.saved.op, skua.QueueOffset(len(m.ops)))), Asked{Interval: m.rules.Interval}
	m.batch, m.next, m.settled, m.clock, m.elapsed = nil, nil, m.saved.mark, Clock{}, 0
	w := m.book.NewWalk(false)
	for at := m.opQueue.next; int(at) < len(m.ops); at++ {
		body := m.log[m.ops[at]].body
		m.opQueue.Add(at, body)
		EachOp(body, w.Op)
	}
	for _, e := range m.log[min(m.saved.mark, m.end()):] {
		if e.prepared >= 0 {
			if at := m.halfAt(e.prepared); m.book.Mark(at) {
				m.batch = AppendOp(m.batch, at)
			}
		}
	}
	for at := m.book.Next(m.book.First(), end); at < end; at = m.book.Next(at+1, end) {
		h, _, _ := m.half(at)
		m.clock.NotBefore(h.Stored)
		for _, former := range w.Half(&h) {
			m.batch = AppendOp(m.batch, former)
		}
	}
	m.check()
}

// check compares the book with what must be true.
func (m *model) check() {
	m.t.Helper()
	n := int64(0)
	for id, x := range m.txns {
		for i, name := range x.names {
			if open := (x.state == waiting || x.held) && i == len(x.names)-1; open == m.book.Done(name) {
				m.t.Fatalf("transaction %d (state %d, names %v): done at %d is %v", id, x.state, x.names, name, m.book.Done(name))
			}
		}
		if x.state == waiting || x.held {
			n++
		}
	}
	if got := m.book.Waiting(skua.QueueOffset(len(m.halves))); got != n {
		m.t.Fatalf("%d wait, the book says %d", n, got)
	}
	delivered := map[int]int{}
	for _, e := range m.log {
		if e.kind == 'c' {
			if delivered[e.id]++; delivered[e.id] > 1 {
				m.t.Fatalf("transaction %d was delivered twice", e.id)
			}
		}
	}
	for id, x := range m.txns {
		if (delivered[id] == 1) != (x.state == committed) {
			m.t.Fatalf("transaction %d is %d and was delivered %d times", id, x.state, delivered[id])
		}
	}
}

// Whatever comes in whatever order, with the process killed and the machine down at any moment and a clock that jumps: each
// half message is delivered once if it was committed, else never, and none is forgotten.
func TestModel(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		m := newModel(t, uint64(seed))
		for step := range 400 {
			lives := true
			switch n := m.rnd.IntN(100); {
			case n < 25 || len(m.txns) == 0:
				m.send()
			case n < 45:
				lives = m.finish(true)
			case n < 53:
				lives = m.finish(false)
			case n < 55:
				m.close()
			case n < 65:
				lives = m.look()
			case n < 72:
				lives = m.writeOps()
			case n < 80:
				m.keep()
			case n < 84:
				m.durable = max(m.durable, m.rnd.IntN(len(m.log)+1))
			case n < 88:
				lives = m.thin()
			case n < 90:
				m.alive = !m.alive
				if m.alive {
					m.book.Revive(GroupOf([]byte("g")))
				}
			case n < 92:
				m.resume()
			case n < 94:
				m.wall += int64(m.rnd.IntN(8)-4) * 3600_000 // somebody sets the clock
			case n < 95:
				lives = false
			case n < 96:
				m.powerCut()
				lives = false
			default:
				m.pass(time.Duration(m.rnd.IntN(60_000)) * time.Millisecond)
			}
			if !lives {
				m.restart()
			}
			if step%10 == 0 {
				m.check()
			}
		}
		m.settle(seed)
	}
}

func (m *model) pass(d time.Duration) {
	m.wall += d.Milliseconds()
	m.elapsed += d
}

// settle lets time pass until every half message was committed by a check, or given up.
func (m *model) settle(seed int) {
	m.restart()
	m.alive = true
	m.book.Revive(GroupOf([]byte("g")))
	for range 3 * 3600 {
		if m.book.Waiting(skua.QueueOffset(len(m.halves))) == 0 {
			m.check()
			if m.book.Due(skua.QueueOffset(len(m.halves))) < m.now() {
				m.look()
			}
			return
		}
		m.pass(time.Second)
		if due := m.book.Due(skua.QueueOffset(len(m.halves))); due == never {
			m.t.Fatalf("seed %d: %d halves wait and are never looked at", seed, m.book.Waiting(skua.QueueOffset(len(m.halves))))
		}
		if !m.look() {
			m.restart()
		}
	}
	m.t.Fatalf("seed %d: %d halves wait for ever", seed, m.book.Waiting(skua.QueueOffset(len(m.halves))))
}
