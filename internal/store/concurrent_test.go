package store

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// A batch queue and one with extensions are read while they are written, flushed and cooled down.
func TestReadWhileWriting(t *testing.T) {
	o := extended(t.TempDir())
	o.Batched, o.BatchQueueSize = batched, 460
	arrived := map[string]chan struct{}{"B": make(chan struct{}, 1), "T": make(chan struct{}, 1)}
	o.Arrived = func(a Arrival) {
		select {
		case arrived[a.Queue.Topic()] <- struct{}{}:
		default:
		}
	}
	s := open(t, o)
	const records, inEach = 2000, 3
	var work sync.WaitGroup
	write := func(topic string, each int) {
		work.Go(func() {
			for i := range records {
				if _, err := s.Append(s.Queue(topic, 0), bundle(topic, 0, each, fmt.Sprint(i))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	write("B", inEach)
	write("T", 0)
	work.Go(func() { readBatches(t, s, records, inEach, arrived["B"]) })
	work.Go(func() { readExtensions(t, s, records, arrived["T"]) })
	work.Wait()
	closed(t, s)
}

func waitFor(t *testing.T, more <-chan struct{}) bool {
	select {
	case <-more:
		return true
	case <-time.After(20 * time.Second):
		t.Error("nothing arrives")
		return false
	}
}

func readBatches(t *testing.T, s *Store, records, inEach int, more <-chan struct{}) {
	q := s.Queue("B", 0)
	var r ReadResult
	defer r.Release()
	for next := 0; next < records*inEach; {
		s.Read(q, ReadRequest{Offset: skua.QueueOffset(next), MaxMessages: 32}, &r)
		for _, b := range r.Records {
			m, _, err := record.Decode(b)
			if want := fmt.Sprint(next / inEach); err != nil || string(m.Body) != want || int(m.QueueOffset) != next {
				t.Errorf("record %s at %d, %v, want %s at %d", m.Body, m.QueueOffset, err, want, next)
				return
			}
			next += inEach
		}
		if int(r.Next) != next {
			t.Errorf("%v: the read goes on at %d, want %d", r.Status, r.Next, next)
			return
		}
		if len(r.Records) == 0 && !waitFor(t, more) {
			return
		}
	}
}

func readExtensions(t *testing.T, s *Store, records int, more <-chan struct{}) {
	q := s.Queue("T", 0)
	for i := 0; i < records; i++ {
		for int(q.Max()) <= i {
			if !waitFor(t, more) {
				return
			}
		}
		x, ok := q.Extension(skua.QueueOffset(i))
		if want := bits(&record.Message{Body: fmt.Append(nil, i)}); !ok || !bytes.Equal(x.Filter, want) {
			t.Errorf("extension of entry %d: %+v, %t", i, x, ok)
			return
		}
	}
}
