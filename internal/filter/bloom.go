package filter

import (
	"fmt"
	"math"

	"github.com/twmb/murmur3"
)

// Bloom says beforehand, in a few bits beside each queue entry, which groups a message may be for: a bit map has the bits of
// those groups whose filters the message passes. Each group has a few bits of its own for each topic, and shares them with
// others by chance. It is Java's, to the bit; bit i is bit i%8 of byte i/8.
type Bloom struct {
	hashes int // bits of a group
	bits   int // of a map, a multiple of 8
}

// NewBloom makes a Bloom whose maps are as long as it takes for one message in 100/errorRate to be taken for one of a group
// by chance when it is for expected others. errorRate is from 1 to 99, expected from 1 to 1,000,000.
func NewBloom(errorRate, expected int) (Bloom, error) {
	if errorRate < 1 || errorRate > 99 || expected < 1 || expected > 1_000_000 {
		return Bloom{}, fmt.Errorf("an error rate of %d and %d groups are out of range, want 1 to 99 percent and 1 to 1000000", errorRate, expected)
	}
	rate := float64(errorRate) / 100
	bits := math.Ceil(float64(expected) * (math.Log(1/rate) / math.Log(2)) * (math.Log(math.E) / math.Log(2)))
	return Bloom{hashes: int(math.Ceil(math.Log(rate) / math.Log(0.5))), bits: 8 * int(math.Ceil(bits/8))}, nil
}

// Bits is the length of a map.
func (b Bloom) Bits() int { return b.bits }

// Positions are the bits of a group for a topic.
func (b Bloom) Positions(group, topic string) []int32 { return b.positions(group + "#" + topic) }

func (b Bloom) positions(key string) []int32 {
	hash := murmur3.StringSum64(key)
	low, high := int32(hash), int32(hash>>32)
	all := make([]int32, b.hashes)
	for i := range all {
		at := low + int32(i+1)*high // overflows, as in Java
		if at < 0 {
			at = ^at
		}
		all[i] = at % int32(b.bits)
	}
	return all
}

// Valid reports whether positions in a map of so many bits, which somebody may have made with other settings, are of this
// Bloom.
func (b Bloom) Valid(bits int, positions []int32) bool {
	if bits != b.bits || len(positions) != b.hashes {
		return false
	}
	for _, at := range positions {
		if at < 0 || int(at) >= bits {
			return false
		}
	}
	return true
}

// Mark sets the bits of a group in a map of Bits bits.
func (b Bloom) Mark(bitmap []byte, positions []int32) {
	for _, at := range positions {
		bitmap[at/8] |= 1 << (at % 8)
	}
}

// Marked reports whether the bits of a group are set in a map. In one of another length they are: it says nothing.
func (b Bloom) Marked(bitmap []byte, positions []int32) bool {
	if 8*len(bitmap) != b.bits {
		return true
	}
	for _, at := range positions {
		if bitmap[at/8]>>(at%8)&1 == 0 {
			return false
		}
	}
	return true
}
