// Package broker is the message broker: it takes messages from producers, keeps them in a store, and hands them to
// consumers. It hides topics, consumer groups and their offsets, the clients that are connected, pulls that wait for
// messages, delayed messages, retries and dead letters, and the registration with name servers.
//
// Requests come in at two ports with one table of handlers (see handlers.go). A handler runs on the goroutine of its
// connection and answers at once where it can; what waits for the disk, for a message or for a peer answers later from
// another goroutine. Each feature is a file of its name.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/metrics"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// fastPortBelow is how far the port that serves no pulls lies below the main one.
const fastPortBelow = 2

// Broker is a broker with an open store and bound ports.
type Broker struct {
	options atomic.Pointer[Options] // an immutable snapshot
	log     *slog.Logger
	started time.Time
	host    netip.AddrPort // written into messages as store host
	addr    string         // what clients are told, "host:port"

	main, fast   server
	exporter     *metrics.Exporter // nil if metrics are not shown
	nameServers  *wire.Pool
	registration registration
	admin        sideline // changes and reports
	cold         sideline // reads from the disk
	relays       sideline // questions that a client or a name server has to answer
	pushes       sideline // replies that are written to requesters
	forwards     sideline // questions that another broker has to answer
	peers        peers
	replies      replies
	settings     settings

	store        *store.Store
	topics       *topics
	groups       *groups
	offsets      *offsets
	opened       chan struct{} // closed when open has returned, which the store's goroutines cannot know
	modes        *requestModes
	routes       routes
	polls        *polls
	filters      filters
	groupFilters *consumerFilters
	firsts       firsts
	unique       uniqueKeys
	clients      *clients
	notices      *notices
	locks        *locks
	schedule     *schedule
	wheel        *wheel                     // nil if timerWheelEnable is false
	compaction   atomic.Pointer[compaction] // nil until it is open
	stats        *stats

	transactions *transactions

	broadcasts broadcasts
	blockages  blockages

	syncFlush bool    // flushDiskType
	answers   answers // to sends that wait for the disk, in SYNC_FLUSH

	latencies latencies
	slowest   atomic.Int64 // ns of the longest pull that had to read the disk

	running  context.Context // ends when the broker stops
	cancel   context.CancelFunc
	stop     <-chan struct{} // of running
	starting sync.Mutex      // held while goroutines are started, and while running ends
	stopping sync.Once
	wait     sync.WaitGroup // of all goroutines of the broker itself
}

// server is one of the two ports.
type server struct {
	*wire.Server
	listener net.Listener
}

// New checks o, opens the store, reads the config files beside it, and binds both ports. The broker serves from Serve
// on; one that is not to be served is closed by Shutdown. The error names the key, file or port that is wrong.
func New(o Options, log *slog.Logger) (*Broker, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b := &Broker{log: log, started: time.Now(), opened: make(chan struct{})}
	b.stats = newStats(b.started)
	b.running, b.cancel = context.WithCancel(context.Background())
	b.stop = b.running.Done()
	b.registration = registration{soon: make(chan struct{}, 1), once: make(chan struct{}), states: map[string]string{}, turns: map[string]chan struct{}{}}
	b.options.Store(&o)
	if err := b.bind(&o); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	err := b.openMetrics(&o)
	if err == nil {
		err = b.open(&o)
	}
	if err != nil {
		err = errors.Join(err, b.main.listener.Close(), b.fast.listener.Close())
		b.exporter.Shutdown(context.Background())
		if b.store != nil {
			err = errors.Join(err, b.store.Close())
		}
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.nameServers = wire.NewPool(wire.Options{Log: log, TLS: o.TLS.ForDialing()})
	b.peers.pool = wire.NewPool(wire.Options{Log: log, TLS: o.TLS.ForDialing()})
	b.main.Server = wire.NewServer(b.wireOptions(&o, b.serveMain))
	b.fast.Server = wire.NewServer(b.wireOptions(&o, b.serveFast))
	return b, nil
}

// open opens the store and everything that lives beside it.
func (b *Broker) open(o *Options) (err error) {
	defer close(b.opened)
	levels, err := parseDelayLevels(o.MessageDelayLevel)
	if err != nil {
		return err
	}
	b.stats.lightTogether = o.EnableLmq && !o.EnableLmqStats
	b.clients = newClients()
	b.polls = newPolls(int(o.MaxHeldPulls), b.arrivedMatching)
	b.notices = newNotices(b.clients, b.log)
	do := func(work func()) { work() }
	b.cold = sideline{newCrew(coldReaders, maxColdReads, do), b.log}
	b.cold.fewer = b.coldReaders
	b.admin = sideline{newCrew(adminWorkers, maxAdminRequests, do), b.log}
	b.relays = sideline{newCrew(relayWorkers, maxAdminRequests, do), b.log}
	b.forwards = sideline{newCrew(forwardWorkers, maxForwards, do), b.log}
	b.pushes = sideline{newCrew(replyWorkers, maxReplies, do), b.log}
	o.logDurability(b.log)
	so := o.store()
	so.Log, so.TagsCode, so.Arrived, so.Settled = b.log, levels.tagsCode, b.arrived, b.answers.flush
	so.LightGone = b.lightGone
	so.Flushed = func() error { return errors.Join(b.wheel.close(), b.compaction.Load().close()) }
	so.Hold = func() skua.LogOffset { return b.compaction.Load().hold() }
	b.syncFlush = so.SyncFlush
	inTopics := b.savedIn(o, "topics.json", "topics")
	saved := batchedIn(inTopics) // topics need the store, and the store needs to know this of the topics
	so.Batched = func(topic string) bool {
		if b.topics == nil {
			return saved(topic)
		}
		return b.topics.batched(topic)
	}
	if b.groupFilters, err = openConsumerFilters(b.savedIn(o, "consumerFilter.json", "filters"), o, b.started, b.log); err != nil {
		return withUser(err)
	}
	if o.EnableCalcFilterBitMap {
		so.FilterBits = b.groupFilters.bits
	}
	if o.edit != nil {
		o.edit(&so)
	}
	if b.store, err = store.Open(so); err != nil {
		return withUser(err)
	}
	if b.topics, err = openTopics(inTopics, b.store, b.stats, b.log); err != nil {
		return err
	}
	b.topics.light = o.EnableLmq
	mappings, err := openMappings(b.savedIn(o, "topicQueueMapping.json", "mappings"), o.BrokerName, b.log)
	if err != nil {
		return err
	}
	b.topics.attach(mappings)
	if err := b.topics.addSystem(o, len(levels)); err != nil {
		return err
	}
	if err := b.openCompaction(o, &so); err != nil {
		return err
	}
	b.store.Expire() // what reserve.time has hidden before
	b.topics.warnOfUnknown(b.store.Topics())
	if b.groups, err = openGroups(b.savedIn(o, "subscriptionGroup.json", "groups"), b.log); err != nil {
		return err
	}
	b.groups.light = o.EnableLmq
	if b.offsets, err = openOffsets(offsetFiles{b.configPath(""), o.EnableLmq}, o.ConsumerOffsetUpdateVersionStep, b.log); err != nil {
		return err
	}
	b.offsets.begin(func(topic string) bool { return b.topics.isLight(topic) && b.store.Find([]byte(topic), 0) == nil })
	b.offsets.bound(b.endOf)
	if b.modes, err = openRequestModes(b.configPath("messageRequestMode.json"), b.log); err != nil {
		return err
	}
	if err := errors.Join(b.openSchedule(levels), b.openWheel(o)); err != nil {
		return err
	}
	b.locks = openLocks(filepath.Join(o.StorePathRootDir, "skua", "locks"), o.BrokerName, b.log, time.Now, time.Now())
	return b.openTransactions()
}

// withUser adds to an error about permissions who lacks them.
func withUser(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	name := "unknown"
	if u, e := user.Current(); e == nil {
		name = u.Username
	}
	return fmt.Errorf("%w: the broker runs as user %s (%d), give the directory to that user or choose another", err, name, os.Getuid())
}

// endOf is the offset that the next message of a queue will have; 0 if the topic is unknown.
func (b *Broker) endOf(topic string, queue int32) skua.QueueOffset {
	t := b.topics.find(topic)
	if t == nil || int(queue) >= len(t.queues) {
		return 0
	}
	return t.queue(queue).Max()
}

// savedIn is where what is in a config file is saved: there, and in a journal of the store's own folder.
func (b *Broker) savedIn(o *Options, file, journal string) jsonfile.Place {
	return jsonfile.Place{Path: b.configPath(file), Journal: filepath.Join(o.StorePathRootDir, "skua", journal), Synced: o.store().SyncFlush}
}

// configPath is the path of a file in the config directory.
func (b *Broker) configPath(name string) string {
	return filepath.Join(b.options.Load().StorePathRootDir, "config", name)
}

func (b *Broker) wireOptions(o *Options, h wire.Handler) wire.Options {
	return wire.Options{
		Handler:     h,
		Closed:      b.connectionClosed,
		Log:         b.log,
		TLS:         o.TLS,
		IdleTimeout: wire.IdleAfter(o.ServerChannelMaxIdleTimeSeconds),
		MaxConns:    int(o.MaxConnections),
	}
}

// bind binds the main port and the fast one below it, and learns from the main one what the broker is called.
func (b *Broker) bind(o *Options) error {
	const tries = 20 // for a free port whose lower neighbour is free too
	for try := 1; ; try++ {
		main, err := wire.Listen(o.BindAddress, int(o.ListenPort))
		if err != nil {
			return err
		}
		port := main.Addr().(*net.TCPAddr).Port
		fast, err := net.Listen("tcp", o.bind(port-fastPortBelow))
		if err == nil {
			b.main.listener, b.fast.listener = main, fast
			return b.name(o, port)
		}
		main.Close()
		if o.ListenPort != 0 || try == tries {
			return fmt.Errorf("listenPort: %d is free, but the fast port %d below it is not: %w", port, fastPortBelow, err)
		}
	}
}

// name sets the addresses that depend on the port.
func (b *Broker) name(o *Options, port int) error {
	b.addr = net.JoinHostPort(o.BrokerIP1, fmt.Sprint(port))
	addr, err := netip.ParseAddr(o.BrokerIP1)
	if err != nil {
		// A name, as behind port mappings or in containers: messages carry an address, which only tools look at.
		if found, lookup := net.ResolveIPAddr("ip", o.BrokerIP1); lookup == nil {
			addr, _ = netip.AddrFromSlice(found.IP)
		} else {
			addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	}
	b.host = netip.AddrPortFrom(addr.Unmap(), uint16(port))
	b.unique.open(b.host.Addr())
	return nil
}

// Addr is where the broker listens, "host:port"; the host may be a wildcard.
func (b *Broker) Addr() string { return b.main.listener.Addr().String() }

// Advertised is the address that clients are told, "host:port".
func (b *Broker) Advertised() string { return b.addr }

// MetricsAddr is where the broker shows its metrics, "host:port"; "" if it does not.
func (b *Broker) MetricsAddr() string { return b.exporter.Addr() }

// Name is the broker's name.
func (b *Broker) Name() string { return b.options.Load().BrokerName }

// Serve registers with the name servers and serves requests until Shutdown is called, or until ctx ends or a port fails,
// when it stops the broker itself. It returns what failed first, nil if nothing did, when all goroutines have ended.
func (b *Broker) Serve(ctx context.Context) error {
	failed := make(chan error, 2)
	b.start(failed)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	case <-b.stop:
	}
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	return errors.Join(err, b.Shutdown(grace))
}

// clientScan is how often silent clients are looked for.
const clientScan = 10 * time.Second

// stopGrace is how long Serve lets requests end when its context has ended.
const stopGrace = 5 * time.Second

// start starts the goroutines of the broker, unless it has been stopped already. What a port fails with goes to failed.
func (b *Broker) start(failed chan<- error) {
	b.starting.Lock()
	defer b.starting.Unlock()
	if b.running.Err() != nil {
		return
	}
	for _, s := range []*server{&b.main, &b.fast} {
		b.wait.Go(func() {
			if err := s.Serve(s.listener); err != nil {
				failed <- fmt.Errorf("broker: %s: %w", s.listener.Addr(), err)
			}
		})
	}
	if b.exporter != nil {
		b.wait.Go(b.serveMetrics)
	}
	o := b.options.Load()
	b.wait.Go(func() { b.schedule.run(b.stop) })
	if b.wheel != nil {
		b.wait.Go(func() { b.wheel.run(b.stop) })
		b.wait.Go(func() { b.wheel.keep(b.stop) })
	}
	b.wait.Go(func() { b.transactions.run(b.stop) })
	b.wait.Go(func() { b.polls.run(b.stop) })
	b.wait.Go(func() { b.topics.saved.Keep(b.stop) })
	b.wait.Go(func() { b.topics.mappings.saved.Keep(b.stop) })
	b.wait.Go(func() { b.groups.saved.Keep(b.stop) })
	b.wait.Go(func() { b.groupFilters.file.Keep(b.stop) })
	b.wait.Go(b.keepRegistered)
	b.every(time.Duration(o.FlushConsumerOffsetInterval)*time.Millisecond, func(time.Time) { b.saveOffsets() })
	b.every(time.Duration(o.FlushDelayOffsetInterval)*time.Millisecond, func(time.Time) { b.flushSchedule() })
	b.every(time.Duration(o.TransactionMetricFlushInterval)*time.Millisecond, func(time.Time) { b.transactions.tick() })
	b.every(clientScan, b.scanClients)
	b.every(filterSweep, b.sweepFilters)
	b.every(broadcastScan, b.gatherBroadcasts)
	b.every(mappingSweep, b.sweepMappings)
	b.every(time.Second, b.tick)
	b.every(lightSweep, b.sweepLight)
	if c := b.compaction.Load(); c.enabled() {
		b.every(copyEvery, c.copyAll)
		b.every(time.Duration(o.CompactionScheduleInternal)*time.Millisecond, func(time.Time) { c.passAll(b.stop) })
	}
	if o.EnableSlaveActingMaster {
		b.every(time.Duration(o.BrokerHeartbeatInterval)*time.Millisecond, func(time.Time) { b.sendHeartbeats() })
	}
}

// every calls f at intervals until the broker stops.
func (b *Broker) every(interval time.Duration, f func(now time.Time)) {
	b.wait.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-b.stop:
				return
			case now := <-t.C:
				f(now)
			}
		}
	})
}

// Shutdown takes the broker off the name servers, lets requests end until ctx does, saves what is in memory and closes
// the store. Further calls wait for the first one and return nil.
func (b *Broker) Shutdown(ctx context.Context) (err error) {
	b.stopping.Do(func() { err = b.shutdown(ctx) })
	return err
}

func (b *Broker) shutdown(ctx context.Context) error {
	b.starting.Lock()
	b.cancel()
	b.starting.Unlock()
	b.unregister(ctx)
	b.polls.close()
	err := errors.Join(b.main.Server.Shutdown(ctx), b.fast.Server.Shutdown(ctx))
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = nil // requests were cut off, as asked
	}
	b.exporter.Shutdown(ctx)
	b.main.listener.Close() // for a broker that never served
	b.fast.listener.Close()
	b.cold.close()
	b.admin.close()
	b.relays.close()
	b.forwards.close()
	b.pushes.close()
	b.notices.crew.close()
	err = errors.Join(err, b.nameServers.Close(), b.peers.pool.Close())
	b.wait.Wait()
	err = errors.Join(err, b.topics.saved.Fold(), b.topics.mappings.saved.Fold(), b.groups.saved.Fold(), b.groupFilters.file.Fold(), b.offsets.flush(), b.closeSchedule(), b.locks.close(), b.transactions.close())
	if closed := b.store.Close(); closed != nil {
		return errors.Join(err, closed)
	}
	return errors.Join(err, b.transactions.closed(), b.offsets.flush())
}

// saveOffsets saves the offsets of consumers. That it fails is logged once, and again when it succeeds.
func (b *Broker) saveOffsets() {
	err := b.offsets.flush()
	if failed := err != nil; b.offsets.failing.Swap(failed) != failed {
		if failed {
			b.log.Error("offsets of consumers stay in memory; trying again at intervals", "error", err)
		} else {
			b.log.Info("offsets of consumers are saved again")
		}
	}
}

// arrived is the store's Options.Arrived: it wakes what waits for the message.
func (b *Broker) arrived(a store.Arrival) {
	switch topic := a.Queue.Topic(); {
	case topic == skua.ScheduleTopic && b.schedule != nil:
		b.schedule.arrived(a.TagsCode)
	case topic == skua.HalfTopic && b.transactions != nil:
		b.transactions.arrived()
	}
	if b.wheel != nil && a.Queue.Topic() == skua.TimerTopic {
		b.wheel.arrived()
	}
	b.polls.arrived(a)
}

// arrivedMatching reads the message that arrived and reports whether its properties match, or may.
func (b *Broker) arrivedMatching(a store.Arrival, match func(properties []byte) bool) bool {
	r := reads.Get().(*store.ReadResult)
	b.store.Read(a.Queue, store.ReadRequest{Offset: a.Offset, MaxMessages: 1, MatchProperties: match, NoWait: true}, r)
	may := r.Status != store.NoMatchedMessage
	r.Release()
	reads.Put(r)
	return may
}

// connectionClosed is told of each connection that has ended.
func (b *Broker) connectionClosed(c *wire.Conn) {
	b.polls.forget(c)
	b.forgetConn(c)
}

// now is the time.
func (b *Broker) now() time.Time { return time.Now() }
