package broker

import (
	"bytes"
	"strconv"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// edited are the properties of a message that a producer sent, as the broker stores them: without those that only the
// broker may set, and with its own. The order of what remains stays as it was; Java's is that of a hash map.
type edited struct {
	out       []byte // memory that is used again
	undelayed bool   // leave the delay level out
	untimed   bool   // leave the time of delivery out

	unprioritized bool // leave the priority out

	level      int    // delay level, 0 if none
	noWait     bool   // answer before the disk has the message
	half       bool   // half of a transaction
	keys       bool   // has keys, not only blanks
	innerBatch bool   // claims to be a batch in one record
	light      bool   // names light queues
	timing     timing // a time of delivery that it asks for
	traits     traits // of which kind it is

	uniqueFrom, uniqueEnd int // in out
}

// scan copies the properties of a send and notes what the broker acts on, in one pass. Segments that readers would drop
// are dropped.
func (e *edited) scan(properties []byte) {
	*e = edited{out: e.out[:0], undelayed: e.undelayed, untimed: e.untimed, unprioritized: e.unprioritized}
	for rest := properties; len(rest) > 0; {
		segment := rest
		if i := bytes.IndexByte(rest, 2); i >= 0 {
			segment, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		i := bytes.IndexByte(segment, 1)
		if i <= 0 || i == len(segment)-1 {
			continue
		}
		if !e.note(segment[:i], segment[i+1:]) {
			continue
		}
		from := len(e.out)
		e.out = append(e.out, segment...)
		e.out = append(e.out, 2)
		if string(segment[:i]) == skua.PropUniqueKey {
			e.uniqueFrom, e.uniqueEnd = from+i+1, from+len(segment)
		}
	}
}

// note looks at a property and reports whether it is to be stored.
func (e *edited) note(key, value []byte) bool {
	switch string(key) {
	case skua.PropWait:
		e.noWait = !bytes.EqualFold(value, []byte("true"))
	case skua.PropKeys:
		e.keys = len(bytes.TrimSpace(value)) > 0
	case skua.PropDelayLevel:
		if e.undelayed {
			return false
		}
		e.level = parseLevel(value)
		e.traits.note(key, value)
	case skua.PropTransactionPrepared:
		e.traits.note(key, value)
		e.half = e.traits.half
	case skua.PropInnerNum:
		e.innerBatch = true
	case skua.PropTimerDelaySec, skua.PropTimerDelayMs, skua.PropTimerDeliverMs:
		if e.untimed {
			return false
		}
		e.timing.note(key, value)
		e.traits.note(key, value)
	case skua.PropPriority:
		if e.unprioritized {
			return false
		}
		e.traits.note(key, value)
	case skua.PropShardingKey, skua.PropLiteTopic, skua.PropTransferFlag:
		e.traits.note(key, value)
	case skua.PropTimerOutMs, skua.PropTimerDeleteKey:
		e.timing.note(key, value)
	case skua.PropMultiDispatch:
		e.light = true
	case skua.PropMultiQueueOffset: // only the store knows
		return false
	case skua.PropPopCheckpoint, skua.PropRegion, skua.PropTraceOn, skua.PropCluster, skua.PropHalf:
		return false
	}
	return true
}

// finish adds what the broker has to say, and a unique key if the message has none.
func (e *edited) finish(b *Broker, o *Options) {
	if e.uniqueEnd == 0 {
		e.out = append(e.out, skua.PropUniqueKey+"\x01"...)
		e.uniqueFrom = len(e.out)
		e.out = b.unique.append(e.out)
		e.uniqueEnd = len(e.out)
		e.out = append(e.out, 2)
	}
	e.out = record.AppendProperty(e.out, skua.PropRegion, o.RegionID)
	e.out = record.AppendProperty(e.out, skua.PropTraceOn, strconv.FormatBool(o.TraceOn))
	e.out = record.AppendProperty(e.out, skua.PropCluster, o.BrokerClusterName)
}

// unique is the unique key of the message, nil if it has none. It is valid as long as the properties.
func (e *edited) unique() []byte {
	if e.uniqueEnd == 0 {
		return nil
	}
	return e.out[e.uniqueFrom:e.uniqueEnd:e.uniqueEnd]
}
