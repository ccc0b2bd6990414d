// Package skua holds the nouns that every part of Skua speaks: messages, queues, topic settings, offsets, and the names
// that RocketMQ reserves. It hides nothing and does nothing beyond validation; it imports no other package of Skua.
//
// Skua is a message server that speaks the protocols of Apache RocketMQ and opens its files. Programs use it through
// package client.
package skua

// LogOffset is a position in the commit log, in bytes from its very beginning. It survives restarts and retention.
type LogOffset int64

// QueueOffset is a position in one queue, counted in messages from its very beginning.
type QueueOffset int64

// BrokerID is the number of a broker among those of its name: 0 is the master, others are slaves.
type BrokerID int64

// Master is the BrokerID of a master.
const Master BrokerID = 0

// Epoch counts the terms of masters in controller mode.
type Epoch int32

// Queue names one queue of a topic on one broker. It is comparable and serves as a map key.
type Queue struct {
	Topic  string
	Broker string // name of the broker that holds the queue
	ID     int32  // 0 and up
}

// Perm is what may be done with the queues of a topic, a set of bits.
type Perm int32

// The bits of Perm, as on the wire and in topics.json.
const (
	PermInherit  Perm = 1 // new topics may take this one as a template
	PermWrite    Perm = 2
	PermRead     Perm = 4
	PermPriority Perm = 8
)

// Readable reports whether consumers may read.
func (p Perm) Readable() bool { return p&PermRead != 0 }

// Writable reports whether producers may send.
func (p Perm) Writable() bool { return p&PermWrite != 0 }

// Inherited reports whether new topics may take the topic as their template.
func (p Perm) Inherited() bool { return p&PermInherit != 0 }

// String gives the three letters that mqadmin prints, such as "RW-" or "RWX".
func (p Perm) String() string {
	b := []byte("---")
	if p.Readable() {
		b[0] = 'R'
	}
	if p.Writable() {
		b[1] = 'W'
	}
	if p.Inherited() {
		b[2] = 'X'
	}
	return string(b)
}
