package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// The child of the crash test: this test binary, started again with these variables, is a broker until it is killed.
const (
	childDirVar = "SKUA_BROKER_CHILD_DIR"
	childSetVar = "SKUA_BROKER_CHILD_SET" // key=value separated by blanks
)

// runChild runs the broker of the crash test and tells on standard output where it listens.
func runChild(dir string) error {
	var o broker.Options
	conf.Defaults(&o)
	o.BrokerName, o.BindAddress, o.StorePathRootDir, o.ListenPort = "b", "127.0.0.1", dir, 0
	o.MappedFileSizeCommitLog, o.MaxHashSlotNum, o.MaxIndexNum = 1<<20, 100, 1000
	for _, s := range strings.Fields(os.Getenv(childSetVar)) {
		key, value, _ := strings.Cut(s, "=")
		if err := conf.Set(&o, key, value); err != nil {
			return err
		}
	}
	b, err := broker.New(o, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	fmt.Println(b.Addr())
	return b.Serve(context.Background())
}

// intents are what producers want of their half messages, by body.
type intents struct {
	mu   sync.Mutex
	all  map[string]*intent
	next int
}

type intent struct {
	commit    bool // what the local transaction came to
	stored    bool // the half message was acknowledged
	confirmed bool // the end was acknowledged
	asked     int
}

func (in *intents) begin() (string, *intent) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.next++
	id, x := fmt.Sprint("t", in.next), &intent{commit: rand.IntN(3) > 0}
	in.all[id] = x
	return id, x
}

// outcome answers a question: sometimes only after it was asked twice.
func (in *intents) outcome(id string) command.Outcome {
	in.mu.Lock()
	defer in.mu.Unlock()
	x := in.all[id]
	x.asked++
	switch {
	case x.asked == 1 && len(id)%2 == 0:
		return command.OutcomeUnknown
	case x.commit:
		return command.OutcomeCommit
	}
	return command.OutcomeRollback
}

// crashPeer is a client that may lose its connection at any moment.
type crashPeer struct {
	pool *wire.Pool
	addr string
}

func (in *intents) peer(addr string) *crashPeer {
	return &crashPeer{addr: addr, pool: wire.NewPool(wire.Options{Handler: func(f *wire.Frame) {
		if command.Code(f.Code) != command.CheckTransactionState {
			return
		}
		var h command.CheckTransactionHeader
		m, _, err := record.Decode(f.Body)
		if err != nil || command.Decode(f.Ext, &h) != nil {
			panic(err)
		}
		e := &command.EndTransactionHeader{ProducerGroup: []byte("P"), HalfOffset: h.HalfOffset, CommitLogOffset: h.CommitLogOffset,
			Outcome: in.outcome(string(m.Body)), FromCheck: true, MsgID: []byte(h.MsgID)}
		_ = f.Conn().Send(&wire.Request{Code: command.EndTransaction, Header: e})
	}})}
}

func (p *crashPeer) call(code command.Code, header, body any) (*wire.Frame, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	data, _ := body.([]byte)
	f, err := p.pool.Call(ctx, p.addr, &wire.Request{Code: code, Header: header, Body: data})
	if err == nil && f.Code != 0 {
		err = fmt.Errorf("%s: %d %s", code, f.Code, f.Remark)
	}
	return f, err
}

func heartbeatOf(id string) []byte {
	return fmt.Appendf(nil, `{"clientID":%q,"consumerDataSet":[],"producerDataSet":[{"groupName":"P"}]}`, id)
}

// produce makes transactions until the broker dies.
func (in *intents) produce(p *crashPeer, worker int) error {
	if _, err := p.call(command.HeartBeat, nil, heartbeatOf(fmt.Sprint("c", worker))); err != nil {
		return nil
	}
	for {
		id, x := in.begin()
		h := sendHeader("T", "TRAN_MSG", "true", "PGROUP", "P")
		h.BornTimestamp = time.Now().UnixMilli()
		f, err := p.call(command.SendMessageV2, h, []byte(id))
		if err != nil {
			return nil
		}
		var r command.SendResponse
		if err := command.Decode(f.Ext, &r); err != nil {
			return err
		}
		_, log, err := record.ParseOffsetID(string(r.MsgID))
		if err != nil {
			return err
		}
		in.mu.Lock()
		x.stored = true
		in.mu.Unlock()
		e := half{"P", string(r.TransactionID), skua.QueueOffset(r.QueueOffset), log}.ending(command.OutcomeRollback)
		if x.commit {
			e.Outcome = command.OutcomeCommit
		}
		switch rand.IntN(4) {
		case 0: // a producer that hangs
		case 1:
			conn, err := p.pool.Conn(context.Background(), p.addr)
			if err != nil || conn.Send(&wire.Request{Code: command.EndTransaction, Header: e}) != nil {
				return nil
			}
		case 2: // a slow one
			time.Sleep(rand.N(60 * time.Millisecond))
			fallthrough
		default:
			if _, err := p.call(command.EndTransaction, e, nil); err != nil {
				if strings.Contains(err.Error(), "END_TRANSACTION: ") {
					return err
				}
				return nil
			}
			in.mu.Lock()
			x.confirmed = true
			in.mu.Unlock()
		}
	}
}

// enough reports whether ends were acknowledged, and questions asked, often enough to tell something: brokers of a busy
// machine may be killed before they get to either.
func (in *intents) enough() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	confirmed, asked := in.countLocked()
	return confirmed >= 20 && asked >= 10
}

func (in *intents) countLocked() (confirmed, asked int) {
	for _, x := range in.all {
		if x.confirmed {
			confirmed++
		}
		if x.asked > 0 {
			asked++
		}
	}
	return confirmed, asked
}

// killOnce has producers work with a broker for a while, and kills it.
func (in *intents) killOnce(t *testing.T, dir string, round int, flush string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	set := fmt.Sprintf("flushDiskType=%s transactionTimeOut=20 transactionCheckInterval=40 transactionCheckMax=1000 flushConsumerOffsetInterval=10 transactionOpBatchInterval=%d transactionOpMsgMaxSize=%d",
		flush, []int{5, 50, 3000}[round%3], []int{20, 4096}[round%2])
	cmd.Env = append(os.Environ(), childDirVar+"="+dir, childSetVar+"="+set)
	log, err := os.Create(filepath.Join(dir, "child.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		t.Fatalf("the broker does not start: %v\n%s", err, text)
	}
	time.AfterFunc(time.Duration(20+rand.IntN(250))*time.Millisecond, func() { cmd.Process.Kill() })
	var all sync.WaitGroup
	for w := range 3 {
		p := in.peer(strings.TrimSpace(addr))
		all.Go(func() {
			if err := in.produce(p, w); err != nil {
				t.Error(err)
			}
			p.pool.Close()
		})
	}
	all.Wait()
	_ = cmd.Wait()
}

// A broker is killed again and again in the middle of transactions. What producers wanted to commit is delivered once, what
// they rolled back never, whether or not anybody told them that it was taken.
func TestTransactionsOfAKilledBroker(t *testing.T) {
	for _, c := range []struct {
		flush  string
		rounds int
	}{{"ASYNC_FLUSH", 12}, {"SYNC_FLUSH", 5}} {
		t.Run(c.flush, func(t *testing.T) {
			dir := t.TempDir()
			in := &intents{all: map[string]*intent{}}
			for round := 0; round < c.rounds || !in.enough(); round++ {
				if round == 20*c.rounds {
					t.Fatal("too few transactions to tell anything")
				}
				in.killOnce(t, dir, round, c.flush)
			}
			d := &door{t: t, log: new(logBuffer)}
			d.o = optionsIn(dir)
			d.o.MappedFileSizeCommitLog, d.o.MaxHashSlotNum, d.o.MaxIndexNum = 1<<20, 100, 1000
			d.o.TransactionTimeOut, d.o.TransactionCheckInterval, d.o.TransactionCheckMax = 20, 40, 1000
			d.start()
			t.Cleanup(d.close)
			last := in.peer(d.b.Addr())
			defer last.pool.Close()
			if _, err := last.call(command.HeartBeat, nil, heartbeatOf("last")); err != nil {
				t.Fatal(err)
			}
			until(t, "all transactions ended", func() bool {
				return ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table["halfMessages"] == "0"
			})
			in.verify(t, d)
		})
	}
}

// verify compares what was delivered with what producers wanted.
func (in *intents) verify(t *testing.T, d *door) {
	delivered := map[string]int{}
	for from := skua.QueueOffset(0); ; {
		f := d.peer.call(command.PullMessage, &command.PullHeader{Group: []byte("G"), Topic: []byte("T"), QueueOffset: int64(from), MaxMessages: 32,
			Subscription: []byte("*"), SysFlag: command.PullSubscription}, nil)
		if f.Code != 0 {
			break
		}
		for rest := f.Body; len(rest) > 0; {
			m, n, err := record.Decode(rest)
			if err != nil {
				t.Fatal(err)
			}
			delivered[string(m.Body)]++
			rest, from = rest[n:], m.QueueOffset+1
		}
	}
	in.mu.Lock() // a question that came last may still be on its way
	defer in.mu.Unlock()
	for id, x := range in.all {
		switch n := delivered[id]; {
		case n > 1:
			t.Errorf("%s was delivered %d times: %+v", id, n, *x)
		case n > 0 && !x.commit:
			t.Errorf("%s was rolled back and delivered: %+v", id, *x)
		case n == 0 && x.commit && x.stored:
			t.Errorf("%s was committed and lost: %+v", id, *x)
		}
	}
	confirmed, asked := in.countLocked()
	t.Logf("%d transactions, %d delivered, %d ends acknowledged, %d asked about", len(in.all), len(delivered), confirmed, asked)
}
