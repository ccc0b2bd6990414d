package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// logLines collects what a client logs.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logLines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// readFake consumes from a fake that answers pulls as told. The group stands at offset 5.
func readFake(t *testing.T, f *fake, handler Handler, pulls ...wire.Response) *logLines {
	log := new(logLines)
	f.set(func() { f.onPull = pulls })
	o := quickOptions(t, f.addr)
	o.commit, o.pullError, o.redeliver = 10*time.Millisecond, 20*time.Millisecond, 10*time.Millisecond
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	newPush(t, c, PushOptions{Group: "g", Subscriptions: []Subscription{{Topic: "t"}}, Handler: handler})
	return log
}

func TestReadGoesOn(t *testing.T) {
	box := newInbox()
	f := newFake(t)
	readFake(t, f, box.handle,
		found(5, "a", "b"),
		wire.Response{Status: command.StatusPullRetryImmediately, Header: &command.PullResponse{NextOffset: 9}}, // filtered out
		wire.Response{Status: command.StatusPullNotFound, Header: &command.PullResponse{NextOffset: 9}},
		found(9, "c"),
	)
	box.await(t, 3)
	f.pulled(10)
	f.committed(10)
	if pulls, _ := f.offsets(); fmt.Sprint(pulls) != "[5 7 9 9 10]" {
		t.Errorf("pulls from %v", pulls)
	}
}

// Pulls commit progress only. A broker may handle a pull after a commit that was sent later, and go back.
func TestPullsDoNotRepeatCommits(t *testing.T) {
	f := newFake(t)
	finish := make(chan struct{})
	next := wire.Response{Status: command.StatusPullNotFound, Header: &command.PullResponse{NextOffset: 7}}
	readFake(t, f, func(context.Context, *Received) error { <-finish; return nil }, found(5, "a", "b"), next, next)
	f.await("all pulls, of which the last one waits", func() bool { return len(f.pulls) == 4 })
	close(finish)
	f.committed(7)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.carried) != 0 {
		t.Errorf("pulls committed %v while nothing was consumed", f.carried)
	}
}

func TestReadOffsetMoved(t *testing.T) {
	box := newInbox()
	f := newFake(t)
	log := readFake(t, f, box.handle,
		found(5, "a"),
		wire.Response{Status: command.StatusPullOffsetMoved, Remark: "OFFSET_RESET", Header: &command.PullResponse{NextOffset: 2}},
		found(2, "b"),
		wire.Response{Status: command.StatusPullOffsetMoved, Header: &command.PullResponse{NextOffset: 3}}, // to where it is
		found(3, "c"),
	)
	box.until(t, func() bool { return box.by["b"] == 1 && box.by["c"] == 1 }) // "a" may have been forgotten by the reset
	f.committed(4)
	if pulls, _ := f.offsets(); fmt.Sprint(pulls[:5]) != "[5 6 2 3 3]" {
		t.Errorf("pulls from %v", pulls)
	}
	if log.count("OFFSET_RESET") != 1 {
		t.Error("the reset is not in the log")
	}
}

// TestReadOffsetGone: what was read before the broker deleted it is consumed.
func TestReadOffsetGone(t *testing.T) {
	box := newInbox()
	f := newFake(t)
	readFake(t, f, box.handle,
		found(5, "a", "b", "c"),
		wire.Response{Status: command.StatusPullOffsetMoved, Remark: "OFFSET_TOO_SMALL", Header: &command.PullResponse{NextOffset: 20}},
		found(20, "d"),
	)
	box.await(t, 4)
	f.committed(21)
	if pulls, _ := f.offsets(); fmt.Sprint(pulls) != "[5 8 20 21]" {
		t.Errorf("pulls from %v", pulls)
	}
}

// TestReadTrouble: a broker that refuses is asked again at the same place, and the log tells it once.
func TestReadTrouble(t *testing.T) {
	box := newInbox()
	garbage := found(5, "x")
	garbage.Body[4] = 0
	f := newFake(t)
	log := readFake(t, f, box.handle,
		wire.Response{Status: command.StatusNoPermission, Remark: "not you"},
		wire.Response{Status: command.StatusNoPermission, Remark: "not you"},
		wire.Response{Status: command.StatusSystemBusy},
		garbage,
		wire.Response{Status: command.StatusSuccess}, // without its header
		found(5, "a"),
	)
	box.await(t, 1)
	f.pulled(6)
	if pulls, _ := f.offsets(); fmt.Sprint(pulls) != "[5 5 5 5 5 5 6]" {
		t.Errorf("pulls from %v", pulls)
	}
	if n := log.count("not you"); n != 1 {
		t.Errorf("the refusal is in the log %d times", n)
	}
	if log.count("can be read again") == 0 {
		t.Error("the log does not tell that it is over")
	}
}

// TestSendBackFails: a message that could not be handled and not be sent back either is handled here once more, and
// its offset is not committed before.
func TestSendBackFails(t *testing.T) {
	box := newInbox()
	f := newFake(t)
	f.set(func() { f.onBack = []command.Status{command.StatusSystemError, command.StatusSystemError} })
	readFake(t, f, func(_ context.Context, m *Received) error {
		box.add(m)
		if string(m.Body) == "bad" {
			return errors.New("no")
		}
		return nil
	}, found(5, "bad", "good"))
	box.until(t, func() bool { return box.by["bad"] == 3 })
	f.committed(7)
	if _, commits := f.offsets(); slices.Contains(commits, 6) {
		t.Errorf("commits of %v", commits)
	}
	if n := f.requests(command.ConsumerSendMsgBack); n != 3 {
		t.Errorf("%d messages were sent back", n)
	}
}
