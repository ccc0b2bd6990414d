package store

import (
	"testing"
	"time"
)

func TestFarBehindReadersStepAside(t *testing.T) {
	s := open(t, small(t.TempDir()))
	appendN(t, s, "T", 0, 0, 100)
	q := s.Queue("T", 0)
	s.far = 0 // all is far behind
	r := ReadRequest{MaxMessages: 10, NoWait: true, Mapped: true}
	var got ReadResult
	defer got.Release()
	if s.Read(q, r, &got); got.Status != Found || s.Crowded() {
		t.Fatalf("%v although nobody sends", got.Status)
	}
	deadline := time.Now().Add(20 * time.Second)
	for n := 0; got.Status != WouldWait; n += 100 {
		s.readers.ring()
		appendN(t, s, "U", 0, n, n+100)
		got.Release()
		s.Read(q, r, &got)
		if time.Now().After(deadline) {
			t.Fatal("nobody notices those who send")
		}
	}
	if len(got.Records) > 0 || got.Next != 0 {
		t.Errorf("%d records, next %d, while others send", len(got.Records), got.Next)
	}
	r.NoWait = false
	if s.Read(q, r, &got); got.Status != Found || len(got.Records) != 10 {
		t.Errorf("%v with %d records", got.Status, len(got.Records))
	}
	for ; s.Crowded(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody notices that nobody sends")
		}
	}
}
