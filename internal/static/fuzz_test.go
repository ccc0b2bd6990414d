package static

import (
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
)

// Whatever a mapping says: one that is accepted can be worked with, is accepted again, and survives being written.
func FuzzAccept(f *testing.F) {
	f.Add([]byte(`{"bname":"a","currIdMap":{},"dirty":false,"epoch":5,"hostedQueues":{0:[{"bname":"a","endOffset":-1,"gen":0,"logicOffset":0,"queueId":0,"startOffset":0,"timeOfEnd":-1,"timeOfStart":-1}]},"scope":"__global__","topic":"T","totalQueues":1}`), int64(3))
	f.Add([]byte(`{bname:'a',hostedQueues:{"0":[{bname:"b",logicOffset:0,endOffset:9},{bname:"a",gen:1,logicOffset:10000},{bname:"c",gen:2,logicOffset:-1}],3:[]},topic:"T",totalQueues:7}`), int64(10005))
	f.Add([]byte(`{"topic":"T","bname":"a","totalQueues":65536,"hostedQueues":{"65535":[{"bname":"a","startOffset":9223372036854775807,"logicOffset":9223372036854775807}]}}`), int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, off int64) {
		var d command.TopicMappingDetail
		if fastjson.Unmarshal(data, &d) != nil {
			return
		}
		m, err := Accept(nil, d, "T", "a", 100, false)
		if err != nil {
			return
		}
		info := m.Info()
		for id := range d.Hosted {
			q := m.Queue(id)
			if q == nil {
				continue
			}
			if _, led := info.CurrIDs[id]; led != q.Leads() {
				t.Errorf("queue %d: leads %v, as name servers are told %v", id, q.Leads(), led)
			}
			it := q.At(off)
			if it == nil {
				continue
			}
			at := it.Physical(off)
			for _, status := range []command.Status{command.StatusSuccess, command.StatusPullNotFound, command.StatusPullOffsetMoved} {
				q.Translate(it, at, Answer{Status: status, Next: at, Min: 0, Max: at})
			}
			it.Room(at, 32)
		}
		owners := Owners("T", map[string]command.TopicMapping{"a": info})
		for id := range info.CurrIDs {
			if owners[skua.Queue{Topic: "T", Broker: MockBroker(info.Scope), ID: id}] != "a" {
				t.Errorf("queue %d has another owner", id)
			}
		}
		text, err := fastjson.Marshal(m.Detail())
		if err != nil {
			t.Fatal(err)
		}
		var again command.TopicMappingDetail
		if err := fastjson.Unmarshal(text, &again); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if _, err := Accept(m, again, "T", "a", 100, false); err != nil {
			t.Errorf("not accepted again: %v", err)
		}
	})
}
