package client

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/skuamq/skua/internal/record"
)

// Hooks are functions of the program that the client calls around what it does, such as to make the spans of a tracing library
// or to count; package github.com/skuamq/skua/interop/opentelemetry makes those of OpenTelemetry. Each may be nil. They are called from many goroutines, and hold up the send or the message that they are
// called for.
type Hooks struct {
	// Send is called before a message is sent, once, however often the send is tried. The function that it returns, unless it
	// is nil, is called when the send has ended, with what the program gets; of one-way sends it gets what is known.
	Send func(ctx context.Context, m *Outgoing) func(Sent, error)
	// Consume is called before a message is handed to the handler of a push consumer, which gets the context that it returns.
	// The function that it returns, unless it is nil, is called with the handler's result.
	Consume func(ctx context.Context, m *Received) (context.Context, func(error))
}

// Outgoing is a message that is about to be sent, as Hooks.Send sees it.
type Outgoing struct {
	Group   string   // of the producer
	Message *Message // not to be changed

	properties map[string]string
}

// SetProperty has a property travel with the message beside those of Message.Properties, such as the context of a trace. One
// of the same key takes the other's place. What cannot be a property makes the send fail.
func (o *Outgoing) SetProperty(key, value string) {
	if o.properties == nil {
		o.properties = map[string]string{}
	}
	o.properties[key] = value
}

// outgoing calls the hook for a message. after is nil if there is nothing to call.
func (p *Producer) outgoing(ctx context.Context, m *Message) (properties map[string]string, after func(Sent, error)) {
	if p.c.o.Hooks.Send == nil || p.o.Group == traceGroup {
		return nil, nil
	}
	o := &Outgoing{Group: p.o.Group, Message: m}
	after = p.c.o.Hooks.Send(ctx, o)
	return o.properties, after
}

// appendExtra appends what a hook adds to the properties of a message.
func appendExtra(dst []byte, extra map[string]string) ([]byte, error) {
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		if err := validateProperty(key, extra[key]); err != nil {
			return nil, fmt.Errorf("of Hooks.Send: %w", err)
		}
		dst = record.AppendProperty(dst, key, extra[key])
	}
	return dst, nil
}

// hooked calls the hook for a message that is to be consumed, and returns the context for the handler and what is to be called
// with its result.
func (c *Client) hooked(ctx context.Context, m *Received) (context.Context, func(error)) {
	if c.o.Hooks.Consume == nil {
		return ctx, func(error) {}
	}
	inner, after := c.o.Hooks.Consume(ctx, m)
	if inner == nil {
		inner = ctx
	}
	if after == nil {
		after = func(error) {}
	}
	return inner, after
}
