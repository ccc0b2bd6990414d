package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// clock0 is when the tables of tests begin.
var clock0 = time.Unix(1_700_000_000, 0)

func after(seconds int) time.Time { return clock0.Add(time.Duration(seconds) * time.Second) }

func from(conn *wire.Conn, addr string) origin {
	return origin{conn: conn, addr: addr, language: command.Java, version: command.V5_5_0}
}

func tagged(topic, expression string, version int64) command.SubscriptionData {
	s := command.SubscriptionData{Topic: topic, Expression: expression, ExpressionType: command.ExpressionTag, Version: version}
	if expression != "*" {
		for tag := range strings.SplitSeq(expression, " || ") {
			s.Tags = append(s.Tags, tag)
			s.Codes = append(s.Codes, int32(len(tag)))
		}
	}
	return s
}

func consuming(id, group string, subs ...command.SubscriptionData) *command.HeartbeatData {
	return &command.HeartbeatData{ClientID: id, Consumers: []command.ConsumerData{{Group: group, Type: command.ConsumePassively,
		Model: command.Clustering, FromWhere: command.FromLastOffset, Subscriptions: subs}}}
}

func texts(out outcome) string {
	var b strings.Builder
	for _, f := range out.findings {
		fmt.Fprintf(&b, "%v %s\n", f.bad, f.text)
	}
	return b.String()
}

func TestConsumersComeAndGo(t *testing.T) {
	c := newClients()
	one, two := new(wire.Conn), new(wire.Conn)
	if out := c.heartbeat(from(one, "1.1.1.1:1"), consuming("a", "G", tagged("T", "*", 1)), nil, after(0)); !slices.Equal(out.changed, []string{"G"}) {
		t.Errorf("first member: %+v", out)
	}
	if out := c.heartbeat(from(one, "1.1.1.1:1"), consuming("a", "G", tagged("T", "*", 1)), nil, after(30)); out.changed != nil {
		t.Errorf("nothing new: %+v", out)
	}
	if out := c.heartbeat(from(two, "1.1.1.2:1"), consuming("b", "G", tagged("T", "*", 2)), nil, after(31)); !slices.Equal(out.changed, []string{"G"}) || len(out.findings) > 0 {
		t.Errorf("second member: %+v", out)
	}
	if got := c.consumerIDs("G"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("ids: %v", got)
	}
	if v := c.outlook([]byte("G")).topics["T"]; v.Version != 2 || v.match != nil {
		t.Errorf("newest version wins: %+v", v)
	}
	if c.outlook([]byte("none")) != nil || c.consumerIDs("none") != nil {
		t.Error("a group without members exists")
	}
	if got := c.groupsOf("T"); !slices.Equal(got, []string{"G"}) {
		t.Errorf("groups of T: %v", got)
	}
	if out := c.unregister(one, "", "G"); !slices.Equal(out.changed, []string{"G"}) {
		t.Errorf("unregister: %+v", out)
	}
	if out := c.closed(two); out.changed != nil {
		t.Errorf("the last one leaves nobody to tell: %+v", out)
	}
	if len(c.members)+len(c.ids)+len(c.consumers)+len(c.producers) != 0 {
		t.Errorf("left over: %+v", c)
	}
}

func TestTagsMatchByHash(t *testing.T) {
	c := newClients()
	c.heartbeat(from(new(wire.Conn), "a"), consuming("a", "G", tagged("T", "x || yyy", 1), tagged("%RETRY%G", "*", 1)), nil, after(0))
	topics := c.outlook([]byte("G")).topics
	if topics["%RETRY%G"].match != nil {
		t.Error("* must match without looking")
	}
	for code, want := range map[int64]bool{1: true, 3: true, 2: false, 1<<32 + 1: true} {
		if got := topics["T"].match(code); got != want {
			t.Errorf("code %d: %v", code, got)
		}
	}
}

func TestSecondFingerprintKeepsSubscriptions(t *testing.T) {
	c := newClients()
	conn := new(wire.Conn)
	bare := consuming("a", "G")
	bare.Fingerprint, bare.WithoutSub = 77, true
	if out := c.heartbeat(from(conn, "a"), bare, nil, after(0)); len(out.changed) != 1 {
		t.Error("a broker that knows nothing must ask for subscriptions by reporting a change")
	}
	full := consuming("a", "G", tagged("T", "*", 1))
	full.Fingerprint = 77
	if out := c.heartbeat(from(conn, "a"), full, nil, after(1)); len(out.changed) != 1 {
		t.Error("new topics are a change")
	}
	if out := c.heartbeat(from(conn, "a"), bare, nil, after(2)); out.changed != nil || c.outlook([]byte("G")).topics["T"] == nil {
		t.Error("withoutSub must keep what was told before")
	}
}

func TestExpiry(t *testing.T) {
	c := newClients()
	quiet, lively := new(wire.Conn), new(wire.Conn)
	c.heartbeat(from(quiet, "q"), consuming("q", "G", tagged("T", "*", 1)), nil, after(0))
	c.heartbeat(from(lively, "l"), consuming("l", "G", tagged("T", "*", 1)), nil, after(0))
	both := consuming("l", "H", tagged("T", "*", 1))
	both.Producers = []command.ProducerData{{Group: "P"}}
	c.heartbeat(from(lively, "l"), both, nil, after(90))
	out, silent := c.expire(after(121), 120*time.Second)
	if !slices.Equal(silent, []*wire.Conn{quiet}) || !strings.Contains(texts(out), "client q (q) sent no heartbeat for 2m1s") {
		t.Errorf("silent %v, %s", silent, texts(out))
	}
	if c.outlook([]byte("G")) != nil {
		t.Error("G: one member closed, the other no longer named the group for 120 s")
	}
	if c.outlook([]byte("H")) == nil || len(c.producerConnection("P")) != 1 {
		t.Error("H and P are alive")
	}
}

func TestDuplicateClientIDIsFoundOnce(t *testing.T) {
	c := newClients()
	one, two, three := new(wire.Conn), new(wire.Conn), new(wire.Conn)
	hb := consuming("172.17.0.1@1", "G", tagged("T", "*", 1))
	c.heartbeat(from(one, "10.0.0.1:5"), hb, nil, after(0))
	out := c.heartbeat(from(two, "10.0.0.2:6"), hb, nil, after(10))
	want := "true client id 172.17.0.1@1 is used by 10.0.0.1:5 and 10.0.0.2:6; in consumer groups [G] each gets the same queues: set instanceName or clientIP so that each process has its own\n"
	if got := texts(out); got != want {
		t.Errorf("got %swant %s", got, want)
	}
	if got := c.consumerIDs("G"); len(got) != 1 {
		t.Errorf("ids %v", got)
	}
	for i := range 5 {
		if out := c.heartbeat(from(one, "10.0.0.1:5"), hb, nil, after(30*i+20)); len(out.findings) > 0 {
			t.Errorf("found again: %s", texts(out))
		}
	}
	c.closed(one)
	if out := c.heartbeat(from(three, "10.0.0.1:7"), hb, nil, after(300)); len(out.findings) > 0 {
		t.Errorf("a reconnection beside a connection that is silent for long is no second client: %s", texts(out))
	}
}

func TestDifferentSubscriptionsAreFoundOnce(t *testing.T) {
	c := newClients()
	conns := []*wire.Conn{new(wire.Conn), new(wire.Conn), new(wire.Conn)}
	a, b := tagged("T", "*", 1), tagged("T", "x", 2)
	c.heartbeat(from(conns[0], "h:1"), consuming("a", "G", a), nil, after(0))
	got := texts(c.heartbeat(from(conns[1], "h:2"), consuming("b", "G", b), nil, after(1)))
	want := "true consumer group G: clients subscribe differently, so some queues may be consumed by nobody: b (h:2) has [T=x] CLUSTERING, a (h:1) has [T=*] CLUSTERING; all members of a group must subscribe to the same topics and tags\n"
	if got != want {
		t.Errorf("got %swant %s", got, want)
	}
	if got := texts(c.heartbeat(from(conns[2], "h:3"), consuming("c", "G", b), nil, after(2))); got != "" {
		t.Errorf("a third member with a known variant: %s", got)
	}
	for i := range 4 {
		hb := consuming("a", "G", a)
		if i%2 == 1 {
			hb = consuming("b", "G", b)
		}
		if out := c.heartbeat(from(conns[i%2], fmt.Sprintf("h:%d", i%2+1)), hb, nil, after(30+i)); len(out.findings)+len(out.changed) > 0 {
			t.Errorf("the difference must not be reported with each heartbeat: %+v", out)
		}
	}
	a.Expression, a.Version = "x", 3
	if got := texts(c.heartbeat(from(conns[0], "h:1"), consuming("a", "G", a), nil, after(60))); got != "false consumer group G: all members subscribe alike again\n" {
		t.Errorf("agreement: %s", got)
	}
}

func TestPullConsumersWithoutSubscriptionsAreNoConflict(t *testing.T) {
	c := newClients()
	one, two := new(wire.Conn), new(wire.Conn)
	c.heartbeat(from(one, "h:1"), consuming("a", "G", tagged("T", "*", 1)), nil, after(0))
	if got := texts(c.heartbeat(from(two, "h:2"), consuming("b", "G"), nil, after(1))); got != "" {
		t.Error(got)
	}
	if got := texts(c.heartbeat(from(two, "h:2"), consuming("b", "G", tagged("T", "x", 2)), nil, after(2))); got == "" {
		t.Error("once it subscribes it must count")
	}
	if got := texts(c.heartbeat(from(two, "h:2"), consuming("b", "G"), nil, after(3))); got != "false consumer group G: all members subscribe alike again\n" {
		t.Error(got)
	}
}

func TestHostileHeartbeats(t *testing.T) {
	huge := strings.Repeat("x", maxClientName+1)
	for name, h := range map[string]*command.HeartbeatData{
		"no id":         {},
		"long id":       {ClientID: huge},
		"long producer": {ClientID: "a", Producers: []command.ProducerData{{Group: huge}}},
		"long consumer": consuming("a", huge),
		"many groups":   {ClientID: "a", Producers: make([]command.ProducerData, maxClientGroups+1)},
		"many topics":   consuming("a", "G", make([]command.SubscriptionData, maxGroupSubscriptions+1)...),
	} {
		if checkHeartbeat(h) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := checkHeartbeat(consuming("a", "G", tagged("T", "*", 1))); err != nil {
		t.Error(err)
	}
}

// The table must agree with a twin that keeps a plain list of who said what and searches it for each answer.
func TestClientsAgainstNaiveTwin(t *testing.T) {
	type said struct {
		conn  int
		id    string
		group string
		topic string
		at    time.Time
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	c := newClients()
	conns := make([]*wire.Conn, 6)
	for i := range conns {
		conns[i] = new(wire.Conn)
	}
	var alive []said
	forget := func(when func(said) bool) { alive = slices.DeleteFunc(alive, when) }
	now := after(0)
	for step := range 4000 {
		now = now.Add(time.Duration(rnd.IntN(20)) * time.Second)
		i, group, topic := rnd.IntN(len(conns)), fmt.Sprint("G", rnd.IntN(3)), fmt.Sprint("T", rnd.IntN(2))
		id := fmt.Sprint("id", i/2)
		switch rnd.IntN(6) {
		case 0:
			c.closed(conns[i])
			forget(func(s said) bool { return s.conn == i })
		case 1:
			c.unregister(conns[i], "", group)
			forget(func(s said) bool { return s.conn == i && s.group == group })
		case 2:
			c.expire(now, time.Minute)
			forget(func(s said) bool { return now.Sub(s.at) > time.Minute })
		default:
			c.heartbeat(from(conns[i], fmt.Sprint(i)), consuming(id, group, tagged(topic, "*", int64(step))), nil, now)
			forget(func(s said) bool { return s.conn == i && s.group == group })
			alive = append(alive, said{i, id, group, topic, now})
		}
		for _, g := range []string{"G0", "G1", "G2"} {
			ids, topics := map[string]bool{}, map[string]bool{}
			for _, s := range alive {
				if s.group == g {
					ids[s.id], topics[s.topic] = true, true
				}
			}
			if got := c.consumerIDs(g); len(got) != len(ids) {
				t.Fatalf("step %d: %s has %v, want %v", step, g, got, ids)
			}
			view := c.outlook([]byte(g))
			if (view == nil) != (len(ids) == 0) || view != nil && len(view.topics) != len(topics) {
				t.Fatalf("step %d: %s sees %+v, want %v", step, g, view, topics)
			}
		}
	}
}

func TestOutlookDoesNotAllocate(t *testing.T) {
	c := newClients()
	c.heartbeat(from(new(wire.Conn), "a"), consuming("a", "G", tagged("T", "*", 1)), nil, after(0))
	group, topic := []byte("G"), []byte("T")
	if n := testing.AllocsPerRun(100, func() {
		if c.outlook(group).topics[string(topic)] == nil {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
