package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/wire"
)

// Options configure a Client. Zero values are defaults.
type Options struct {
	// NameServers are the addresses of the name servers, "host:port" or "host" for port 9876. One element may hold
	// several, separated by semicolons, as in RocketMQ's namesrvAddr. Host names are resolved at each connect.
	NameServers []string
	Log         *slog.Logger // nil: slog.Default
	// TLSFile is a file of properties in the form of RocketMQ's tls.properties, whose tls.client.* keys say how to check
	// servers and which certificate to show. With it all connections are TLS, without it none is.
	TLSFile string
	Timeout time.Duration // 3 s: how long one request to a server may take, and everything whose context has no deadline
	// TraceTopic is where producers and consumers that trace write what happens to messages: "RMQ_SYS_TRACE_TOPIC". Brokers
	// create that one at their start with traceTopicEnable=true.
	TraceTopic string
	Hooks      Hooks // what to call around sends and consumption

	tick      time.Duration // 30 s: refresh of routes, heartbeats
	rebalance time.Duration // 20 s
	commit    time.Duration // 5 s
	lockRenew time.Duration // 20 s
	pullError time.Duration // 3 s: pause after a pull failed
	redeliver time.Duration // 5 s: pause before a message is handled again that could not be sent back

	traceDelay time.Duration // 5 s: how long a trace waits for others
}

func (o Options) withDefaults() (Options, error) {
	servers, err := parseServers(o.NameServers)
	if err != nil {
		return o, err
	}
	o.NameServers = servers
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.TraceTopic == "" {
		o.TraceTopic = skua.TraceTopic
	}
	if err := skua.ValidateTopic(o.TraceTopic); err != nil {
		return o, fmt.Errorf("TraceTopic: %w", err)
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&o.Timeout, 3 * time.Second}, {&o.tick, 30 * time.Second}, {&o.rebalance, 20 * time.Second}, {&o.commit, 5 * time.Second},
		{&o.lockRenew, 20 * time.Second}, {&o.pullError, 3 * time.Second}, {&o.redeliver, 5 * time.Second},
		{&o.traceDelay, 5 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.or
		}
	}
	return o, nil
}

// parseServers splits lists and adds the usual port where none is given.
func parseServers(lists []string) ([]string, error) {
	var servers []string
	for _, list := range lists {
		for _, addr := range strings.FieldsFunc(list, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
			addr = strings.TrimPrefix(addr, "http://")
			if _, _, err := net.SplitHostPort(addr); err != nil {
				addr = net.JoinHostPort(strings.Trim(addr, "[]"), "9876")
			}
			servers = append(servers, addr)
		}
	}
	if len(servers) == 0 {
		return nil, errors.New("no name server: set Options.NameServers to one or more host:port")
	}
	return servers, nil
}

// Client is one client of a cluster: its connections, what it knows of routes, and its producers and consumers. All
// methods may be called from any goroutine.
type Client struct {
	o    Options
	log  *slog.Logger
	id   string
	ids  *uniqueIDs
	pool *wire.Pool

	ctx   context.Context // ends when Close begins
	stop  context.CancelFunc
	tasks tasks

	names    nameServers
	routes   routeTable
	requests requests

	tracing sync.Mutex // guards the following
	traces  *tracer    // nil until somebody traces

	mu        sync.Mutex // guards the following
	closed    bool
	producers map[string]int // by group
	owners    map[*Producer]bool
	checkers  map[string]*TransactionProducer // by group
	unchecked map[string]bool                 // groups that a broker asked for such a producer in vain
	groups    map[string]*member              // consumers that take part in a group
	readers   map[*member]bool                // consumers, those of no group among them
}

// Open returns a client. It starts no more than what keeps routes fresh and brokers informed, and connects to servers
// when they are needed, so the servers may start later than the client. ctx bounds only Open itself.
func Open(ctx context.Context, o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	connect := wire.Options{Log: o.Log, DialTimeout: o.Timeout}
	if o.TLSFile != "" {
		if connect.TLS, err = wire.LoadTLS(o.TLSFile); err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
	}
	ip := localIP(ctx, o.NameServers[0])
	c := &Client{
		o: o, log: o.Log, id: newClientID(ip), ids: newUniqueIDs(ip),
		producers: map[string]int{}, owners: map[*Producer]bool{}, checkers: map[string]*TransactionProducer{}, unchecked: map[string]bool{},
		groups: map[string]*member{}, readers: map[*member]bool{},
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.names.list, c.names.current = o.NameServers, rand.IntN(len(o.NameServers))
	c.routes.init()
	c.requests.init()
	connect.Handler = c.serve
	c.pool = wire.NewPool(connect)
	c.tasks.start(c.run)
	return c, nil
}

// ID is the name under which brokers know this client.
func (c *Client) ID() string { return c.id }

// Close closes all producers and consumers of the client, then its connections, and returns when all its goroutines
// have ended. Only the first call does something.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	var closers []func() error
	for p := range c.owners {
		closers = append(closers, p.Close)
	}
	for m := range c.readers {
		closers = append(closers, m.closer)
	}
	c.mu.Unlock()

	var wg sync.WaitGroup
	for _, f := range closers {
		wg.Go(func() { f() })
	}
	wg.Wait()
	c.closeTracer()
	c.stop()
	err := c.pool.Close()
	c.tasks.join()
	return err
}

// run keeps routes fresh and brokers informed until Close.
func (c *Client) run() {
	ticker := time.NewTicker(c.o.tick)
	defer ticker.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-ticker.C:
		}
		c.refreshRoutes(c.ctx)
		c.beatAll(c.ctx)
	}
}

// within bounds ctx by the client's timeout if it has no deadline.
func (c *Client) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.o.Timeout)
}

// conn returns a connection to the broker at addr. On one that is new the broker hears first who speaks: it forgot the
// client when the connection before broke.
func (c *Client) conn(ctx context.Context, addr string) (*wire.Conn, error) {
	conn, err := c.pool.Conn(ctx, addr)
	if err != nil {
		return nil, err
	}
	if conn.Value() == nil {
		conn.SetValue(c)
		if body := c.heartbeat(); body != nil {
			conn.Go(c.heartbeatRequest(body), c.o.Timeout, func(*wire.Frame, error) {})
		}
	}
	return conn, nil
}

// call asks the broker at addr and waits, at most the client's timeout. A status other than success is an *Error.
func (c *Client) call(ctx context.Context, op, addr string, r *wire.Request) (*wire.Frame, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	start := time.Now()
	conn, err := c.conn(ctx, addr)
	if err != nil {
		return nil, c.failed(op, addr, start, err)
	}
	f, err := conn.Call(ctx, r)
	switch {
	case err != nil:
		return nil, c.failed(op, addr, start, err)
	case f.Code != 0:
		return nil, refusal(op, addr, f)
	}
	return f, nil
}

func (c *Client) failed(op, addr string, start time.Time, err error) error {
	e := &FailedError{Op: op, Hint: hint(err)}
	e.add(addr, start, err)
	return e
}

// hint says what to do about a network error.
func hint(err error) string {
	text := err.Error()
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "the host name is not known here"
	case strings.Contains(text, "connection refused"):
		return "nothing listens there: is the server running, is the address right?"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, wire.ErrTimeout):
		return "is the address reachable from here? A broker announces the address of its settings brokerIP1 and listenPort"
	}
	return ""
}

// Queues returns the queues of topic that can be read, in order. The error is an *Error with code 17 if the topic does
// not exist.
func (c *Client) Queues(ctx context.Context, topic string) ([]skua.Queue, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	r, err := c.fetchRoute(ctx, topic)
	if err != nil {
		return nil, err
	}
	return append([]skua.Queue(nil), r.read...), nil
}
