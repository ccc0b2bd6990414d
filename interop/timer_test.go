package interop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

// Java's producer sends messages with times of delivery of each kind, and recalls one; Java's consumer receives the others
// in their time.
func TestJavaClientWithTimes(t *testing.T) {
	t.Parallel()
	names, broker := private(t, cluster.Side(*namesSide), cluster.Side(*brokerSide), "recallMessageEnable=true")
	name := topic(t, names, broker, "JavaTimed", 2)
	p := javaProgram(t, names, "Timed", nil, name)
	if err := p.WaitFor(within(t), "end\n"); err != nil {
		t.Fatal(err)
	}
	out := p.Output()
	if strings.Count(out, "sent SEND_OK true") != 3 || strings.Count(out, "recalled true") != 1 || strings.Count(out, "refused far 13") != 1 ||
		strings.Contains(out, "not refused") || strings.Contains(out, "received recalled") {
		t.Error(out)
	}
	for _, body := range []string{"seconds", "millis", "time"} {
		m := regexp.MustCompile("received "+body+` (-?\d+)`).FindAllStringSubmatch(out, -1)
		if len(m) != 1 {
			t.Errorf("%s was received %d times:\n%s", body, len(m), out)
			continue
		}
		// The producer took the time just before it sent the message.
		if late, _ := strconv.Atoi(m[0][1]); late < -5 || late > 5000 {
			t.Errorf("%s was stored %d ms after it was due", body, late)
		}
	}
}

const (
	timedTopic = "StoreTimed"
	recallCode = 370
)

// timed is a message that was sent with a time of delivery.
type timed struct {
	body, handle string
	due          time.Time
	recalled     bool
}

// sendTimed sends one that is due after a delay.
func sendTimed(t *testing.T, c *remoting.Conn, body string, delay time.Duration) *timed {
	t.Helper()
	m := &timed{body: body, due: time.Now().Add(delay)}
	properties := remoting.Properties(map[string]string{"UNIQ_KEY": fmt.Sprintf("%032X", rand.Uint64()), "TIMER_DELIVER_MS": fmt.Sprint(m.due.UnixMilli())})
	f, err := c.Call(remoting.SendV2, remoting.SendFields(timedTopic, 0, properties), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	m.handle = f.ExtFields["recallHandle"]
	return m
}

// recallTimed recalls one.
func recallTimed(t *testing.T, c *remoting.Conn, m *timed) {
	t.Helper()
	if _, err := c.Call(recallCode, remoting.Fields("producerGroup", "P", "topic", timedTopic, "recallHandle", m.handle), nil); err != nil {
		t.Errorf("recall of %s: %v", m.body, err)
	}
	m.recalled = true
}

// A directory goes from hand to hand with messages that wait in it: each side delivers what the other has parked, and
// recalls it.
func TestTimedMessagesGoBetweenJavaAndSkua(t *testing.T) {
	for _, sides := range [][]cluster.Side{
		{cluster.Skua, cluster.Java, cluster.Skua},
		{cluster.Java, cluster.Skua, cluster.Java},
	} {
		t.Run(fmt.Sprint(sides), func(t *testing.T) {
			t.Parallel()
			if !needSkua() {
				sides = []cluster.Side{cluster.Java, cluster.Java, cluster.Java}
			}
			handTimed(t, sides)
		})
	}
}

func handTimed(t *testing.T, sides []cluster.Side) {
	names, broker := private(t, cluster.Side(*namesSide), sides[0], append([]string{"recallMessageEnable=true", "mappedFileSizeTimerLog=4096"}, smallFiles...)...)
	topic(t, names, broker, timedTopic, 1)
	var all []*timed
	for i, side := range sides {
		if i > 0 {
			broker = handOver(t, broker, side)
		}
		c := dial(t, broker.Addr)
		for _, m := range all {
			if strings.HasSuffix(m.body, "for recall") && !m.recalled {
				recallTimed(t, c, m)
			}
		}
		for n := range 100 { // some files of the timer log
			all = append(all, sendTimed(t, c, fmt.Sprintf("%s, round %d, message %d", side, i, n), time.Duration(2000+n*400)*time.Millisecond))
		}
		if i < len(sides)-1 {
			all = append(all, sendTimed(t, c, fmt.Sprintf("%s, round %d, for recall", side, i), 100*time.Second))
		}
		eventually(t, time.Minute, fmt.Sprintf("%s has put them into its wheel", side), func() bool {
			text := mqadmin(t, "brokerStatus", "-b", broker.Addr)
			return regexp.MustCompile(`timerOffsetBehind\s*: 0`).MatchString(text)
		})
	}
	c := dial(t, broker.Addr)
	want := 0
	for _, m := range all {
		if !m.recalled {
			want++
		}
	}
	var got []remoting.Record
	eventually(t, 3*time.Minute, "all messages", func() bool {
		got, _ = c.Read(timedTopic, 0, 0)
		return len(got) >= want
	})
	checkTimed(t, all, got)
	if err := broker.Stop(); err != nil {
		t.Error(err)
	}
}

// checkTimed compares what was delivered with what was sent.
func checkTimed(t *testing.T, all []*timed, got []remoting.Record) {
	t.Helper()
	times := map[string]int{}
	stored := map[string]int64{}
	for _, r := range got {
		times[string(r.Body)]++
		stored[string(r.Body)] = r.StoreTime
	}
	for _, m := range all {
		switch n := times[m.body]; {
		case m.recalled && n > 0:
			t.Errorf("%s was recalled, and delivered", m.body)
		case !m.recalled && n != 1:
			t.Errorf("%s was delivered %d times", m.body, n)
		case n > 0 && stored[m.body] < m.due.UnixMilli():
			t.Errorf("%s was delivered %d ms early", m.body, m.due.UnixMilli()-stored[m.body])
		}
	}
}

// What waits in a directory that Java wrote is delivered by Skua, however long ago it was due.
func TestTimedMessagesThatJavaParked(t *testing.T) {
	t.Parallel()
	if *brokerSide != "skua" {
		t.Skip("a Java broker forgets what was due more than a week ago")
	}
	h := cluster.Host{Dir: t.TempDir(), Binary: *binary}
	store := filepath.Join(h.Dir, "store-broker-a")
	if err := unpack(filepath.Join("testdata", "kinds", "store.tar.gz"), store); err != nil {
		t.Fatal(err)
	}
	m := readManifest(t, "kinds")
	settings := []string{"fileReservedTime=876000"}
	for name, value := range m.Properties {
		settings = append(settings, name+"="+value)
	}
	broker, err := h.Broker(context.Background(), cluster.Skua, "broker-a", "", settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Kill() })
	c := dial(t, broker.Addr)
	count := func() map[string]int {
		keys := map[string]int{}
		for queue := range 2 {
			all, _ := c.Read("Timer", queue, 0)
			for _, r := range all {
				keys[r.Properties["KEYS"]]++
			}
		}
		return keys
	}
	eventually(t, 20*time.Second, "the messages that waited", func() bool { k := count(); return k["key-7200"] == 2 && k["key-216000"] == 1 })
	for range 2 {
		if err := broker.Stop(); err != nil {
			t.Error(err)
		}
		if err := broker.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		c = dial(t, broker.Addr)
	}
	// One of each that had been delivered before, those that waited, and not the one that was recalled.
	if k := count(); k["key-1"] != 1 || k["key-2"] != 1 || k["key-3"] != 1 || k["key-7200"] != 2 || k["key-216000"] != 1 || len(k) != 5 {
		t.Errorf("%v", k)
	}
}

// Timed messages that were acknowledged are delivered although the broker is killed again and again, in the middle of sends
// and of deliveries; at most those in hand come twice.
func TestKilledBrokerDeliversTimedMessages(t *testing.T) {
	t.Parallel()
	h := cluster.Host{Dir: t.TempDir(), Binary: *binary}
	broker, err := h.Broker(context.Background(), cluster.Side(*brokerSide), "broker-a", "", "timerPrecisionMs=100", "mappedFileSizeTimerLog=1048576")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Kill() })
	var acknowledged []string
	const rounds = 5
	for round := range rounds {
		c, err := remoting.Dial(broker.Addr)
		if err != nil {
			t.Fatal(err)
		}
		acknowledged = append(acknowledged, loadTimed(c, round, func() {
			time.Sleep(300*time.Millisecond + rand.N(700*time.Millisecond)) // the load itself, not a wait for anything
			broker.Kill()
		})...)
		c.Close()
		if err := broker.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, broker.Addr)
	times := map[string]int{}
	read := int64(0)
	eventually(t, time.Minute, "all acknowledged messages", func() bool {
		all, _ := c.Read(timedTopic, 0, read)
		for _, r := range all {
			times[string(r.Body)]++
		}
		read += int64(len(all))
		for _, body := range acknowledged {
			if times[body] == 0 {
				return false
			}
		}
		return true
	})
	twice := 0
	for _, n := range times {
		twice += n - 1
	}
	if most := rounds * 1024; twice > most && *brokerSide == "skua" {
		t.Errorf("%d came again, more than %d", twice, most)
	}
	t.Logf("%d messages, %d came again", len(times), twice)
	if t.Failed() {
		if kept, err := os.MkdirTemp("", "skua-timed-"); err == nil {
			broker.Kill()
			t.Log(kept, os.Rename(broker.Store, filepath.Join(kept, "store")))
		}
	}
}

// loadTimed sends messages that are due within the second, many at a time, until the connection breaks, which during sees
// to. It returns what was acknowledged.
func loadTimed(c *remoting.Conn, round int, during func()) (acknowledged []string) {
	var broken atomic.Bool
	var mu sync.Mutex // guards acknowledged
	var open sync.WaitGroup
	window := make(chan struct{}, 64)
	open.Go(during)
	for n := 0; !broken.Load(); n++ {
		body := fmt.Sprintf("%d.%d", round, n)
		properties := remoting.Properties(map[string]string{"TIMER_DELIVER_MS": fmt.Sprint(time.Now().Add(rand.N(time.Second)).UnixMilli())})
		window <- struct{}{}
		open.Add(1)
		c.Go(remoting.SendV2, remoting.SendFields(timedTopic, 0, properties), []byte(body), func(f *remoting.Frame, err error) {
			defer open.Done()
			<-window
			if err != nil || f.Code != 0 {
				broken.Store(true)
				return
			}
			mu.Lock()
			acknowledged = append(acknowledged, body)
			mu.Unlock()
		})
	}
	open.Wait()
	return acknowledged
}
