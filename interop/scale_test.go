package interop

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

// A thousand topics with eight queues each are created, routed and sent to.
func TestThousandTopics(t *testing.T) {
	t.Parallel()
	const topics, queues = 1000, 8
	names, broker := private(t, cluster.Side(*namesSide), cluster.Side(*brokerSide))
	c, n := dial(t, broker.Addr), dial(t, names.Addr)
	name := func(i int) string { return fmt.Sprintf("Scale%04d", i) }

	begin := time.Now()
	for i := range topics {
		if err := c.CreateTopic(name(i), queues); err != nil {
			t.Fatalf("topic %d: %v", i, err)
		}
	}
	created := time.Since(begin)
	begin = time.Now()
	for i := range topics {
		eventually(t, 60*time.Second, "route of "+name(i), func() bool {
			route, err := n.TopicRoute(name(i))
			return err == nil && len(route) == 1 && route[0].Write == queues
		})
	}
	routed := time.Since(begin)

	begin = time.Now()
	var wait sync.WaitGroup
	window := make(chan struct{}, 64)
	for i := range topics * queues {
		window <- struct{}{}
		wait.Add(1)
		c.Go(remoting.SendV2, remoting.SendFields(name(i/queues), i%queues, ""), fmt.Append(nil, i), func(f *remoting.Frame, err error) {
			defer wait.Done()
			<-window
			if err != nil || f.Code != 0 {
				t.Errorf("send to %s-%d: %+v, %v", name(i/queues), i%queues, f, err)
			}
		})
	}
	wait.Wait()
	t.Logf("created in %v, all routed %v later, sent to in %v", created, routed, time.Since(begin))
	for i := 0; i < topics*queues; i += 97 {
		// Java acknowledges a message before it can be read.
		eventually(t, 10*time.Second, fmt.Sprintf("the message in %s-%d", name(i/queues), i%queues), func() bool {
			got, err := c.Read(name(i/queues), i%queues, 0)
			return err == nil && len(got) == 1 && string(got[0].Body) == fmt.Sprint(i)
		})
	}
}
