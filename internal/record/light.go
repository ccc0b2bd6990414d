package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/skuamq/skua"
)

// A message can name light queues, in which it has an entry, too. The record of one that has says so in two properties,
// lists of equal length; what stands at the same place belongs together. Names with a slash count, but have no entry:
//
//	INNER_MULTI_DISPATCH     0x01 %LMQ%a,%LMQ%b 0x02
//	INNER_MULTI_QUEUE_OFFSET 0x01 12,0          0x02

// lightHead and offsetsHead are what the two properties begin with.
var (
	lightHead   = []byte(skua.PropMultiDispatch + "\x01")
	offsetsHead = []byte(skua.PropMultiQueueOffset + "\x01")
)

// MaxLightQueues is how many light queues one message can name.
const MaxLightQueues = 1024

// LightNames returns the list of light queues that properties ask for, a view; nil if there is none. It is quick when there
// is none.
func LightNames(properties []byte) []byte {
	if !bytes.Contains(properties, lightHead) {
		return nil
	}
	names, _ := Property(properties, skua.PropMultiDispatch)
	return trimList(names)
}

// trimList takes empty items from the end of a list, as Java does.
func trimList(list []byte) []byte { return bytes.TrimRight(list, ",") }

// NextLight cuts the first name off a list of light queues. queue is false for a name that counts but has no queue,
// as it has a slash.
func NextLight(list []byte) (name, rest []byte, queue bool) {
	name, rest, _ = bytes.Cut(list, []byte{','})
	return name, rest, bytes.IndexByte(name, '/') < 0
}

// LightList says what is wrong with a list of light queues, "" if nothing is. All names must begin with %LMQ%, and those
// without a slash must be possible names of folders.
func LightList(list []byte) string {
	n := 0
	for len(list) > 0 {
		name, rest, queue := NextLight(list)
		n++
		switch {
		case !bytes.HasPrefix(name, []byte(skua.LMQPrefix)):
			return quoteName(name) + " does not begin with " + skua.LMQPrefix
		case queue && !folderName(name):
			return quoteName(name) + " has " + strconv.Itoa(len(name)) + " bytes; at most 255 are allowed, none of them a backslash or zero"
		case n > MaxLightQueues:
			return "it has more than " + strconv.Itoa(MaxLightQueues) + " names"
		}
		list = rest
	}
	return ""
}

// folderName reports whether a name that begins with %LMQ% and has no slash can be that of a folder.
func folderName(name []byte) bool { return len(name) <= 255 && !bytes.ContainsAny(name, "\\\x00") }

func quoteName(name []byte) string { return strconv.Quote(string(name[:min(len(name), 300)])) }

// HasLightOffsets reports whether properties tell offsets in light queues, or seem to. Only a store can know them.
func HasLightOffsets(properties []byte) bool { return bytes.Contains(properties, offsetsHead) }

// AppendWithoutLightOffsets appends properties to dst without INNER_MULTI_QUEUE_OFFSET.
func AppendWithoutLightOffsets(dst, properties []byte) []byte {
	for s := properties; len(s) > 0; {
		k, _, rest, _ := nextProperty(s)
		if string(k) != skua.PropMultiQueueOffset {
			dst = append(dst, s[:len(s)-len(rest)]...)
		}
		s = rest
	}
	return dst
}

// EachLight calls yield for each light queue in which a stored message has an entry, with the offset there, until yield
// returns false. Names are views. It is quick for messages that have none. Half messages have entries if a Java broker stored them.
func EachLight(m *Message, yield func(name []byte, off int64) bool) {
	if !HasLightOffsets(m.Properties) || !LightTopic(m.Topic) && string(m.Topic) != skua.HalfTopic || !m.Queued() {
		return
	}
	names := LightNames(m.Properties)
	offsets, _ := Property(m.Properties, skua.PropMultiQueueOffset)
	offsets = trimList(offsets)
	if len(names) == 0 || bytes.Count(names, []byte{','}) != bytes.Count(offsets, []byte{','}) {
		return
	}
	for n := 0; len(names) > 0 && n < MaxLightQueues; n++ {
		name, rest, queue := NextLight(names)
		text, more, _ := bytes.Cut(offsets, []byte{','})
		off, ok := parseOffset(text)
		if queue && ok && bytes.HasPrefix(name, []byte(skua.LMQPrefix)) && folderName(name) && !yield(name, off) {
			return
		}
		names, offsets = rest, more
	}
}

// LightOffset is the offset of a stored message in a light queue; ok is false if it has no entry there.
func LightOffset(m *Message, queue string) (off int64, ok bool) {
	EachLight(m, func(name []byte, at int64) bool {
		off, ok = at, string(name) == queue
		return !ok
	})
	return off, ok
}

// parseOffset reads an offset.
func parseOffset(text []byte) (int64, bool) {
	if len(text) == 0 || len(text) > 19 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= math.MaxInt64
}

// LightTopic reports whether messages of a topic can have entries in light queues: not while they wait, to be retried or
// for their time, nor half messages or those that were given up, nor what was sent to a light queue itself.
func LightTopic(topic []byte) bool {
	t := string(topic)
	switch t {
	case skua.ScheduleTopic, skua.HalfTopic, skua.OpHalfTopic, skua.RocksHalfTopic, skua.RocksOpHalfTopic, skua.TransMaxTimeTopic:
		return false
	}
	return !strings.HasPrefix(t, skua.LMQPrefix) && !skua.IsRetryTopic(t) && !skua.IsDLQTopic(t) && !strings.HasPrefix(t, skua.SystemTopicPrefix)
}

// LightSize is the most that AppendLight adds to a record for a list of names, bytes.
func LightSize(names []byte) int {
	const digits = 19
	return len(offsetsHead) + (digits+1)*(bytes.Count(names, []byte{','})+1) + 1
}

// AppendLight appends to dst the record rec with the property of its offsets in light queues behind all others, before its
// seal if it has a place for one. list is the value of the property. It comes before Place and Seal.
func AppendLight(dst, rec, list []byte, seal bool) []byte {
	from, end := len(dst), len(rec)
	if seal {
		end -= SealSize
	}
	dst = append(dst, rec[:end]...)
	if dst[len(dst)-1] != valueEnd { // a value that is not ended: there are properties, as some name the queues
		dst = append(dst, valueEnd)
	}
	dst = append(append(append(dst, offsetsHead...), list...), valueEnd)
	dst = append(dst, rec[end:]...)
	out := dst[from:]
	binary.BigEndian.PutUint32(out, uint32(len(out)))
	at := len(rec) - propertiesSize(rec) - 2
	binary.BigEndian.PutUint16(out[at:], uint16(len(out)-at-2))
	return dst
}

// propertiesSize is how long the properties of an encoded record are, bytes.
func propertiesSize(rec []byte) int {
	at := bornHostAt + 8 + 8 + 8 + 4 + 8
	if rec[sysFlagAt+3]&byte(FlagBornHostV6) != 0 {
		at += 12
	}
	if rec[sysFlagAt+3]&byte(FlagStoreHostV6) != 0 {
		at += 12
	}
	at += 4 + int(binary.BigEndian.Uint32(rec[at:]))
	if binary.BigEndian.Uint32(rec[4:]) == MagicV1 {
		at += 1 + int(rec[at])
	} else {
		at += 2 + int(binary.BigEndian.Uint16(rec[at:]))
	}
	return int(binary.BigEndian.Uint16(rec[at:]))
}

// LightProperties is how long the properties of rec get with AppendLight, bytes, or one byte less.
func LightProperties(rec, list []byte) int {
	return propertiesSize(rec) + len(offsetsHead) + len(list) + 1
}
