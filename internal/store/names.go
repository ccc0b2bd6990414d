package store

import (
	"bytes"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// names are the properties by which a message is found: views of them, nil if it has none of a kind.
type names struct{ unique, keys, tag []byte }

// namesOf finds all of them in one pass, which is most of what looking at the properties costs an append.
func namesOf(properties []byte) (n names) {
	record.EachProperty(properties, func(k, v []byte) bool {
		switch string(k) {
		case skua.PropUniqueKey:
			n.unique = v
		case skua.PropKeys:
			n.keys = v
		case skua.PropTags:
			n.tag = v
		}
		return true
	})
	return n
}

// each calls yield with the keys of the index, in Java's order: the unique key, each word of KEYS, and the tag.
func (n names) each(yield func(key []byte, tag bool) bool) {
	if len(n.unique) > 0 && !yield(n.unique, false) {
		return
	}
	for keys := n.keys; len(keys) > 0; {
		var k []byte
		k, keys, _ = bytes.Cut(keys, []byte{' '})
		if len(k) > 0 && !yield(k, false) {
			return
		}
	}
	if len(n.tag) > 0 {
		yield(n.tag, true)
	}
}

// hash appends the keys by which m, number i of a draft, is to be found. The end of a transaction that was rolled back is not.
func (n names) hash(keys []keyed, m *record.Message, i int) []keyed {
	if m.Transaction() == record.FlagTransactionRollback {
		return keys
	}
	n.each(func(key []byte, tag bool) bool {
		hash := layout.KeyHash
		if tag {
			hash = layout.TagHash
		}
		keys = append(keys, keyed{hash: hash(m.Topic, key), log: int64(i)})
		return true
	})
	return keys
}
