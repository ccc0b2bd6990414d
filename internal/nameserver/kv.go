package nameserver

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/google/renameio/v2"

	"github.com/skuamq/skua/internal/fastjson"
)

// Bounds of the KV table. Java has none; its whole table is written at each change.
const (
	maxKVEntries = 100_000  // namespaces and values
	maxKVEntry   = 64 << 10 // bytes of a namespace, key and value
)

// kv is the KV table: values by namespace and key. Each change is on disk before it is acknowledged, by way of a new
// file that takes the place of the old one, so that a crash leaves the one or the other:
//
//	{"configTable":{"namespace":{"key":"value"}}}
//
// The file before the last change stays beside it as .bak. It is safe for concurrent use.
type kv struct {
	path    string
	version atomic.Uint64 // of the table, for caches

	writing sync.Mutex // held while a change is made and written
	saved   []byte     // content of the file; guarded by writing
	mu      sync.RWMutex
	table   map[string]map[string]string // guarded by mu
}

// kvFile is the content of the file.
type kvFile struct {
	Table map[string]map[string]string `json:"configTable"`
}

// openKV reads the file at path. If it cannot be parsed the .bak is taken, with a warning.
func openKV(path string, log *slog.Logger) (*kv, error) {
	k := &kv{path: path, table: make(map[string]map[string]string)}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("kvConfigPath: %w", err)
	}
	if err = k.load(data); err == nil {
		return k, nil
	}
	old, oldErr := os.ReadFile(path + ".bak")
	if oldErr == nil {
		oldErr = k.load(old)
	}
	if oldErr != nil {
		return nil, fmt.Errorf("kvConfigPath: %s cannot be read (%w), nor its .bak (%w): repair it or move it away", path, err, oldErr)
	}
	log.Warn("KV file cannot be read, took its .bak", "file", path, "err", err)
	return k, nil
}

func (k *kv) load(data []byte) error {
	var f kvFile
	if len(bytes.TrimSpace(data)) > 0 {
		if err := fastjson.Unmarshal(data, &f); err != nil {
			return err
		}
	}
	for _, values := range f.Table {
		if values == nil {
			return errors.New("a namespace is null")
		}
	}
	if f.Table != nil {
		k.table = f.Table
	}
	k.saved = data
	return nil
}

// get returns a value.
func (k *kv) get(namespace, key string) (string, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	v, ok := k.table[namespace][key]
	return v, ok
}

// list returns a copy of a namespace, nil if there is none.
func (k *kv) list(namespace string) map[string]string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return maps.Clone(k.table[namespace])
}

// put sets a value; it is on disk when put returns.
func (k *kv) put(namespace, key, value string) error {
	if len(namespace)+len(key)+len(value) > maxKVEntry {
		return fmt.Errorf("namespace, key and value have more than %d bytes", maxKVEntry)
	}
	return k.change(func(table map[string]map[string]string) error {
		n := 0
		for _, values := range table {
			n += 1 + len(values)
		}
		if n >= maxKVEntries {
			return fmt.Errorf("the KV table holds %d namespaces and values, which is the limit", n)
		}
		values := maps.Clone(table[namespace])
		if values == nil {
			values = make(map[string]string)
		}
		values[key] = value
		table[namespace] = values
		return nil
	})
}

// remove deletes a value, if there is one; that is on disk when remove returns.
func (k *kv) remove(namespace, key string) error {
	if _, ok := k.get(namespace, key); !ok {
		return nil
	}
	return k.change(func(table map[string]map[string]string) error {
		values := maps.Clone(table[namespace])
		delete(values, key)
		table[namespace] = values
		return nil
	})
}

// change makes a changed copy of the table and, once that is on disk, puts it in place. edit may replace namespaces of
// the copy, but not change them.
func (k *kv) change(edit func(map[string]map[string]string) error) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	table := maps.Clone(k.table) // only ever replaced under writing
	if err := edit(table); err != nil {
		return err
	}
	data, err := fastjson.MarshalPretty(kvFile{table})
	if err != nil {
		return err
	}
	if err := k.save(data); err != nil {
		return fmt.Errorf("the KV table cannot be written: %w", err)
	}
	k.mu.Lock()
	k.table = table
	k.mu.Unlock()
	k.version.Add(1)
	return nil
}

func (k *kv) save(data []byte) error {
	if err := os.MkdirAll(filepath.Dir(k.path), 0o755); err != nil {
		return err
	}
	if k.saved != nil {
		if err := renameio.WriteFile(k.path+".bak", k.saved, 0o644); err != nil {
			return err
		}
	}
	if err := renameio.WriteFile(k.path, data, 0o644); err != nil {
		return err
	}
	k.saved = data
	return nil
}
