package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// isReply is the value of MSG_TYPE in replies.
const isReply = "reply"

// replyTo is what a reply takes over from its request.
type replyTo struct {
	client, correlation, ttl string
	broker                   string // which has the request: its sender is connected there
}

// NewReply returns the reply to a request that a consumer received, to be completed with properties and the like, and to be
// sent once, by Send or another method of a producer but SendBatch. It goes to the client that sent the request, and to its
// cluster's reply topic. A message that is no request, or is a reply itself, is an error.
func NewReply(request *Received, body []byte) (*Message, error) {
	const failed = "client: create reply message fail"
	if request == nil {
		return nil, errors.New(failed + ", requestMessage cannot be null")
	}
	if request.Property(skua.PropMessageType) == isReply {
		return nil, fmt.Errorf("%s: message %s is a reply itself, whoever answered it would go round in circles", failed, request.ID())
	}
	cluster := request.Property(skua.PropCluster)
	if cluster == "" {
		return nil, fmt.Errorf("%s, requestMessage error, property[CLUSTER] is null: the broker of message %s has not set it", failed, request.ID())
	}
	to := replyTo{
		client: request.Property(skua.PropReplyToClient), correlation: request.Property(skua.PropCorrelationID), ttl: request.Property(skua.PropTTL),
		broker: request.Queue.Broker,
	}
	for key, value := range map[string]string{skua.PropReplyToClient: to.client, skua.PropCorrelationID: to.correlation} {
		if value == "" {
			return nil, fmt.Errorf("%s, requestMessage error, property[%s] is null: message %s is no request, nobody waits for a reply", failed, key, request.ID())
		}
	}
	return &Message{Topic: cluster + skua.ReplyTopicSuffix, Body: body, reply: &to}, nil
}

// Reply answers a request that a consumer received. It returns when the client that sent the request has the reply; the
// error is an *Error if that is no longer connected, or a *FailedError of several of them. A handler that does not want the
// request to come again then must not return the error. As to ctx see Send.
func (p *Producer) Reply(ctx context.Context, request *Received, body []byte) error {
	m, err := NewReply(request, body)
	if err != nil {
		return err
	}
	_, err = p.Send(ctx, m)
	return err
}

// appendProperties appends what tells a reply from other messages.
func (r *replyTo) appendProperties(dst []byte) []byte {
	dst = record.AppendProperty(dst, skua.PropMessageType, isReply)
	dst = record.AppendProperty(dst, skua.PropCorrelationID, r.correlation)
	dst = record.AppendProperty(dst, skua.PropReplyToClient, r.client)
	if r.ttl != "" {
		dst = record.AppendProperty(dst, skua.PropTTL, r.ttl)
	}
	return dst
}

// elsewhere reports whether a reply that a broker could not pass on may go by another one, to which the requester is
// connected, too. Each that was asked has stored it.
func (p *Producer) elsewhere(x *parcel) bool {
	r := p.c.routes.topic(x.topic).current.Load()
	return r != nil && len(r.brokers) > 1
}

// again reports whether another attempt at sending x may succeed where one failed with err.
func (p *Producer) again(x *parcel, err error) bool {
	if x.code == command.SendReplyMessageV2 && codeOf(err) == command.StatusSystemError && !p.elsewhere(x) {
		return false
	}
	return retryable(err)
}
