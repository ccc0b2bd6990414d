package broker

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/static"
)

func openMappingsIn(t testing.TB, dir string) *mappings {
	t.Helper()
	at := jsonfile.Place{Path: filepath.Join(dir, "config", "topicQueueMapping.json"), Journal: filepath.Join(dir, "skua", "mappings")}
	ms, err := openMappings(at, "broker-b", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// savedMappingsOf is what is in the file, and in the journal.
func savedMappingsOf(ms *mappings) (saved *command.TopicMappingTable) {
	ms.saved.Read(func(now *command.TopicMappingTable) { saved = now })
	return saved
}

// led is a mapping of a queue that the broker leads since an epoch.
func led(topic string, epoch int64) *static.Mapping {
	return static.New(command.TopicMappingDetail{TopicMapping: command.TopicMapping{Broker: "broker-b", Epoch: epoch, Scope: static.GlobalScope, Topic: topic, TotalQueues: 1},
		Hosted: map[int32][]command.MappingItem{0: {{Broker: "broker-b", EndOffset: -1, TimeOfEnd: -1, TimeOfStart: -1}}}})
}

// What Java has written is read, and written in the same way.
func TestMappingFileOfJava(t *testing.T) {
	dir := t.TempDir()
	want, err := os.ReadFile("testdata/topicQueueMapping.json")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config", "topicQueueMapping.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
	ms := openMappingsIn(t, dir)
	m := ms.find("Kept")
	if m == nil || len(m.Led()) != 2 || m.Queue(1).At(10005).Physical(10005) != 5 {
		t.Fatalf("read %+v", m)
	}
	saved := savedMappingsOf(ms)
	if err := ms.saved.Rewrite(func() any { return saved }, func() {}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("written %s\n%v", got, err)
	}
	if _, err := os.Stat(path + ".bak"); err != nil {
		t.Error(err)
	}
}

// Changes that were acknowledged survive the end of the process at any moment.
func TestMappingsOfAKilledBroker(t *testing.T) {
	dir := t.TempDir()
	ms := openMappingsIn(t, dir)
	for epoch := range int64(100) {
		for _, topic := range []string{"T", "U"} {
			if err := ms.put(led(topic, epoch)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := ms.drop("U"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "skua", "mappings")); err != nil {
		t.Fatal("nothing is in the journal: ", err)
	}
	again := openMappingsIn(t, dir)
	if m := again.find("T"); m == nil || m.Detail().Epoch != 99 || len(m.Led()) != 1 {
		t.Errorf("after the end %+v", m)
	}
	if again.find("U") != nil {
		t.Error("a mapping that was dropped is back")
	}
	if again.dataVersion != ms.dataVersion {
		t.Errorf("version %+v, was %+v", again.dataVersion, ms.dataVersion)
	}
	if _, err := os.Stat(filepath.Join(dir, "skua", "mappings")); !os.IsNotExist(err) {
		t.Errorf("the journal is still there: %v", err)
	}
}

// A store that was given another name does not serve the queues of the former broker.
func TestMappingOfAnotherBroker(t *testing.T) {
	dir := t.TempDir()
	if err := openMappingsIn(t, dir).put(led("T", 1)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	ms, err := openMappings(jsonfile.Place{Path: filepath.Join(dir, "config", "topicQueueMapping.json"), Journal: filepath.Join(dir, "skua", "mappings")}, "broker-c",
		slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || ms.find("T") != nil || !bytes.Contains(log.Bytes(), []byte("is of another broker")) {
		t.Errorf("%v, %v, %s", ms.find("T"), err, &log)
	}
	if _, kept := savedMappingsOf(ms).Mappings["T"]; !kept {
		t.Error("it is not kept in the file")
	}
}
