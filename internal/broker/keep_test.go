package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

func TestReserveTimeOfATopic(t *testing.T) {
	var hour atomic.Int64
	s, err := store.Open(store.Options{Dir: t.TempDir(), SegmentSize: 1 << 20, IndexSlots: 100, IndexItems: 100,
		Now: func() time.Time { return time.UnixMilli(1e12 + hour.Load()*3_600_000) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ts, err := openTopics(jsonfile.Place{Path: filepath.Join(t.TempDir(), "topics.json"), Journal: filepath.Join(t.TempDir(), "topics")}, s, newStats(time.Now()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	put := func(hours string) {
		t.Helper()
		c := command.DefaultTopicConfig("T")
		c.Attributes = map[string]string{attrReserveTime: hours}
		if err := ts.put(c); err != nil {
			t.Fatal(err)
		}
		s.Expire()
	}
	q, host := s.Queue("T", 0), netip.MustParseAddrPort("127.0.0.1:10911")
	for hour.Store(0); hour.Load() < 10; hour.Add(1) {
		m := &record.Message{Topic: []byte("T"), Body: []byte("x"), BornHost: host, StoreHost: host}
		if _, err := s.Append(q, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		hours string
		min   int
	}{{"-1", 0}, {"12", 0}, {"3", 7}, {"-1", 7}, {"1000001", 7}, {"1", 9}} {
		if put(c.hours); int(q.Min()) != c.min {
			t.Errorf("reserve.time=%s: queue begins at %d, want %d", c.hours, q.Min(), c.min)
		}
	}
	put("-1")
	hour.Add(1000)
	if s.Expire(); int(q.Min()) != 9 {
		t.Errorf("without reserve.time messages stay: queue begins at %d", q.Min())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct{ setting, want string }{
		{"deleteWhen=4;25", "deleteWhen=4;25: want hours of the day from 00 to 23"},
		{"maxStoreSize=2GB", ""},
		{"maxStoreSize=2147483647", "maxStoreSize=2147483647: want 0 or at least twice mappedFileSizeCommitLog, 2147483648 bytes"},
		{"minFreeDiskSpace=-1", "minFreeDiskSpace=-1: want a whole number from 0 to 1048576TB, or"},
		{"cleanFreeDiskSpace=1GB", ""},
		{"minFreeDiskSpace=2GB cleanFreeDiskSpace=1GB", "cleanFreeDiskSpace=1073741824: want 0 or at least minFreeDiskSpace, 2147483648 bytes"},
		{"diskSpaceWarningLevelRatio=0", "diskSpaceWarningLevelRatio=0: want a whole number from 1 to 100 percent"},
		{"durability=certain", "want fast, safe, strict"},
		{"durability=strict", ""},
		{"listenPort=0", ""},
		{"listenPort=3", ""},
		{"listenPort=2", "listenPort=2: want 0 or 3 to 65535: the port 2 below"},
		{"brokerId=1", "brokerId=1: want 0: others are slaves"},
		{"brokerRole=SLAVE", "brokerRole=SLAVE: want ASYNC_MASTER or SYNC_MASTER: replication is not in this release"},
		{"brokerName=host.example.org", ""},
		{"brokerName=a/b", "brokerName=a/b: want a name that is fit for a topic, dots aside: The specified topic: a/b, contains illegal"},
		{"brokerName=..", "brokerName=..: want a name that is fit for a topic, dots aside: it has nothing but dots"},
		{"brokerClusterName=", "brokerClusterName=: want a name that is fit for a topic, dots aside: The specified topic is blank."},
		{"messageDelayLevel=1s;2x", "messageDelayLevel=1s;2x: want 1 to 1024 whole numbers with a unit s, m, h or d, such as 1s 10m: level 1 is \"1s;2x\""},
		{fmt.Sprintf("defaultTopicQueueNums=%d", maxTopicQueues), ""},
		{fmt.Sprintf("defaultTopicQueueNums=%d", maxTopicQueues+1), "defaultTopicQueueNums=65537: want a whole number from 1 to 65536"},
		{"commitLogDirectIO=maybe", "commitLogDirectIO=maybe: want auto, on or off"},
	} {
		var o Options
		conf.Defaults(&o)
		var err error
		for setting := range strings.FieldsSeq(c.setting) {
			key, value, _ := strings.Cut(setting, "=")
			err = errors.Join(err, conf.Set(&o, key, value))
		}
		if err == nil {
			err = o.validate()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.setting, err)
		}
	}
}

// The defaults of the store and of the keys are the same.
func TestDefaultsOfRetention(t *testing.T) {
	var o Options
	conf.Defaults(&o)
	want := store.Retention{ReservedTime: 72 * time.Hour, DeleteWhen: "04", MaxUsedRatio: 75, ForceRatio: 0.85, WarnRatio: 0.90, MaxDrops: 10,
		DropPause: 100 * time.Millisecond}
	if got := o.retention(); got != want {
		t.Errorf("got %+v", got)
	}
	if got := fmt.Sprint(o.transfer()); got != "{262144 32 65536 8 16000 40}" {
		t.Errorf("got %s", got)
	}
}
