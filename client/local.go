package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
)

// localOffsets are the offsets of a broadcast consumer, which brokers do not keep. The file has the form of Java's
// offsets.json: {"offsetTable":{{"brokerName":"b","queueId":0,"topic":"t"}:5}}.
type localOffsets struct {
	path string // "": memory only

	mu      sync.Mutex // guards offsets
	offsets map[command.MessageQueue]skua.QueueOffset
}

// openLocalOffsets reads the file at path, if there is one.
func openLocalOffsets(path string) (*localOffsets, error) {
	o := &localOffsets{path: path, offsets: map[command.MessageQueue]skua.QueueOffset{}}
	if path == "" {
		return o, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, fmt.Errorf("client: broadcast offsets: %w", err)
	}
	table := command.ResetOffset{Offsets: o.offsets}
	if err := fastjson.Unmarshal(data, &table); err != nil {
		return nil, fmt.Errorf("client: broadcast offsets in %s cannot be read; remove the file to begin by the start rule: %w", path, err)
	}
	if table.Offsets != nil {
		o.offsets = table.Offsets
	}
	return o, nil
}

func (o *localOffsets) offset(q skua.Queue) (skua.QueueOffset, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	off, ok := o.offsets[command.QueueOf(q)]
	return off, ok
}

func (o *localOffsets) set(q skua.Queue, off skua.QueueOffset) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.offsets[command.QueueOf(q)] = off
}

// save writes the file anew and puts it in place of the old one, so that there is a whole one at any time.
func (o *localOffsets) save() error {
	if o.path == "" {
		return nil
	}
	o.mu.Lock()
	data, err := fastjson.MarshalPretty(command.ResetOffset{Offsets: o.offsets})
	o.mu.Unlock()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.path), 0o755); err != nil {
		return err
	}
	next := o.path + ".tmp"
	if err := os.WriteFile(next, data, 0o644); err != nil {
		return err
	}
	return os.Rename(next, o.path)
}
