package store

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

func TestArrivals(t *testing.T) {
	for _, sync := range []bool{false, true} {
		got := make(chan Arrival, 100)
		o := small(t.TempDir())
		o.SyncFlush = sync
		o.Arrived = func(a Arrival) {
			if a.Queue.Max() <= a.Offset {
				t.Errorf("told of %d, but the queue ends at %d", a.Offset, a.Queue.Max())
			}
			got <- a
		}
		s := open(t, o)
		q := s.Queue("T", 0)
		half := message("T", 0, "half")
		half.SysFlag = record.FlagTransactionPrepared
		ms := []*record.Message{message("T", 0, "0"), message("T", 0, "1")}
		for _, batch := range [][]*record.Message{{half}, ms} {
			if _, err := s.Append(q, batch...); err != nil {
				t.Fatal(err)
			}
		}
		for i := range ms {
			if a := <-got; a.Queue != q || a.Offset != skua.QueueOffset(i) || a.TagsCode != record.TagsCode(ms[i].Properties) {
				t.Errorf("sync %v: arrival %d is %+v", sync, i, a)
			}
		}
		closed(t, s)
		if len(got) > 0 {
			t.Errorf("another arrival: %+v", <-got)
		}
	}
}

// Who waits until all is on disk finds all of it in the queues then.
func TestDurableIsVisible(t *testing.T) {
	var s *Store
	var ends [2]skua.LogOffset
	known, told := make(chan struct{}), make(chan [2]skua.QueueOffset, 1)
	o := small(t.TempDir())
	o.SyncFlush = true
	o.Faults.Sync = func(string) error { <-known; return nil } // so that one sync makes both durable
	o.Arrived = func(a Arrival) {
		if a.Queue.ID() == 0 { // the other one is not visible yet
			s.WhenDurable(ends[1], time.Minute, func(error) { told <- [2]skua.QueueOffset{s.Queue("T", 0).Max(), s.Queue("T", 1).Max()} })
		}
	}
	s = open(t, o)
	for id := range int32(len(ends)) {
		r, err := s.Append(s.Queue("T", id), message("T", id, "x"))
		if err != nil {
			t.Fatal(err)
		}
		ends[id] = r.End
	}
	s.log.writer.ring()
	close(known)
	if got := <-told; got != [2]skua.QueueOffset{1, 1} {
		t.Errorf("told that all is on disk when the queues end at %v", got)
	}
}

func TestShorterWaitBehindALongerOne(t *testing.T) {
	block := make(chan struct{})
	o := small(t.TempDir())
	o.SyncFlush = true
	o.Faults.Sync = func(string) error { <-block; return nil }
	s := open(t, o)
	r, err := s.Append(s.Queue("T", 0), message("T", 0, "0"))
	if err != nil {
		t.Fatal(err)
	}
	long, short := make(chan error, 1), make(chan error, 1)
	s.WhenDurable(r.End, time.Minute, func(err error) { long <- err })
	s.WhenDurable(r.End, time.Millisecond, func(err error) { short <- err })
	if err := <-short; !errors.Is(err, ErrFlushTimeout) {
		t.Errorf("told %v", err)
	}
	close(block)
	if err := <-long; err != nil {
		t.Errorf("told %v", err)
	}
}

func TestGroupCommit(t *testing.T) {
	var mu sync.Mutex
	syncs := 0
	o := small(t.TempDir())
	o.SyncFlush = true
	o.Faults.Sync = func(string) error {
		mu.Lock()
		defer mu.Unlock()
		syncs++
		return nil
	}
	s := open(t, o)
	const writers, each = 20, 20
	var work sync.WaitGroup
	for id := range int32(writers) {
		work.Go(func() {
			for range each {
				r, err := s.Append(s.Queue("T", id), message("T", id, "x"))
				if err != nil {
					t.Error(err)
					return
				}
				done := make(chan error, 1)
				s.WhenDurable(r.End, 10*time.Second, func(err error) { done <- err })
				if err := <-done; err != nil || s.Durable() < r.End {
					t.Errorf("told %v with the log durable up to %d of %d", err, s.Durable(), r.End)
				}
			}
		})
	}
	work.Wait()
	mu.Lock()
	defer mu.Unlock()
	if syncs >= writers*each {
		t.Errorf("%d syncs for %d messages", syncs, writers*each)
	}
}
