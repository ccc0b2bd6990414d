package interop

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/skuamq/skua/interop/cluster"
)

// admin runs mqadmin commands against one name server and looks at what they print.
type admin struct {
	*testing.T
	names string
}

// expect runs a command and fails unless its output matches each pattern.
func (a admin) expect(command string, patterns ...string) string {
	a.Helper()
	args := strings.Fields(command)
	out := mqadmin(a, append([]string{args[0], "-n", a.names}, args[1:]...)...)
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(out) {
			a.Errorf("mqadmin %s: no match for %q in\n%s", command, p, out)
		}
	}
	return out
}

// until repeats a command until its output matches; for what servers tell one another in their own time.
func (a admin) until(command, pattern string) {
	a.Helper()
	re := regexp.MustCompile(pattern)
	eventually(a, 40*time.Second, fmt.Sprintf("%q from mqadmin %s", pattern, command), func() bool {
		return re.MatchString(a.expect(command))
	})
}

func newAdmin(t *testing.T) (a admin, names, broker *cluster.Server) {
	// Some of the commands would disturb other tests: wiping permissions, deleting topics.
	names, broker = private(t, cluster.Side(*namesSide), cluster.Side(*brokerSide))
	return admin{t, names.Addr}, names, broker
}

func TestMqadminTopicsAndMessages(t *testing.T) {
	t.Parallel()
	a, _, broker := newAdmin(t)
	addr := regexp.QuoteMeta(broker.Addr)

	a.expect("updateTopic -c DefaultCluster -t AdminTopic -r 3 -w 3", "create topic to "+addr+" success",
		"readQueueNums=3, writeQueueNums=3, perm=RW-")
	a.expect("updateTopic -b "+broker.Addr+" -t AdminFifo -r 2 -w 2 -a +message.type=FIFO", "create topic to "+addr+" success",
		`message.type=FIFO`)
	a.expect("updateTopic -b "+broker.Addr+" -t bad/name -r 2 -w 2", "(?i)exception|illegal")
	a.until("topicList", "(?m)^AdminTopic$")
	a.expect("topicList", "(?m)^AdminFifo$", "(?m)^TBW102$", "(?m)^SCHEDULE_TOPIC_XXXX$", "(?m)^DefaultCluster$", "(?m)^broker-a$",
		"(?m)^RMQ_SYS_TRANS_HALF_TOPIC$", "(?m)^BenchmarkTest$", "(?m)^SELF_TEST_TOPIC$")
	a.expect("topicList -c", `DefaultCluster +AdminTopic`)
	a.expect("topicRoute -t AdminTopic", `0:"`+addr+`"`, `"brokerName":"broker-a"`, `"cluster":"DefaultCluster"`, `"perm":6`,
		`"readQueueNums":3`, `"writeQueueNums":3`)
	a.expect("topicClusterList -t AdminTopic", "(?m)^DefaultCluster$")
	a.expect("topicRoute -t NoSuchTopic", "CODE: 17 ", "No topic route info in name server for the topic: NoSuchTopic")

	sent := a.expect("sendMessage -t AdminTopic -p hello -k key1 -c TagA", `broker-a +\d +SEND_OK +[0-9A-F]{32,}`)
	id := regexp.MustCompile(`SEND_OK +([0-9A-F]+)`).FindStringSubmatch(sent)
	if id == nil {
		t.Fatal("no message to look for")
	}
	a.expect("sendMessage -t AdminTopic -p second -k key2 -c TagB -b broker-a -i 1", `broker-a +1 +SEND_OK`)
	a.expect("topicStatus -t AdminTopic", `broker-a +0 +0 +\d`, `broker-a +1 +\d +[12] +20\d\d-`, `broker-a +2 +0 +\d`)
	a.expect("consumeMessage -t AdminTopic -c 10 -g AdminReader", "MSGID: "+id[1], "KEYS=key1", "TAGS=TagA", "body=.*hello", "body=.*second")
	a.expect("consumeMessage -t AdminTopic -b broker-a -i 1 -o 0 -c 1", "MSGID: ", "queueId=1, .*queueOffset=0")
	a.expect("printMsg -t AdminTopic", "minOffset=0, maxOffset=[12], ", "MSGID: "+id[1])
	a.until("queryMsgByKey -t AdminTopic -k key1", id[1]+` +\d +0`)
	a.expect("queryMsgByUniqueKey -t AdminTopic -i "+id[1], `Keys: +\[?key1`, `Tags: +\[?TagA`, "Topic: +AdminTopic")
	byOffset := a.expect("queryMsgByOffset -t AdminTopic -b broker-a -i 1 -o 0", "Topic: +AdminTopic", `Queue ID: +1`, `Queue Offset: +0`)
	if offsetID := regexp.MustCompile(`OffsetID: +([0-9A-F]{32})`).FindStringSubmatch(byOffset); offsetID != nil {
		a.expect("queryMsgById -t AdminTopic -i "+offsetID[1], "OffsetID: +"+offsetID[1], `Queue ID: +1`, `Queue Offset: +0`)
	} else {
		t.Errorf("no offset id in\n%s", byOffset)
	}

	a.expect("updateTopicPerm -t AdminTopic -p 4 -c DefaultCluster", "update topic perm from 6 to 4 in "+addr+" success")
	a.until("topicRoute -t AdminTopic", `"perm":4`)
	a.expect("deleteTopic -c DefaultCluster -t AdminTopic", `delete topic \[AdminTopic\] from cluster \[DefaultCluster\] success`,
		`delete topic \[AdminTopic\] from NameServer success`)
	a.expect("topicRoute -t AdminTopic", "CODE: 17 ")
	if out := a.expect("topicList"); strings.Contains(out, "AdminTopic\n") {
		t.Errorf("the deleted topic is still listed:\n%s", out)
	}
}

func TestMqadminClusterAndBroker(t *testing.T) {
	t.Parallel()
	a, names, broker := newAdmin(t)
	addr := regexp.QuoteMeta(broker.Addr)

	a.expect("clusterList", `DefaultCluster +broker-a +0 +`+addr+` +V\d+_\d+_\d+ `, "(?m) true *$")
	a.expect("clusterList -m", `DefaultCluster +broker-a +0 +0 +\d+ +\d+`)
	a.expect("brokerStatus -b "+broker.Addr, "brokerVersionDesc +: V", `bootTimestamp +: \d{13}`, `commitLogMaxOffset +: \d+`,
		`commitLogDirCapacity +: Total : [\d.]+ \w+, Free : [\d.]+`, `putTps +: `, `getTransferredTps +: `, "msgPutTotalTodayNow +: 0",
		`sendThreadPoolQueueSize +: \d`, `commitLogDiskRatio +: 0\.\d`, "brokerActive +: true", "runtime +: ", `dispatchBehindBytes +: 0`)
	a.expect("getBrokerConfig -b "+broker.Addr, "brokerName += +broker-a", "flushDiskType += +ASYNC_FLUSH",
		"mappedFileSizeCommitLog += +1073741824", "listenPort += +"+regexp.QuoteMeta(broker.Addr[strings.LastIndex(broker.Addr, ":")+1:]),
		"messageDelayLevel += +1s 5s 10s")
	a.expect("updateBrokerConfig -b "+broker.Addr+" -k autoCreateTopicEnable -v false", "update broker config success, "+addr)
	a.expect("getBrokerConfig -b "+broker.Addr, "autoCreateTopicEnable += +false")
	a.expect("sendMessage -t NotCreated -p x -b broker-a -i 0", "(?i)exception")
	a.expect("getNamesrvConfig", "listenPort += +"+names.Addr[strings.LastIndex(names.Addr, ":")+1:])
	a.expect("updateOrderConf -t Ordered -m put -v broker-a:3", "update orderConf success")
	a.expect("updateOrderConf -t Ordered -m get", `orderConf=\[broker-a:3\]`)
	a.expect("updateKvConfig -s space -k k -v v", "create or update kv config to namespace success")
	a.expect("deleteKvConfig -s space -k k", "delete kv config from namespace success")
	a.expect("updateTopic -c DefaultCluster -t Wiped -r 1 -w 1", "success")
	a.until("topicRoute -t Wiped", `"perm":6`)
	a.expect("wipeWritePerm -b broker-a", `wipe write perm of broker\[broker-a\] in name server\[[^]]+\] OK, \d+`)
	a.expect("topicRoute -t Wiped", `"perm":4`)
	a.expect("addWritePerm -b broker-a", `add write perm of broker\[broker-a\] in name server\[[^]]+\] OK, \d+`)
	a.expect("topicRoute -t Wiped", `"perm":6`)
}

func TestMqadminGroups(t *testing.T) {
	t.Parallel()
	a, names, broker := newAdmin(t)
	addr := regexp.QuoteMeta(broker.Addr)

	a.expect("updateSubGroup -c DefaultCluster -g AdminGroup -r 5", "create subscription group to "+addr+" success")
	name := topic(t, names, broker, "GroupTopic", 2)
	p := newProducer(t, names)
	sent := sendAll(t, p, name, 10, func(_ int, m *primitive.Message) { m.WithTag("TagA") })
	var got received
	c := newConsumer(t, names, "AdminGroup", name, "TagA || TagB", got.keep)
	eventually(t, 30*time.Second, "messages", func() bool { return got.count() >= len(sent) })

	a.expect("consumerConnection -g AdminGroup", `interop-\d+-\d+`, `127\.0\.0\.1:\d+ +GO `, `GroupTopic +TagA \|\| TagB`,
		`%RETRY%AdminGroup +\*`, "ConsumeType: CONSUME_PASSIVELY",
		"MessageModel: CLUSTERING", "ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET")
	// A producer of client-go makes itself known with its second heartbeat, after 30 s.
	a.until("producerConnection -g interop-producer -t GroupTopic", `interop-\d+-\d+ +127\.0\.0\.1:\d+`)
	a.until("consumerProgress -g AdminGroup", `(?s)GroupTopic +broker-a +\d +5 +5 .*GroupTopic +broker-a +\d +5 +5 .*Consume Diff Total: 0`)
	a.expect("consumerProgress", `AdminGroup +1 +V\d\S* +\w+ +CLUSTERING +[\d.]+ +0`)
	// The broker passes this on to the consumer; client-go cannot put a rate of 0/0 into its answer, and says so.
	a.expect("consumerStatus -g AdminGroup", `interop-\d+-\d+|json marshal error: json: unsupported value: NaN`)
	a.expect("statsAll -t GroupTopic", `GroupTopic +AdminGroup +0 `)
	a.expect("brokerConsumeStats -b "+broker.Addr, `GroupTopic +AdminGroup +broker-a +0 +5 +5 `, "Diff Total: 0")

	c.Shutdown()
	a.expect("resetOffsetByTime -g AdminGroup -t GroupTopic -s 1577836800000", "broker-a")
	a.until("consumerProgress -g AdminGroup", `(?s)GroupTopic +broker-a +\d +5 +0 .*Consume Diff Total: 10`)
	a.expect("deleteSubGroup -c DefaultCluster -g AdminGroup", `delete subscription group \[AdminGroup\] from broker \[`+addr+`\] in cluster \[DefaultCluster\] success`)
}
