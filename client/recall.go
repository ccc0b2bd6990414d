package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// errHandle tells that a recall handle is none.
var errHandle = errors.New("recall handle is invalid: it must be one that Sent.RecallHandle had")

// handleBroker returns the name of the broker that gave a recall handle, which is base64 of "v1 topic broker time key".
func handleBroker(handle string) (string, error) {
	b, err := base64.URLEncoding.DecodeString(handle)
	words := strings.Split(string(b), " ")
	if err != nil || words[0] != "v1" || len(words) < 5 {
		return "", errHandle
	}
	return words[2], nil
}

// Recall takes back a message with a time of delivery that has not come, so that nobody receives it. topic is the
// message's, handle what Send returned as [Sent.RecallHandle]; any producer that has it may recall the message. Recall
// returns the message's [Sent.ID] when the broker has stored, as safely as any message, that it is recalled.
//
// An error that is an *[Error] with code 604 (ILLEGAL_OPERATION) tells that the handle is wrong, or that it is too late;
// code 16 that the broker does not allow it, see its setting recallMessageEnable. The broker does not look for the message:
// recalling one that was recalled before, or that has been delivered within the last second, succeeds and does nothing.
// After an error of another kind the message may be recalled all the same, and may be recalled again.
func (p *Producer) Recall(ctx context.Context, topic, handle string) (id string, err error) {
	if err := p.begin(); err != nil {
		return "", err
	}
	defer p.sends.Done()
	broker, err := handleBroker(handle)
	if err != nil {
		return "", fmt.Errorf("client: recall in topic %s: %w", topic, err)
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	addr, err := p.brokerAddr(ctx, topic, broker)
	if err != nil {
		return "", err
	}
	op, start := "recall in topic "+topic, time.Now()
	conn, err := p.c.conn(ctx, addr)
	if err != nil {
		return "", p.c.failed(op, addr, start, err)
	}
	f, err := conn.Call(ctx, &wire.Request{Code: command.RecallMessage,
		Header: &command.RecallHeader{ProducerGroup: p.o.Group, Topic: topic, Handle: handle}})
	if err != nil {
		return "", p.c.failed(op, addr, start, err)
	}
	p.noteRecall(topic, handle, f)
	if command.Status(f.Code) != command.StatusSuccess {
		return "", refusal(op, addr, f)
	}
	var h command.RecallResponse
	if err := command.Decode(f.Ext, &h); err != nil {
		return "", fmt.Errorf("client: %s: broker %s sent an answer that cannot be read: %w", op, addr, err)
	}
	return h.MsgID, nil
}

// brokerAddr finds the master of a broker name that serves a topic.
func (p *Producer) brokerAddr(ctx context.Context, topic, broker string) (string, error) {
	if r := p.c.routes.topic(topic).current.Load(); r != nil {
		if addr, ok := r.master(broker); ok {
			return addr, nil
		}
	}
	r, err := p.c.fetchRoute(ctx, topic)
	if err != nil {
		return "", err
	}
	addr, ok := r.master(broker)
	if !ok {
		return "", fmt.Errorf("client: topic %s: broker %q, which has the message, has no master in the route", topic, broker)
	}
	return addr, nil
}
