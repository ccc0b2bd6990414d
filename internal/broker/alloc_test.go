package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// rawFrame is a frame with a JSON header, as Java clients write it.
func rawFrame(code command.Code, ext map[string]string, body []byte) []byte {
	var fields []string
	for k, v := range ext {
		fields = append(fields, fmt.Sprintf("%q:%q", k, v))
	}
	header := strings.ReplaceAll(fmt.Sprintf(`{"code":%d,"extFields":{%s},"flag":0,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":513}`,
		code, strings.Join(fields, ",")), `\x`, `\u00`)
	f := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)+len(body)))
	f = binary.BigEndian.AppendUint32(f, uint32(len(header)))
	return append(append(f, header...), body...)
}

func rawSend(topic string, body []byte) []byte {
	return rawFrame(command.SendMessageV2, map[string]string{"a": "P", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1795226641636",
		"h": "0", "i": "KEYS\x01key-0\x02UNIQ_KEY\x01FD0000000000000000000000000000021CF64E0E2F2A6770BCE00000\x02WAIT\x01true\x02TAGS\x01TagA\x02",
		"j": "0", "k": "false", "m": "false", "n": "broker-a"}, body)
}

func rawPull(topic string, offset int) []byte {
	return rawFrame(command.PullMessage, map[string]string{"consumerGroup": "G", "topic": topic, "queueId": "0", "queueOffset": fmt.Sprint(offset), "maxMsgNums": "8",
		"sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "TagA", "subVersion": "0", "expressionType": "TAG"}, nil)
}

// rawConn sends frames and reads answers without allocating.
type rawConn struct {
	t    testing.TB
	conn net.Conn
	in   []byte
}

func (d *door) dialRaw() *rawConn {
	conn, err := net.Dial("tcp", d.b.Addr())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	return &rawConn{t: d.t, conn: conn, in: make([]byte, 1<<20)}
}

// exchange sends a request and returns the frame of the answer without its length, valid until the next exchange.
func (c *rawConn) exchange(frame []byte) []byte {
	if _, err := c.conn.Write(frame); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.ReadFull(c.conn, c.in[:4]); err != nil {
		c.t.Fatal(err)
	}
	n := int(binary.BigEndian.Uint32(c.in))
	if _, err := io.ReadFull(c.conn, c.in[:n]); err != nil {
		c.t.Fatal(err)
	}
	return c.in[:n]
}

// batchBody is the body of a batch of messages without properties.
func batchBody(bodies ...string) []byte {
	var b []byte
	for _, body := range bodies {
		b = record.AppendBatchItem(b, record.BatchItem{Body: []byte(body)})
	}
	return b
}

// A send, a pull and an offset update allocate nothing in the whole process: from the socket to the store and back.
func TestHotRequestsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		t.Run(flush, func(t *testing.T) {
			d := openDoor(t, "flushDiskType", flush, "mappedFileSizeCommitLog", "67108864")
			c := d.dialRaw()
			send := rawSend("T", make([]byte, 1024))
			timed := bytes.Replace(send, []byte(`TAGS\u0001TagA\u0002`), []byte(`TIMER_DELAY_SEC\u000199\u0002`), 1)
			binary.BigEndian.PutUint32(timed, uint32(len(timed)-4))
			binary.BigEndian.PutUint32(timed[4:], binary.BigEndian.Uint32(timed[4:])+uint32(len(timed)-len(send)))
			urgent := bytes.Replace(send, []byte(`KEYS\u0001key-0\u0002`), []byte(`_SYS_MSG_PRIORITY_\u00012\u0002`), 1)
			binary.BigEndian.PutUint32(urgent, uint32(len(urgent)-4))
			binary.BigEndian.PutUint32(urgent[4:], binary.BigEndian.Uint32(urgent[4:])+uint32(len(urgent)-len(send)))
			requests := map[string][]byte{
				"send":                 send,
				"timed send":           timed,
				"send with a priority": urgent,
				"batch": rawFrame(command.SendBatchMessage, map[string]string{"a": "P", "b": "T", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1", "h": "0",
					"i": "UNIQ_KEY\x01FD00\x02WAIT\x01true\x02", "m": "true"}, batchBody("one", "two", "three")),
				"pull":                  rawPull("T", 0),
				"pull without messages": rawPull("T", 1_000_000),
				"pull by SQL": rawFrame(command.PullMessage, map[string]string{"consumerGroup": "G", "topic": "T", "queueId": "0", "queueOffset": "0", "maxMsgNums": "8",
					"sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "KEYS CONTAINS 'key' AND TAGS IN ('TagA', 'TagB') AND a IS NULL",
					"subVersion": "0", "expressionType": "SQL92"}, nil),
				"update of an offset": rawFrame(command.UpdateConsumerOffset, map[string]string{"consumerGroup": "G", "topic": "T", "queueId": "0", "commitOffset": "3"}, nil),
			}
			for _, name := range []string{"send", "timed send", "send with a priority", "batch", "pull", "pull without messages", "pull by SQL", "update of an offset"} {
				for range 200 {
					answer := c.exchange(requests[name])
					if !bytes.Contains(answer, []byte(`"code":0`)) && name != "pull without messages" {
						t.Fatalf("%s: %.300s", name, answer)
					}
				}
				runs := 2000
				if flush == "SYNC_FLUSH" {
					runs = 200
				}
				// What the process does in the background may allocate meanwhile, but not each time.
				n := 1.0
				for try := 0; try < 5 && n > 0; try++ {
					n = testing.AllocsPerRun(runs, func() { c.exchange(requests[name]) })
				}
				if n > 0 {
					t.Errorf("%s: %v allocations", name, n)
				}
			}
		})
	}
}

func BenchmarkSend(b *testing.B) {
	d := openDoor(b, "mappedFileSizeCommitLog", "1073741824")
	c := d.dialRaw()
	send := rawSend("T", make([]byte, 1024))
	c.exchange(send)
	b.ReportAllocs()
	for b.Loop() {
		c.exchange(send)
	}
}

// 32 sends that come at once, as from a producer that does not wait for answers.
func BenchmarkSendBurst(b *testing.B) {
	d := openDoor(b, "mappedFileSizeCommitLog", "1073741824")
	c := d.dialRaw()
	const burst = 32
	send := rawSend("T", make([]byte, 1024))
	answer := len(c.exchange(send)) + 4
	sends := bytes.Repeat(send, burst)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.conn.Write(sends); err != nil {
			b.Fatal(err)
		}
		// Offsets gain digits meanwhile, so that answers are not shorter than the first.
		for n := 0; n < burst*answer; {
			k, err := c.conn.Read(c.in)
			if err != nil {
				b.Fatal(err)
			}
			n += k
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/msg")
}

// rawHalf is the frame of a send of a half message.
func rawHalf(topic string, body []byte) []byte {
	return rawFrame(command.SendMessageV2, map[string]string{"a": "P", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "4", "g": "1795226641636",
		"h": "0", "i": "UNIQ_KEY\x01FD0000000000000000000000000000021CF64E0E2F2A6770BCE00000\x02TRAN_MSG\x01true\x02PGROUP\x01P\x02WAIT\x01true\x02TAGS\x01TagA\x02",
		"j": "0", "k": "false", "m": "false", "n": "broker-a"}, body)
}

// ender makes the frames that end half messages, without allocating.
type ender struct {
	frame   []byte
	at, log int // where the digits are
}

const zeros = "0000000000000000000"

func newEnder(outcome string) *ender {
	e := &ender{frame: rawFrame(command.EndTransaction, map[string]string{"producerGroup": "P", "topic": "T", "tranStateTableOffset": zeros, "commitLogOffset": zeros,
		"commitOrRollback": outcome, "fromTransactionCheck": "false", "msgId": "FD00", "transactionId": "FD00", "bname": "broker-a"}, nil)}
	e.at = bytes.Index(e.frame, []byte(`tranStateTableOffset":"`)) + len(`tranStateTableOffset":"`)
	e.log = bytes.Index(e.frame, []byte(`commitLogOffset":"`)) + len(`commitLogOffset":"`)
	return e
}

// of returns the frame for the half message that was sent with an answer.
func (e *ender) of(answer []byte) []byte {
	i := bytes.Index(answer, []byte(`"queueOffset":"`)) + len(`"queueOffset":"`)
	n := int64(0)
	for ; answer[i] != '"'; i++ {
		n = n*10 + int64(answer[i]-'0')
	}
	putDigits(e.frame[e.at:], n)
	i = bytes.Index(answer, []byte(`"msgId":"`)) + len(`"msgId":"`) + 16
	for n = 0; answer[i] != '"'; i++ {
		d := int64(answer[i] - '0')
		if d > 9 {
			d = int64(answer[i]-'A') + 10
		}
		n = n<<4 + d
	}
	putDigits(e.frame[e.log:], n)
	return e.frame
}

func putDigits(b []byte, n int64) {
	for i := len(zeros) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// A half message and its end allocate nothing in the whole process.
func TestTransactionsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		d := openDoor(t, "flushDiskType", flush, "mappedFileSizeCommitLog", "67108864")
		c := d.dialRaw()
		send := rawHalf("T", make([]byte, 1024))
		end := newEnder("8")
		pair := func() {
			answer := c.exchange(send)
			if !bytes.Contains(answer, []byte(`"code":0`)) {
				t.Fatalf("send: %.300s", answer)
			}
			if answer = c.exchange(end.of(answer)); !bytes.Contains(answer, []byte(`"code":0`)) {
				t.Fatalf("end: %.300s", answer)
			}
		}
		for range 300 {
			pair()
		}
		runs := 2000
		if flush == "SYNC_FLUSH" {
			runs = 100
		}
		n := 1.0
		for try := 0; try < 5 && n > 0; try++ { // what the process does in the background may allocate meanwhile
			n = testing.AllocsPerRun(runs, pair)
		}
		if n > 0 {
			t.Errorf("%s: %v allocations", flush, n)
		}
	}
}

func BenchmarkTransaction(b *testing.B) {
	d := openDoor(b, "mappedFileSizeCommitLog", "1073741824")
	c := d.dialRaw()
	send, end := rawHalf("T", make([]byte, 1024)), newEnder("8")
	b.ReportAllocs()
	for b.Loop() {
		c.exchange(end.of(c.exchange(send)))
	}
}
