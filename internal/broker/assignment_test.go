package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
)

// assigned asks which queues of T a member of G reads, and spells the answer.
func (p *peer) assigned(member string, edit ...func(*command.QueryAssignmentBody)) string {
	p.t.Helper()
	q := command.QueryAssignmentBody{ClientID: member, Group: "G", Model: command.Clustering, Strategy: "AVG", Topic: "T"}
	for _, f := range edit {
		f(&q)
	}
	answer := p.must(command.QueryAssignment, nil, q)
	var a command.Assignments
	if err := fastjson.Unmarshal(answer.Body, &a); err != nil {
		p.t.Fatal(err)
	}
	if a.Assignments == nil {
		return string(answer.Body)
	}
	var parts []string
	for _, x := range a.Assignments {
		parts = append(parts, fmt.Sprintf("%s %s%d", x.Mode, x.Queue.Broker, x.Queue.QueueID))
		if x.Queue.Topic != q.Topic {
			p.t.Errorf("a queue of %s", x.Queue.Topic)
		}
	}
	return strings.Join(parts, ", ")
}

// enlist makes members of a group.
func (d *door) enlist(group string, ids ...string) {
	for _, id := range ids {
		d.connect(nil).must(command.HeartBeat, nil, consumer(id, group, subscribe("T", "*")))
	}
}

func (d *door) set(lines string) {
	d.t.Helper()
	d.peer.must(command.UpdateBrokerConfig, nil, []byte(lines))
}

func byCircle(q *command.QueryAssignmentBody)     { q.Strategy = "AVG_BY_CIRCLE" }
func broadcasting(q *command.QueryAssignmentBody) { q.Model = command.Broadcasting }
func ofTopic(topic string) func(*command.QueryAssignmentBody) {
	return func(q *command.QueryAssignmentBody) { q.Topic = topic }
}

func (p *peer) assignedAre(want, member string, edit ...func(*command.QueryAssignmentBody)) {
	p.t.Helper()
	if got := p.assigned(member, edit...); got != want {
		p.t.Errorf("%s: got %s, want %s", member, got, want)
	}
}

// A broker that stands alone divides its own queues.
func TestQueryAssignment(t *testing.T) {
	d := openDoor(t)
	p := d.peer
	p.createTopic("T", 4)
	p.assignedAre("{}", "a") // nobody of the group is here
	d.enlist("G", "a", "b", "c")
	for member, want := range map[string]string{"a": "PULL b0, PULL b1", "b": "PULL b2", "c": "PULL b3", "stranger": ""} {
		p.assignedAre(want, member)
	}
	p.assignedAre("PULL b0, PULL b3", "a", byCircle)
	p.assignedAre("PULL b0, PULL b1, PULL b2, PULL b3", "x", broadcasting)
	p.assignedAre("{}", "a", ofTopic("unknown"))
	p.assignedAre("{}", "a", ofTopic("unknown"), broadcasting)
	p.assignedAre("PULL b0", "a", ofTopic("%RETRY%G"))
	p.assignedAre("PULL b0", "a", ofTopic("%LMQ%light"))
	d.set("serverLoadBalancerEnable=false\n")
	p.assignedAre("PULL b0, PULL b1, PULL b2, PULL b3", "a")
}

// Without a share a consumer that pops takes from all queues, with one from some; retries are pulled all the same.
func TestAssignmentOfPop(t *testing.T) {
	d := openDoor(t)
	p := d.peer
	p.createTopic("T", 8)
	d.enlist("G", "a", "b", "c", "d")
	mode := command.MessageRequestMode{Topic: "T", Group: "G", Mode: command.ModePop}
	p.must(command.SetMessageRequestMode, nil, mode)
	p.assignedAre("POP b-1", "a")
	p.assignedAre("POP b-1", "stranger")
	mode.ShareQueues = 1
	p.must(command.SetMessageRequestMode, nil, mode)
	p.assignedAre("POP b2, POP b3, POP b4, POP b5", "b")
	p.assignedAre("POP b6, POP b7, POP b0, POP b1", "d")
	p.assignedAre("POP b3, POP b7, POP b0, POP b4", "d", byCircle)
	mode.Mode = command.ModePull
	p.must(command.SetMessageRequestMode, nil, mode)
	p.assignedAre("PULL b2, PULL b3", "b")

	d.set("defaultMessageRequestMode=POP\ndefaultPopShareQueueNum=1\n")
	p.assignedAre("PULL b2, PULL b3", "b") // what was set counts
	p.assignedAre("PULL b0", "a", ofTopic("%RETRY%G"))
	p.createTopic("U", 3)
	p.assignedAre("POP b1", "b", ofTopic("U"))
}

// The queues of all brokers are divided, as the name servers know them, who are asked now and then only.
func TestAssignmentAcrossBrokers(t *testing.T) {
	n := openNameServer(t, "")
	d := openDoor(t, "namesrvAddr", "127.0.0.1:1;"+n.addr, "loadBalancePollNameServerInterval", "3600000")
	p := d.peer
	route := func(queues ...command.QueueData) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.routes = map[string]command.TopicRoute{"T": {Queues: queues}}
	}
	d.enlist("G", "a", "b")
	p.assignedAre("{}", "a") // such as is in no route
	route(command.QueueData{BrokerName: "z", Perm: 6, ReadQueues: 1, WriteQueues: 3}, command.QueueData{BrokerName: "b", Perm: 4, ReadQueues: 2},
		command.QueueData{BrokerName: "c", Perm: 2, ReadQueues: 2})
	p.assignedAre("PULL b0, PULL b1", "a")
	p.assignedAre("PULL z0", "b")
	route(command.QueueData{BrokerName: "b", Perm: 6, ReadQueues: 1})
	p.assignedAre("PULL z0", "b")
	n.mu.Lock()
	if n.looked != 2 {
		t.Errorf("asked %d times", n.looked)
	}
	n.mu.Unlock()
	d.set("loadBalancePollNameServerInterval=0\n")
	p.assignedAre("", "b")
	p.assignedAre("PULL b0", "a")
	route(command.QueueData{BrokerName: "b", Perm: 2, ReadQueues: 1})
	p.assignedAre("{}", "a") // nothing can be read: consumers keep what they have
	route(command.QueueData{BrokerName: "b", Perm: 6, ReadQueues: 1})
	p.assignedAre("PULL b0", "a")
	n.close()
	p.assignedAre("PULL b0", "a") // as before
}

func TestQueryAssignmentRefuses(t *testing.T) {
	d := openDoor(t)
	ok := command.QueryAssignmentBody{ClientID: "a", Group: "G", Model: command.Clustering, Strategy: "AVG", Topic: "T"}
	for want, edit := range map[string]func(*command.QueryAssignmentBody){
		`topic "", consumerGroup "G" and clientId "a" must not be empty`: func(q *command.QueryAssignmentBody) { q.Topic = "" },
		`topic "T", consumerGroup "" and`:                                func(q *command.QueryAssignmentBody) { q.Group = "" },
		`topic "T", consumerGroup "G" and clientId ""`:                   func(q *command.QueryAssignmentBody) { q.ClientID = "" },
		"topic of 300 bytes":                                             func(q *command.QueryAssignmentBody) { q.Topic = strings.Repeat("x", 300) },
		`messageModel "" must be CLUSTERING`:                             func(q *command.QueryAssignmentBody) { q.Model = "" },
		"unsupported strategy [CONFIG]: brokers divide":                  func(q *command.QueryAssignmentBody) { q.Strategy = "CONFIG" },
	} {
		q := ok
		edit(&q)
		d.peer.refused(command.StatusInvalidParameter, want, command.QueryAssignment, nil, q)
	}
	d.peer.refused(command.StatusSystemError, "the body cannot be read", command.QueryAssignment, nil, []byte("{"))
}

func TestSetMessageRequestMode(t *testing.T) {
	d := openDoor(t, "autoCreateSubscriptionGroup", "false")
	p := d.peer
	p.createTopic("T", 4)
	p.must(command.UpdateAndCreateSubscriptiongroup, nil, command.DefaultGroupConfig("G"))
	set := func(topic, group string, mode command.RequestMode) command.MessageRequestMode {
		return command.MessageRequestMode{Topic: topic, Group: group, Mode: mode, ShareQueues: 3}
	}
	const code = command.SetMessageRequestMode
	p.refused(command.StatusNoPermission, "retry topic is not allowed to set mode", code, nil, set("%RETRY%x", "G", command.ModePop))
	p.refused(command.StatusTopicNotExist, "topic[Nope] not exist", code, nil, set("Nope", "G", command.ModePop))
	p.refused(command.StatusSubscriptionGroupNotExist, "subscription group does not exist: none", code, nil, set("T", "none", command.ModePop))
	p.refused(command.StatusInvalidParameter, `mode "PUSH" of topic T and group G must be PULL or POP`, code, nil, set("T", "G", "PUSH"))
	p.refused(command.StatusSystemError, "the body cannot be read", code, nil, []byte("{"))
	file := filepath.Join(d.o.StorePathRootDir, "config", "messageRequestMode.json")
	if _, err := os.Stat(file); err == nil {
		t.Error("refusals were saved")
	}
	if got := p.must(command.GetAllMessageRequestMode, nil, nil).Body; string(got) != `{"messageRequestModeMap":{}}` {
		t.Errorf("modes %s", got)
	}

	p.must(code, nil, set("T", "G", command.ModePull))
	p.must(code, nil, set("T", "TOOLS_CONSUMER", command.ModePull))
	p.must(code, nil, []byte(`{"consumerGroup":"G","mode":1,"popShareQueueNum":-2,"topic":"T"}`)) // as clients in other languages may write it
	want := `{"messageRequestModeMap":{"T":{"G":{"consumerGroup":"G","mode":"POP","popShareQueueNum":-2,"topic":"T"},` +
		`"TOOLS_CONSUMER":{"consumerGroup":"TOOLS_CONSUMER","mode":"PULL","popShareQueueNum":3,"topic":"T"}}}}`
	check := func(when string) {
		t.Helper()
		if got := p.must(command.GetAllMessageRequestMode, nil, nil).Body; string(got) != want {
			t.Errorf("%s: modes %s", when, got)
		}
	}
	check("after changes")
	if n := d.log.count("pop is not in this release"); n != 1 {
		t.Errorf("warned of pop %d times", n)
	}
	// What a broker that was killed finds is what is in the file now; the version before is beside it.
	saved, err := os.ReadFile(file)
	if err != nil || strings.Join(strings.Fields(string(saved)), "") != want {
		t.Errorf("in the file: %s %v", saved, err)
	}
	if old, err := os.ReadFile(file + ".bak"); err != nil || strings.Contains(string(old), "POP") || !strings.Contains(string(old), "TOOLS_CONSUMER") {
		t.Errorf("in the file before: %s %v", old, err)
	}
	d.restart()
	p = d.peer
	check("after a restart")
	p.must(command.HeartBeat, nil, consumer("a", "G", subscribe("T", "*")))
	p.assignedAre("POP b-1", "a")

	d.close()
	if err := os.WriteFile(file, []byte(`{"messageRequestModeMap":{"T":`), 0o644); err != nil {
		t.Fatal(err)
	}
	d.start()
	if got := d.peer.must(command.GetAllMessageRequestMode, nil, nil).Body; strings.Contains(string(got), "POP") || !strings.Contains(string(got), "TOOLS_CONSUMER") {
		t.Errorf("of a damaged file: modes %s", got)
	}
}
