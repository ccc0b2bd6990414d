package client

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// traced is the outcome as trace records name it.
func (o Outcome) traced() string {
	switch o {
	case Commit:
		return "COMMIT_MESSAGE"
	case Rollback:
		return "ROLLBACK_MESSAGE"
	}
	return "UNKNOW"
}

// noteEnd traces what a broker is told of a transaction whose message this producer has sent. As in Java it is noted before
// the broker has answered.
func (p *TransactionProducer) noteEnd(x *parcel, sent Sent, addr string, outcome Outcome) {
	if p.p.traces == nil || x.untraced {
		return
	}
	m := x.messages[0]
	p.p.traces.note(&traceRecord{kind: traceEndTransaction, at: time.Now().UnixMilli(), region: x.region, group: p.o.Group, topic: m.Topic, id: sent.ID,
		tag: m.Tag, keys: strings.Join(m.Keys, " "), store: addr, message: tracedCommit, transaction: sent.ID, state: outcome.traced()})
}

// noteChecked traces what a broker is told that has asked.
func (p *TransactionProducer) noteChecked(m *Received, addr string, outcome Outcome) {
	if p.p.traces == nil || m.Property(skua.PropTraceOn) == "false" {
		return
	}
	r := &traceRecord{kind: traceEndTransaction, at: time.Now().UnixMilli(), region: m.Property(skua.PropRegion), group: p.o.Group, topic: m.Topic, id: m.ID(),
		tag: m.Tag(), keys: m.Property(skua.PropKeys), store: addr, message: tracedCommit, transaction: m.ID(), state: outcome.traced(), checked: true}
	if r.region == "" {
		r.region = defaultRegion
	}
	p.p.traces.note(r)
}

// noteRecall traces a recall that a broker has answered, unless the answer names no region, as of those that know nothing of
// recalls.
func (p *Producer) noteRecall(topic, handle string, f *wire.Frame) {
	region := f.Ext.String(skua.PropRegion)
	if p.traces == nil || region == "" {
		return
	}
	p.traces.note(&traceRecord{kind: traceRecall, at: time.Now().UnixMilli(), region: region, group: p.o.Group, topic: topic, id: handleKey(handle),
		success: command.Status(f.Code) == command.StatusSuccess})
}

// handleKey is the unique key of the message that a recall handle is for.
func handleKey(handle string) string {
	b, _ := base64.URLEncoding.DecodeString(handle)
	if words := strings.Split(string(b), " "); len(words) > 4 {
		return words[4]
	}
	return ""
}
