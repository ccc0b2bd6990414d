package store

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

func benchOptions(b *testing.B) Options {
	return Options{Dir: b.TempDir(), NoIndex: true, TagsCode: func(m *record.Message, hash int64) int64 { return hash }}
}

func benchMessage(id int32) *record.Message {
	m := message("Bench", id, "x")
	m.Body = make([]byte, 1024)
	return m
}

func BenchmarkAppend(b *testing.B) {
	for _, index := range []bool{false, true} {
		b.Run(fmt.Sprint("index=", index), func(b *testing.B) {
			o := benchOptions(b)
			o.NoIndex = !index
			s := open(b, o)
			m := benchMessage(0)
			q := s.Queue("Bench", 0)
			b.SetBytes(1024)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := s.Append(q, m); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			st := s.Stats()
			b.ReportMetric(float64(st.WaitTime)/float64(b.N), "wait-ns/op")
		})
	}
}

func BenchmarkAppendParallel(b *testing.B) {
	s := open(b, benchOptions(b))
	var next atomic.Int32
	b.SetBytes(1024)
	b.ReportAllocs()
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		id := next.Add(1)
		m, q := benchMessage(id), s.Queue("Bench", id)
		for pb.Next() {
			if _, err := s.Append(q, m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendDurable(b *testing.B) {
	o := benchOptions(b)
	o.SyncFlush = true
	s := open(b, o)
	var next atomic.Int32
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		id := next.Add(1)
		m, q := benchMessage(id), s.Queue("Bench", id)
		done := make(chan error, 1)
		for pb.Next() {
			r, err := s.Append(q, m)
			if err != nil {
				b.Fatal(err)
			}
			s.WhenDurable(r.End, time.Second, func(err error) { done <- err })
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	const n = 20000
	for _, where := range []string{"ring", "files"} {
		b.Run(where, func(b *testing.B) {
			o := benchOptions(b)
			if where == "files" {
				o.StagingSize = 1 // the least
			}
			s := open(b, o)
			q := s.Queue("Bench", 0)
			m := benchMessage(0)
			for range n {
				if _, err := s.Append(q, m); err != nil {
					b.Fatal(err)
				}
			}
			time.Sleep(100 * time.Millisecond) // reads compete with the writer otherwise
			first := skua.QueueOffset(0)
			if where == "ring" {
				first = n - 10000
			}
			var r ReadResult
			b.ReportAllocs()
			b.ResetTimer()
			next, got := first, 0
			for range b.N {
				s.Read(q, ReadRequest{Offset: next, MaxMessages: 32}, &r)
				got += len(r.Records)
				if next = r.Next; next >= n/2 && where == "files" || next >= n {
					next = first
				}
			}
			r.Release()
			b.ReportMetric(float64(got)/float64(b.N), "msgs/op")
		})
	}
}

// BenchmarkReadMapped reads records that lie among those of seven other queues, as views, which it copies like a reply does.
func BenchmarkReadMapped(b *testing.B) {
	const n, queues = 100_000, 8
	s := open(b, benchOptions(b))
	var q *Queue
	for i := range n {
		q = s.Queue("Bench", int32(i%queues))
		if _, err := s.Append(q, benchMessage(int32(i%queues))); err != nil {
			b.Fatal(err)
		}
	}
	var r ReadResult
	reply := make([]byte, 0, 256<<10)
	read := func(next skua.QueueOffset) {
		readBoth(s, q, ReadRequest{Offset: next, MaxMessages: 32, NoWait: true, Mapped: true}, &r)
		reply = reply[:0]
		for _, record := range r.Records {
			reply = append(reply, record...)
		}
	}
	for range 10 {
		read(0)
	}
	b.ReportAllocs()
	views, next := 0, skua.QueueOffset(0)
	for b.Loop() {
		read(next)
		views += len(r.pins)
		if next = r.Next; next >= n/queues/2 {
			next = 0
		}
	}
	b.ReportMetric(float64(views)/float64(b.N), "views/op")
	r.Release()
}

func BenchmarkAppendManyQueues(b *testing.B) {
	s := open(b, benchOptions(b))
	const topics, queues = 1000, 8
	ms := make([]*record.Message, topics)
	for i := range ms {
		ms[i] = benchMessage(0)
		ms[i].Topic = fmt.Append(nil, "Bench", i)
	}
	b.SetBytes(1024)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m := ms[i%topics]
		m.QueueID = int32(i / topics % queues)
		if _, err := s.Append(s.Queue(string(m.Topic), m.QueueID), m); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// A read that looks at the properties of all records, of which it takes one in ten, none, or all; figures are for each record.
func BenchmarkReadMatching(b *testing.B) {
	const n = 100_000
	s := open(b, benchOptions(b))
	q := s.Queue("Bench", 0)
	m := benchMessage(0)
	for range n {
		if _, err := s.Append(q, m); err != nil {
			b.Fatal(err)
		}
	}
	for _, share := range []int{0, 10, 1} {
		b.Run(fmt.Sprint("one in ", share), func(b *testing.B) {
			b.ReportAllocs()
			looked := 0
			match := func([]byte) bool {
				looked++
				return share > 0 && looked%share == 0
			}
			var r ReadResult
			defer r.Release()
			for next, i := skua.QueueOffset(0), 0; i < b.N; {
				readBoth(s, q, ReadRequest{Offset: next, MaxMessages: 32, NoWait: true, Mapped: true, MatchProperties: match}, &r)
				i += int(r.Next - next)
				if next = r.Next; next >= n {
					next = 0
				}
			}
		})
	}
}
