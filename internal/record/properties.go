package record

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/skuamq/skua"
)

// A property string is a run of key 0x01 value 0x02. Nothing is escaped. The last 0x02 may be missing.
const (
	keyEnd   = 0x01
	valueEnd = 0x02
)

// nextProperty cuts the first segment off s. ok is false for a segment that readers drop: one without the separator, or
// with an empty key or value.
func nextProperty(s []byte) (key, value, rest []byte, ok bool) {
	seg := s
	if i := bytes.IndexByte(s, valueEnd); i >= 0 {
		seg, rest = s[:i], s[i+1:]
	}
	i := bytes.IndexByte(seg, keyEnd)
	if i <= 0 || i == len(seg)-1 {
		return nil, nil, rest, false
	}
	return seg[:i], seg[i+1:], rest, true
}

// Property returns the value of key in a property string, a view of it, and whether the key is there. Of equal keys the
// last one counts.
func Property(properties []byte, key string) (found []byte, ok bool) {
	for s := properties; len(s) > 0; {
		k, v, rest, good := nextProperty(s)
		if good && string(k) == key {
			found, ok = v[:len(v):len(v)], true
		}
		s = rest
	}
	return found, ok
}

// EachProperty calls yield with views of each key and value of a property string, in their order, until yield returns
// false. Segments that Java would drop are left out; equal keys are not.
func EachProperty(properties []byte, yield func(key, value []byte) bool) {
	for s := properties; len(s) > 0; {
		k, v, rest, good := nextProperty(s)
		if good && !yield(k, v) {
			return
		}
		s = rest
	}
}

// AppendProperty appends key and value to the property string dst, and ends the last property of dst first if it is
// open. Neither key nor value may hold the bytes 1 and 2.
func AppendProperty(dst []byte, key, value string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != valueEnd {
		dst = append(dst, valueEnd)
	}
	return appendPair(dst, key, value)
}

func appendPair(dst []byte, key, value string) []byte {
	dst = append(dst, key...)
	dst = append(dst, keyEnd)
	dst = append(dst, value...)
	return append(dst, valueEnd)
}

// ParseProperties reads a property string. Segments that Java would drop are dropped.
func ParseProperties(properties []byte) map[string]string {
	m := make(map[string]string, bytes.Count(properties, []byte{valueEnd})+1)
	EachProperty(properties, func(k, v []byte) bool {
		m[string(k)] = string(v)
		return true
	})
	return m
}

// AppendProperties writes a property string behind dst, keys in sorted order, empty keys or values left out.
func AppendProperties(dst []byte, m map[string]string) []byte {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if v := m[k]; k != "" && v != "" {
			dst = appendPair(dst, k, v)
		}
	}
	return dst
}

// RealPlace returns the topic, a view, and the queue that the properties of a parked message name, one that waits in a topic
// of the broker's for its time; ok is false if they do not.
func RealPlace(properties []byte) (topic []byte, queue int32, ok bool) {
	topic, _ = Property(properties, skua.PropRealTopic)
	text, _ := Property(properties, skua.PropRealQueueID)
	id, err := strconv.ParseInt(string(text), 10, 32)
	return topic, int32(id), len(topic) > 0 && err == nil && id >= 0
}

// HashString is Java's String.hashCode of UTF-8 text: over UTF-16 code units, wrapping.
func HashString(s []byte) int32 { return HashMore(0, s) }

// HashMore continues a HashString with more text; HashString(a+b) == HashMore(HashString(a), b).
func HashMore(h int32, s []byte) int32 {
	for i := 0; i < len(s); {
		if len(s)-i >= 4 { // four at a time, as each step has to wait for the one before
			if w := binary.LittleEndian.Uint32(s[i:]); w&0x80808080 == 0 {
				h = 31*31*31*31*h + int32(31*31*31*(w&0xff)+31*31*(w>>8&0xff)+31*(w>>16&0xff)+w>>24)
				i += 4
				continue
			}
		}
		if c := s[i]; c < utf8.RuneSelf {
			h = 31*h + int32(c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		i += n
		if r < 0x10000 {
			h = 31*h + r
			continue
		}
		r -= 0x10000
		h = 31*h + (0xD800 + r>>10)
		h = 31*h + (0xDC00 + r&0x3FF)
	}
	return h
}

// TagsCode is the tags code that the consume queue stores for a property string: the hash of TAGS, 0 if none.
func TagsCode(properties []byte) int64 {
	tags, _ := Property(properties, skua.PropTags)
	return int64(HashString(tags))
}
