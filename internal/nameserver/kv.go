package nameserver

import (
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/skuamq/skua/internal/jsonfile"
)

// Bounds of the KV table. Java has none; its whole table is written at each change.
const (
	maxKVEntries = 100_000  // namespaces and values
	maxKVEntry   = 64 << 10 // bytes of a namespace, key and value
)

// kv is the KV table: values by namespace and key. Each change is on disk before it is acknowledged:
//
//	{"configTable":{"namespace":{"key":"value"}}}
//
// It is safe for concurrent use.
type kv struct {
	path    string
	version atomic.Uint64 // of the table, for caches

	writing sync.Mutex // held while a change is made and written
	mu      sync.RWMutex
	table   map[string]map[string]string // guarded by mu
}

// kvFile is the content of the file.
type kvFile struct {
	Table map[string]map[string]string `json:"configTable"`
}

// openKV reads the file at path, which need not exist, or its .bak.
func openKV(path string, log *slog.Logger) (*kv, error) {
	saved, err := jsonfile.Read[kvFile](path, log)
	if err != nil {
		return nil, fmt.Errorf("kvConfigPath: %w", err)
	}
	k := &kv{path: path, table: map[string]map[string]string{}}
	if saved != nil && saved.Table != nil {
		k.table = saved.Table
	}
	for namespace, values := range k.table {
		if values == nil {
			return nil, fmt.Errorf("kvConfigPath: %s: namespace %q is null; repair the file, or move it and its .bak away", path, namespace)
		}
	}
	return k, nil
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
	if err := jsonfile.Write(k.path, kvFile{table}); err != nil {
		return fmt.Errorf("the KV table cannot be written: %w", err)
	}
	k.mu.Lock()
	k.table = table
	k.mu.Unlock()
	k.version.Add(1)
	return nil
}
