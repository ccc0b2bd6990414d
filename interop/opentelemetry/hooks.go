// Package opentelemetry makes spans of OpenTelemetry around sends and consumption of package client. It is an example that runs:
// take it as it is, or copy it and change the names. It lives here so that programs which do without OpenTelemetry do not get it.
//
// A span of a producer begins before the first attempt of a send and ends when the program gets its result; its context travels
// with the message in the properties "traceparent", "tracestate" and "baggage". A span of a consumer lasts as long as the handler,
// and is a child of the producer's: the trace leads from the request that sent the message to what its handler does.
package opentelemetry

import (
	"context"

	"github.com/skuamq/skua/client"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name under which spans are made.
const scope = "github.com/skuamq/skua/client"

// Hooks returns hooks for [client.Options] that make spans with the tracers of a provider, such as otel.GetTracerProvider(). They may
// be used by many clients at a time.
func Hooks(provider trace.TracerProvider) client.Hooks {
	h := hooks{provider.Tracer(scope), propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})}
	return client.Hooks{Send: h.send, Consume: h.consume}
}

type hooks struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// send makes the span of a send. Attributes are those of OpenTelemetry's conventions for RocketMQ.
func (h hooks) send(ctx context.Context, o *client.Outgoing) func(client.Sent, error) {
	m := o.Message
	attributes := append(common("send", m.Topic, m.Tag, m.Keys), attribute.Int("messaging.message.body.size", len(m.Body)))
	if m.ShardingKey != "" {
		attributes = append(attributes, attribute.String("messaging.rocketmq.message.group", m.ShardingKey))
	}
	ctx, span := h.tracer.Start(ctx, "send "+m.Topic, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attributes...))
	h.propagator.Inject(ctx, outgoing{o})
	return func(s client.Sent, err error) {
		if s.ID != "" {
			span.SetAttributes(attribute.String("messaging.message.id", s.ID), attribute.Int("messaging.destination.partition.id", int(s.Queue.ID)))
		}
		end(span, err)
	}
}

// consume makes the span of a handler's call.
func (h hooks) consume(ctx context.Context, m *client.Received) (context.Context, func(error)) {
	ctx = h.propagator.Extract(ctx, received{m})
	attributes := append(common("process", m.Topic, m.Tag(), m.Keys()), attribute.String("messaging.message.id", m.ID()),
		attribute.Int("messaging.message.body.size", len(m.Body)), attribute.Int("messaging.destination.partition.id", int(m.Queue.ID)),
		attribute.Int("messaging.rocketmq.message.reconsume_times", m.ReconsumeTimes))
	ctx, span := h.tracer.Start(ctx, "process "+m.Topic, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...))
	return ctx, func(err error) { end(span, err) }
}

// common are the attributes that both spans have.
func common(operation, topic, tag string, keys []string) []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("messaging.system", "rocketmq"), attribute.String("messaging.operation.name", operation),
		attribute.String("messaging.operation.type", operation), attribute.String("messaging.destination.name", topic)}
	if tag != "" {
		all = append(all, attribute.String("messaging.rocketmq.message.tag", tag))
	}
	if len(keys) > 0 {
		all = append(all, attribute.StringSlice("messaging.rocketmq.message.keys", keys))
	}
	return all
}

func end(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// outgoing has the properties of a message written into by a propagator.
type outgoing struct{ o *client.Outgoing }

func (c outgoing) Get(string) string { return "" }
func (c outgoing) Keys() []string    { return nil }

// Set sets a property. A propagator may have nothing to say, which is no property.
func (c outgoing) Set(key, value string) {
	if value != "" {
		c.o.SetProperty(key, value)
	}
}

// received has the properties of a message read by a propagator.
type received struct{ m *client.Received }

func (c received) Get(key string) string { return c.m.Property(key) }
func (c received) Set(string, string)    {}

func (c received) Keys() []string {
	var keys []string
	for key := range c.m.Properties() {
		keys = append(keys, key)
	}
	return keys
}
