package nameserver

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

var rewrite = flag.Bool("rewrite", false, "write what the table does into the scenarios")

// TestTable plays the scenarios in testdata: lines are commands, lines that begin with a tab what the table is expected
// to answer. With -rewrite the answers are written.
func TestTable(t *testing.T) {

	files, err := filepath.Glob("testdata/*.scenario")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".scenario"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("%s: got\n%s", file, got)
			}
		})
	}
}

// play runs the commands of a scenario and returns it with the answers as they are.
func play(t *testing.T, text string) string {
	p := player{t: t, table: NewTable(Rules{})}
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "\t") {
			continue
		}
		fmt.Fprintln(&out, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for _, answer := range p.run(strings.Fields(line)) {
			fmt.Fprintf(&out, "\t%s\n", answer)
		}
		p.check()
	}
	return out.String()
}

// player is a table in a scenario. Brokers are written name/id@address; the cluster is c unless set.
type player struct {
	t     *testing.T
	table *Table
	now   int64 // ms
}

// arguments reads key=value words.
func arguments(words []string) map[string]string {
	args := make(map[string]string)
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		args[key] = value
	}
	return args
}

func (p *player) number(s string) int64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func (p *player) identity(s string, args map[string]string) command.BrokerIdentity {
	name, rest, _ := strings.Cut(s, "/")
	id, addr, _ := strings.Cut(rest, "@")
	cluster := args["cluster"]
	if cluster == "" {
		cluster = "c"
	}
	return command.BrokerIdentity{BrokerName: name, BrokerID: skua.BrokerID(p.number(id)), BrokerAddr: addr, ClusterName: cluster}
}

func (p *player) run(words []string) []string {
	args := arguments(words[1:])
	switch words[0] {
	case "rules":
		p.table.Rules = Rules{ActingMaster: args["acting"] == "yes", DeleteTopics: args["delete"] == "yes"}
	case "register":
		return p.register(words[1], args)
	case "unregister":
		var members []command.BrokerIdentity
		for _, w := range words[1:] {
			members = append(members, p.identity(w, nil))
		}
		return told(p.table.Unregister(members...)...)
	case "closed":
		members, notices := p.table.ConnClosed(words[1])
		return append(removed(members), told(notices...)...)
	case "after":
		p.now += p.number(words[1]) * 1000
		members, conns, notices := p.table.Expire(p.now)
		if len(members) != len(conns) {
			p.t.Errorf("%d members and %d connections", len(members), len(conns))
		}
		return append(removed(members), told(notices...)...)
	case "seen":
		p.table.Seen(p.now, "c", words[1])
	case "version":
		v, ok := p.table.DataVersion("c", words[1])
		return []string{fmt.Sprint(v.Counter, ok)}
	case "route":
		return p.route(words[1], args["zone"])
	case "topics":
		if topics := p.table.Topics(nil); len(topics) > 0 {
			return []string{strings.Join(topics, " ")}
		}
		return []string{"none"}
	case "wipe":
		return []string{fmt.Sprint(p.table.SetPerm(words[1], func(x skua.Perm) skua.Perm { return x &^ skua.PermWrite }))}
	case "delete":
		p.table.DeleteTopic(words[1], args["cluster"])
	case "add":
		p.table.AddTopic(words[1], []command.QueueData{{BrokerName: words[2], Perm: 6, ReadQueues: 1, WriteQueues: 1}})
	case "clusters":
		info := p.table.Cluster()
		var lines []string
		for _, c := range slices.Sorted(maps.Keys(info.Clusters)) {
			lines = append(lines, c+": "+strings.Join(info.Clusters[c], " "))
		}
		return lines
	default:
		p.t.Fatalf("what is %q?", words[0])
	}
	return nil
}

// register name/id@addr v=counter state=n conn=c timeout=s old acting zone=z topics=a,b:4
func (p *player) register(who string, args map[string]string) []string {
	body := &command.RegisterBrokerBody{}
	body.Topics.DataVersion = command.DataVersion{Counter: p.number(args["v"]), StateVersion: p.number(args["state"])}
	body.Topics.Topics = make(map[string]command.TopicConfig)
	for item := range strings.SplitSeq(args["topics"], ",") {
		name, perm, ok := strings.Cut(item, ":")
		if name == "" {
			continue
		}
		c := command.DefaultTopicConfig(name)
		if ok {
			c.Perm = skua.Perm(p.number(perm))
		}
		body.Topics.Topics[name] = c
	}
	if static := args["static"]; static != "" {
		body.Topics.MappingInfos = map[string]command.TopicMapping{static: {Topic: static, TotalQueues: 1}}
	}
	r := &Registration{BrokerIdentity: p.identity(who, args), HAAddr: "ha-" + who, Zone: args["zone"], Timeout: p.number(args["timeout"]) * 1000, Body: body, Conn: args["conn"]}
	if _, old := args["old"]; !old {
		_, acting := args["acting"]
		r.ActingMaster = &acting
	}
	out, err := p.table.Register(p.now, r)
	if err != nil {
		return []string{err.Error()}
	}
	var words []string
	if out.Ignored {
		words = append(words, "ignored")
	}
	if out.NewAddr {
		words = append(words, "new")
	}
	if out.MasterAddr != "" {
		words = append(words, "master="+out.MasterAddr, "ha="+out.HAAddr)
	}
	lines := []string{strings.Join(words, " ")}
	if len(words) == 0 {
		lines = nil
	}
	if out.Notice != nil {
		lines = append(lines, told(out.Notice)...)
	}
	return lines
}

func told(notices ...*Notice) []string {
	var lines []string
	for _, n := range notices {
		h := n.Header
		lines = append(lines, fmt.Sprintf("tell %s: %s min=%d@%s offline=%q ha=%q", strings.Join(n.To, ","), h.BrokerName, h.MinBrokerID, h.MinBrokerAddr, h.OfflineBrokerAddr, h.HABrokerAddr))
	}
	slices.Sort(lines)
	return lines
}

func removed(members []command.BrokerIdentity) []string {
	var lines []string
	for _, m := range members {
		lines = append(lines, fmt.Sprintf("removed %s/%d@%s", m.BrokerName, m.BrokerID, m.BrokerAddr))
	}
	slices.Sort(lines)
	return lines
}

func (p *player) route(topic, zone string) []string {
	r, ok := p.table.Route(topic)
	if !ok {
		return []string{"none"}
	}
	if zone != "" {
		inZone(r, zone)
	}
	var lines []string
	for _, b := range r.Brokers {
		line := b.Name
		for _, id := range slices.Sorted(maps.Keys(b.Addrs)) {
			line += fmt.Sprintf(" %d@%s", id, b.Addrs[id])
		}
		for _, q := range r.Queues {
			if q.BrokerName == b.Name {
				line += fmt.Sprintf(" perm=%d queues=%d", q.Perm, q.WriteQueues)
			}
		}
		lines = append(lines, line)
	}
	if len(r.Mappings) > 0 {
		lines = append(lines, fmt.Sprintf("static on %s", strings.Join(slices.Sorted(maps.Keys(r.Mappings)), " ")))
	}
	return lines
}

// check verifies what always holds.
func (p *player) check() {
	p.t.Helper()
	t := p.table
	for name, b := range t.brokers {
		if len(b.addrs) == 0 {
			p.t.Errorf("%s has no members", name)
		}
		if !t.clusters[b.cluster][name] {
			p.t.Errorf("%s is not in its cluster", name)
		}
	}
	for cluster, names := range t.clusters {
		for name := range names {
			if t.brokers[name] == nil {
				p.t.Errorf("cluster %s has %s, which there is not", cluster, name)
			}
		}
	}
	for topic, of := range t.queues {
		if len(of) == 0 {
			p.t.Errorf("%s is nowhere", topic)
		}
		for name := range of {
			if t.brokers[name] == nil {
				p.t.Errorf("%s is on %s, which there is not", topic, name)
			}
		}
	}
	for topic := range t.mappings {
		if t.queues[topic] == nil {
			p.t.Errorf("%s has mappings and no queues", topic)
		}
	}
}
