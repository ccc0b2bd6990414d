package interop

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/skuamq/skua/client"
	"github.com/skuamq/skua/interop/opentelemetry"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"
)

// A trace leads from a request through the send of a message to each call of its handler, and to what that does; a failure is seen
// in it.
func TestOpenTelemetrySpans(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "Spans", 1)
	recorder := tracetest.NewSpanRecorder()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(recorder))
	defer provider.Shutdown(context.Background())
	c, err := client.Open(t.Context(), client.Options{NameServers: []string{names.Addr}, Log: slog.New(slog.DiscardHandler), Hooks: opentelemetry.Hooks(provider)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := c.Producer(client.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	member, err := baggage.NewMember("customer", "17")
	if err != nil {
		t.Fatal(err)
	}
	bag, err := baggage.New(member)
	if err != nil {
		t.Fatal(err)
	}
	ctx, request := provider.Tracer("test").Start(baggage.ContextWithBaggage(within(t), bag), "request")
	sent, err := p.Send(ctx, &client.Message{Topic: name, Tag: "A", Keys: []string{"k1", "k2"}, Body: []byte("herring")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(ctx, &client.Message{Topic: name}); err == nil {
		t.Error("sent without a body")
	}
	request.End()
	_, err = c.PushConsumer(within(t), client.PushOptions{Group: "SpansGroup", Subscriptions: []client.Subscription{{Topic: name}}, Start: client.StartEarliest,
		Handler: func(ctx context.Context, m *client.Received) error {
			_, work := provider.Tracer("test").Start(ctx, "work for "+baggage.FromContext(ctx).Member("customer").Value())
			work.End()
			if m.ReconsumeTimes == 0 {
				return client.RetryAt(1, errors.New("not yet"))
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string][]trace.ReadOnlySpan{}
	eventually(t, 30*time.Second, "the spans of two calls of the handler", func() bool {
		clear(byName)
		for _, s := range recorder.Ended() {
			byName[s.Name()] = append(byName[s.Name()], s)
		}
		return len(byName["process "+name]) == 2
	})
	send := byName["send "+name][0]
	has := func(s trace.ReadOnlySpan, key, want string) {
		t.Helper()
		for _, a := range s.Attributes() {
			if a.Key == attribute.Key(key) && a.Value.String() == want {
				return
			}
		}
		t.Errorf("%s has no %s=%s: %v", s.Name(), key, want, s.Attributes())
	}
	if send.SpanKind() != api.SpanKindProducer || send.Parent().SpanID() != request.SpanContext().SpanID() || send.Status().Code != codes.Unset {
		t.Errorf("%+v", send)
	}
	has(send, "messaging.message.id", sent.ID)
	has(send, "messaging.rocketmq.message.tag", "A")
	has(send, "messaging.destination.name", name)
	for i, s := range byName["process "+name] {
		if s.SpanKind() != api.SpanKindConsumer || s.Parent().SpanID() != send.SpanContext().SpanID() || s.SpanContext().TraceID() != request.SpanContext().TraceID() {
			t.Errorf("%+v", s)
		}
		has(s, "messaging.message.id", sent.ID)
		has(s, "messaging.rocketmq.message.reconsume_times", []string{"0", "1"}[i])
		if failed := s.Status().Code == codes.Error; failed != (i == 0) {
			t.Errorf("call %d: %v", i, s.Status())
		}
	}
	if work := byName["work for 17"]; len(work) != 2 || work[0].Parent().SpanID() != byName["process "+name][0].SpanContext().SpanID() {
		t.Errorf("%v", work)
	}
	t.Logf("%d spans", len(recorder.Ended()))
}
