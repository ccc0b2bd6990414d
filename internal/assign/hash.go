package assign

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/skuamq/skua"
)

// ConsistentHash returns a strategy by which few queues move when members come and go. Each member stands nodes times on
// a ring of numbers, a queue goes to the member that follows its own number; the more nodes, the more even the shares.
// Java's is CONSISTENT_HASH, with ten nodes unless told otherwise. Without nodes nobody gets a queue, as in Java.
func ConsistentHash(nodes int) Strategy {
	return func(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
		if nodes < 0 {
			return nil, fmt.Errorf("illegal virtualNodeCnt :%d: it must not be negative", nodes)
		}
		at, err := check(queues, members, member)
		if at < 0 || nodes == 0 {
			return nil, err
		}
		r := newRing(members, nodes)
		var mine []skua.Queue
		for _, q := range queues {
			if r.owner(queueText(q)) == member {
				mine = append(mine, q)
			}
		}
		return mine, nil
	}
}

// ring is where members stand.
type ring struct {
	places  []uint32 // in order
	members map[uint32]string
}

// newRing places each member, once for each of nodes. One that is listed twice gets twice as many places, each under a
// number of its own. Of two at the same place the later one has it.
func newRing(members []string, nodes int) *ring {
	r := &ring{members: make(map[uint32]string, len(members)*nodes)}
	placed := map[string]int{}
	for _, m := range members {
		for range nodes {
			r.members[hash(m+"-"+strconv.Itoa(placed[m]))] = m
			placed[m]++
		}
	}
	for place := range r.members {
		r.places = append(r.places, place)
	}
	slices.Sort(r.places)
	return r
}

// owner is the member at the place of a text, or at the next one.
func (r *ring) owner(text string) string {
	at, _ := slices.BinarySearch(r.places, hash(text))
	return r.members[r.places[at%len(r.places)]]
}

// hash is the beginning of a text's MD5.
func hash(text string) uint32 {
	sum := md5.Sum([]byte(text))
	return binary.BigEndian.Uint32(sum[:])
}

// queueText is a queue as Java's toString spells it, which is what is hashed.
func queueText(q skua.Queue) string {
	return fmt.Sprintf("MessageQueue [topic=%s, brokerName=%s, queueId=%d]", q.Topic, q.Broker, q.ID)
}
