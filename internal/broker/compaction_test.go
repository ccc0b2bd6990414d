package broker_test

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// openCompacting starts a broker of which files of compacted topics hold nine messages.
func openCompacting(t testing.TB, set ...string) *door {
	return openDoor(t, append([]string{"compactionMappedFileSize", "4096", "compactionCqMappedFileSize", "460", "flushIntervalCommitLog", "10"}, set...)...)
}

// update sends a message for each key, and notes it as the last one.
func update(p *peer, topic string, last map[string]string, value int, keys ...string) {
	for _, key := range keys {
		body := fmt.Sprintf("%s=%d", key, value)
		p.send(topic, body, "KEYS", key)
		last[key] = body
	}
}

// consume pulls everything from an offset on, and returns the messages.
func (p *peer) consume(topic string, off int64) (out []record.Message) {
	p.t.Helper()
	for {
		answer := p.call(command.PullMessage, pullHeader(topic, off), nil)
		r := pullResponse(p.t, answer)
		switch command.Status(answer.Code) {
		case command.StatusSuccess:
		case command.StatusPullRetryImmediately:
		case command.StatusPullNotFound:
			if off != r.MaxOffset {
				p.t.Fatalf("nothing at %d, the end is %d", off, r.MaxOffset)
			}
			return out
		default:
			p.t.Fatalf("at %d: %s %s", off, command.Status(answer.Code), answer.Remark)
		}
		for b := answer.Body; len(b) > 0; {
			m, n, err := record.Decode(b)
			if err != nil {
				p.t.Fatal(err)
			}
			m.Body = slices.Clone(m.Body)
			out, b = append(out, m), b[n:]
			if int64(m.QueueOffset) < off {
				p.t.Fatalf("message %d again", m.QueueOffset)
			}
			off = int64(m.QueueOffset) + 1
		}
		if r.NextOffset < off {
			p.t.Fatalf("next offset is %d, but message %d was there", r.NextOffset, off-1)
		}
		off = r.NextOffset
	}
}

// state is what a consumer has who has read messages from the beginning.
func state(ms []record.Message) map[string]string {
	out := map[string]string{}
	for _, m := range ms {
		key, _, _ := strings.Cut(string(m.Body), "=")
		out[key] = string(m.Body)
	}
	return out
}

// compacted waits until the topic has at most so many messages.
func (d *door) compacted(topic string, most int) []record.Message {
	d.t.Helper()
	var got []record.Message
	until(d.t, fmt.Sprintf("%s has %d messages", topic, most), func() bool {
		d.b.Compact()
		got = d.peer.consume(topic, 0)
		return len(got) <= most
	})
	return got
}

var fiveKeys = []string{"a", "b", "c", "d", "e"}

func TestCompaction(t *testing.T) {
	d := openCompacting(t)
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	last := map[string]string{}
	for i := range 40 {
		update(d.peer, "T", last, i, fiveKeys...)
	}
	check := func(what string, most int) {
		t.Helper()
		got := d.compacted("T", most)
		if !maps.Equal(state(got), last) {
			t.Fatalf("%s: state is %v, want %v", what, state(got), last)
		}
		if end := got[len(got)-1].QueueOffset; int(end) != 199 && what != "more" {
			t.Fatalf("%s: the last message has offset %d", what, end)
		}
	}
	check("first", 25)
	d.restart()
	check("restart", 25)
	for i := range 3 {
		update(d.peer, "T", last, 100+i, "a", "f")
	}
	if got := d.peer.consume("T", 0); !maps.Equal(state(got), last) {
		t.Fatalf("with the tail: state is %v, want %v", state(got), last)
	}
	if got := d.peer.consume("T", 200); len(got) != 6 {
		t.Fatalf("the tail has %d messages", len(got))
	}
	if n := d.log.count("topic compacted"); n == 0 {
		t.Error("no line in the log about a pass")
	}
}

// offsetOf asks for an offset of queue 0.
func (p *peer) offsetOf(code command.Code, h *command.OffsetHeader) int64 {
	p.t.Helper()
	var r command.OffsetResponse
	if err := command.Decode(p.must(code, h, nil).Ext, &r); err != nil {
		p.t.Fatal(err)
	}
	return r.Offset
}

// Offsets are what they were, an offset that was compacted away stands for the next one, and filters and limits hold.
func TestCompactedOffsets(t *testing.T) {
	d := openCompacting(t)
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	for i := range 100 {
		key := string('a' + rune(i%4))
		d.peer.send("T", fmt.Sprintf("%s=%d", key, i), "KEYS", key, "TAGS", "Tag"+key)
	}
	left := d.compacted("T", 20)
	first := left[0].QueueOffset
	if first == 0 {
		t.Fatal("the first message is still there")
	}
	answer := d.peer.must(command.PullMessage, pullHeader("T", 1), nil)
	if m, _, err := record.Decode(answer.Body); err != nil || m.QueueOffset != first {
		t.Errorf("at 1 there is message %d, %v; want %d", m.QueueOffset, err, first)
	}
	if r := pullResponse(t, answer); r.MinOffset != int64(first) || r.MaxOffset != 100 || r.NextOffset > 100 {
		t.Errorf("the answer says %+v", r)
	}
	h := &command.OffsetHeader{Topic: []byte("T")}
	if off := d.peer.offsetOf(command.GetMinOffset, h); off != int64(first) {
		t.Errorf("the least offset is %d, want %d", off, first)
	}
	if off := d.peer.offsetOf(command.GetMaxOffset, h); off != 100 {
		t.Errorf("the greatest offset is %d", off)
	}
	for i, m := range left {
		h.Timestamp = m.StoreTime
		off := d.peer.offsetOf(command.SearchOffsetByTimestamp, h)
		if j := slices.IndexFunc(left, func(x record.Message) bool { return x.StoreTime == m.StoreTime }); off != int64(left[j].QueueOffset) {
			t.Errorf("message %d was stored at %d, for which there is offset %d", left[i].QueueOffset, m.StoreTime, off)
		}
	}
	tagged := pullHeader("T", 0)
	tagged.Subscription = []byte("Tagb")
	all := bodies(t, d.peer.must(command.PullMessage, tagged, nil).Body)
	if len(all) == 0 || slices.ContainsFunc(all, func(b string) bool { return b[0] != 'b' }) {
		t.Errorf("with Tagb there are %v", all)
	}
	one := pullHeader("T", 0)
	one.MaxMessages = 1
	if r := pullResponse(t, d.peer.must(command.PullMessage, one, nil)); r.NextOffset != int64(first)+1 {
		t.Errorf("behind one message the next is %d", r.NextOffset)
	}
	// Ids lead to the commit log as long as it has the message.
	m := left[len(left)-1]
	got, _, err := record.Decode(d.peer.must(command.ViewMessageByID, &command.ViewMessageHeader{Offset: m.LogOffset}, nil).Body)
	if err != nil || got.QueueOffset != m.QueueOffset {
		t.Errorf("at %d of the log there is message %d, %v; want %d", m.LogOffset, got.QueueOffset, err, m.QueueOffset)
	}
	if status := d.peer.call(command.PullMessage, pullHeader("T", 101), nil).Code; command.Status(status) != command.StatusPullOffsetMoved {
		t.Errorf("behind the end: %s", command.Status(status))
	}
}

// The commit log goes only when its messages were copied, and the state outlives it.
func TestCompactedStateOutlivesTheLog(t *testing.T) {
	d := openCompacting(t, "mappedFileSizeCommitLog", "65536", "deleteFileBatchMax", "100", "deleteCommitLogFilesInterval", "0")
	d.close()
	var full atomic.Bool
	full.Store(true)
	d.o.EditStore(func(o *store.Options) {
		o.Faults.Write = func(path string, _ int64, n int) (int, error) {
			if full.Load() && strings.Contains(path, "compaction") {
				return 0, syscall.ENOSPC
			}
			return n, nil
		}
	})
	d.start()
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	last := map[string]string{}
	for i := range 40 {
		update(d.peer, "T", last, i, fiveKeys...)
	}
	filler := func(n int) {
		body := string(make([]byte, 1000))
		for range n {
			d.peer.send("Filler", body)
		}
	}
	filler(300)
	begin := func() string {
		return ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table["commitLogMinOffset"]
	}
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("maxStoreSize=256K\n"))
	until(t, "the log is held", func() bool {
		d.peer.must(command.DeleteExpiredCommitLog, nil, nil)
		return d.log.count("commit log file is not removed yet") == 1 && d.log.count("stay in the commit log") == 1
	})
	if at := begin(); at != "0" {
		t.Fatalf("the log begins at %s, though nothing was copied", at)
	}
	full.Store(false)
	d.compacted("T", 25)
	until(t, "the log goes on", func() bool {
		d.b.Compact()
		d.peer.must(command.DeleteExpiredCommitLog, nil, nil)
		at, err := strconv.Atoi(begin())
		return err == nil && at > 100_000
	})
	for _, what := range []string{"without the log", "after a restart"} {
		if got := d.peer.consume("T", 0); !maps.Equal(state(got), last) || len(got) > 25 {
			t.Fatalf("%s: %d messages, state is %v, want %v", what, len(got), state(got), last)
		}
		d.restart()
	}
	update(d.peer, "T", last, 99, "a", "z")
	if got := d.peer.consume("T", 0); !maps.Equal(state(got), last) {
		t.Fatalf("with more: state is %v, want %v", state(got), last)
	}
}

// What was copied goes with its topic, and a rest of it that comes back, as after a crash, is not taken for the new topic's.
func TestDeletedCompactedTopic(t *testing.T) {
	d := openCompacting(t)
	root := filepath.Join(d.o.StorePathRootDir, "compaction")
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	last := map[string]string{}
	for i := range 20 {
		update(d.peer, "T", last, i, fiveKeys...)
	}
	d.compacted("T", 25)
	rest := filepath.Join(t.TempDir(), "compaction")
	if err := os.CopyFS(rest, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	d.peer.must(command.DeleteTopicInBroker, &command.TopicHeader{Topic: "T"}, nil)
	for _, dir := range []string{"compactionLog/T", "compactionCq/T"} {
		if _, err := os.Stat(filepath.Join(root, dir)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
	d.close()
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(root, os.DirFS(rest)); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	last = map[string]string{}
	for i := range 40 {
		update(d.peer, "T", last, 1000+i, "x", "y", "z")
	}
	if got := d.compacted("T", 20); !maps.Equal(state(got), last) {
		t.Errorf("state is %v, want %v", state(got), last)
	}
}

// A pass that does not fit on the disk is not begun, and says so once.
func TestCompactionWithoutSpace(t *testing.T) {
	d := openCompacting(t)
	d.close()
	var none atomic.Bool
	none.Store(true)
	d.o.EditStore(func(o *store.Options) {
		o.Usage = func(dir string) (store.DiskUsage, error) {
			u := store.DiskUsage{Path: dir, Used: 50, Total: 1 << 40}
			if none.Load() {
				u.Used = u.Total - 100
			}
			return u, nil
		}
		o.ForceRatio, o.WarnRatio, o.MaxUsedRatio = 2, 2, 200
	})
	d.start()
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	last := map[string]string{}
	for i := range 20 {
		update(d.peer, "T", last, i, fiveKeys...)
	}
	until(t, "a complaint", func() bool { d.b.Compact(); return d.log.count("topic cannot be compacted") > 0 })
	d.b.Compact()
	if got := d.peer.consume("T", 0); len(got) != 100 || !maps.Equal(state(got), last) {
		t.Errorf("%d messages, state %v", len(got), state(got))
	}
	none.Store(false)
	d.compacted("T", 25)
	if n := d.log.count("topic cannot be compacted"); n != 1 {
		t.Errorf("it complained %d times", n)
	}
}

// A message without a body, which only a batch can have, says that its key is gone; a blank key is none.
func TestCompactedTombstones(t *testing.T) {
	d := openCompacting(t)
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	last := map[string]string{}
	update(d.peer, "T", last, 1, "gone", "kept")
	var batch []byte
	batch = record.AppendBatchItem(batch, record.BatchItem{Properties: record.AppendProperty(nil, "KEYS", "gone")})
	h := sendHeader("T")
	h.Batch = true
	d.peer.must(command.SendMessageV2, h, batch)
	delete(last, "gone")
	for i := range 20 {
		update(d.peer, "T", last, i, "a", "b")
	}
	got := d.compacted("T", 25)
	if slices.ContainsFunc(got, func(m record.Message) bool { return m.QueueOffset == 0 || m.QueueOffset == 2 }) {
		t.Errorf("the message whose key was deleted is still there, or what deleted it: %v", state(got))
	}
	if !maps.Equal(state(got), last) {
		t.Errorf("state is %v, want %v", state(got), last)
	}
	d.peer.refused(command.StatusMessageIllegal, "Required message key is missing", command.SendMessageV2, sendHeader("T", "KEYS", " "), []byte("x"))
	d.peer.refused(command.StatusMessageIllegal, "the message is illegal: it has 4099 bytes, and topic T is compacted", command.SendMessageV2, sendHeader("T", "KEYS", "k"), make([]byte, 4000))
}

// Topics that keep batches whole are not compacted, nor are any if that is switched off.
func TestNotCompacted(t *testing.T) {
	d := openCompacting(t, "enableCompaction", "false")
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	last := map[string]string{}
	for i := range 20 {
		update(d.peer, "T", last, i, fiveKeys...)
	}
	if got := d.peer.consume("T", 0); len(got) != 100 {
		t.Errorf("%d messages", len(got))
	}
	d.close()
	d.o.EnableCompaction = true
	d.start()
	d.peer.createTopic("Batched", 1, "+cleanup.policy=COMPACTION,+queue.type=BatchCQ")
	for i := range 30 {
		d.peer.send("Batched", fmt.Sprint(i), "KEYS", "k")
	}
	if got := d.compacted("T", 25); !maps.Equal(state(got), last) {
		t.Errorf("switched on: state is %v", state(got))
	}
	if got := d.peer.consume("Batched", 0); len(got) != 30 {
		t.Errorf("%d messages in a topic of batches", len(got))
	}
}

// updateUntilKilled sends updates of keys of its own until the broker dies, and returns the last acknowledged values.
func updateUntilKilled(addr string, worker int, acked map[string]int) {
	pool := wire.NewPool(wire.Options{})
	defer pool.Close()
	p := &crashPeer{addr: addr, pool: pool}
	for n := acked[fmt.Sprintf("w%d-0", worker)] + 1; ; n++ {
		for k := range 6 {
			key := fmt.Sprintf("w%d-%d", worker, k)
			h := sendHeader("T", "KEYS", key)
			if _, err := p.call(command.SendMessageV2, h, fmt.Appendf(nil, "%s=%d", key, n)); err != nil {
				return
			}
			acked[key] = n
		}
		time.Sleep(time.Millisecond)
	}
}

// A broker is killed again and again while messages are copied and compacted. A new consumer then gets the last value of each
// key that was acknowledged, or a later one.
func TestCompactionOfAKilledBroker(t *testing.T) {
	d := openDoor(t, "compactionMappedFileSize", "23000", "compactionCqMappedFileSize", "4600")
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	acked := []map[string]int{{}, {}}
	for range 6 {
		d.close()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDirVar+"="+d.o.StorePathRootDir,
			childSetVar+"=compactionMappedFileSize=23000 compactionCqMappedFileSize=4600 compactionScheduleInternal=20 flushIntervalCommitLog=5")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		addr, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatalf("the broker does not start: %v", err)
		}
		time.AfterFunc(time.Duration(250+rand.IntN(500))*time.Millisecond, func() { cmd.Process.Kill() })
		done := make(chan bool)
		for w := range acked {
			go func() { updateUntilKilled(strings.TrimSpace(addr), w, acked[w]); done <- true }()
		}
		<-done
		<-done
		_ = cmd.Wait()
		d.start()
		got := state(d.peer.consume("T", 0))
		for w := range acked {
			for key, n := range acked[w] {
				_, text, _ := strings.Cut(got[key], "=")
				if at, err := strconv.Atoi(text); err != nil || at < n || at > n+1 {
					t.Errorf("%s is %q, %d was acknowledged", key, got[key], n)
				} else if at > n {
					acked[w][key] = at
				}
			}
		}
	}
	d.compacted("T", 150)
	end := d.peer.offsetOf(command.GetMaxOffset, &command.OffsetHeader{Topic: []byte("T")})
	t.Logf("%d messages were sent", end)
	if skua.QueueOffset(end) < 100 {
		t.Error("too few to tell anything")
	}
}
