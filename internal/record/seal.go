package record

import (
	"bytes"

	"github.com/skuamq/skua"
)

// A seal is the checksum of a whole record, the last property of the record that carries it (enabledAppendPropCRC):
//
//	`__CRC32#` 0x01 10 digits 0x02
//
// The digits are those of the CRC of all bytes before the seal, the least significant first.
const (
	sealDigits = 10
	// SealSize is the length of a seal, bytes.
	SealSize = len(skua.PropCRC32) + 1 + sealDigits + 1
)

// sealHead is what a seal begins with.
var sealHead = append([]byte(skua.PropCRC32), keyEnd)

// AppendUnsealed appends properties to dst with all seals taken out and a place for one at the end, which Seal fills.
func AppendUnsealed(dst, properties []byte) []byte {
	dst = appendWithoutSeals(dst, properties)
	if n := len(dst); n > 0 && dst[n-1] != valueEnd {
		dst = append(dst, valueEnd)
	}
	dst = append(dst, sealHead...)
	for range sealDigits {
		dst = append(dst, '0')
	}
	return append(dst, valueEnd)
}

func appendWithoutSeals(dst, properties []byte) []byte {
	if !bytes.Contains(properties, sealHead) {
		return append(dst, properties...)
	}
	for s := properties; len(s) > 0; {
		k, _, rest, _ := nextProperty(s)
		if string(k) != skua.PropCRC32 {
			dst = append(dst, s[:len(s)-len(rest)]...)
		}
		s = rest
	}
	return dst
}

// WithoutSeal is properties without what looks like a seal at their end: one that came with a message says nothing about
// the record that the message becomes.
func WithoutSeal(properties []byte) []byte {
	for sealed(properties) {
		properties = properties[:len(properties)-SealSize]
	}
	return properties
}

// sealed reports whether b ends in a seal, which stands alone or behind another property.
func sealed(b []byte) bool {
	at := len(b) - SealSize
	return at >= 0 && b[len(b)-1] == valueEnd && bytes.HasPrefix(b[at:], sealHead) && (at == 0 || b[at-1] == valueEnd)
}

// Seal writes the checksum of rec into the place that AppendUnsealed has left at its end. All other bytes of rec must be
// final: Place comes before it.
func Seal(rec []byte) {
	end := len(rec) - SealSize
	crc := CRC(rec[:end])
	digits := rec[end+len(sealHead):][:sealDigits]
	for i := range digits {
		digits[i] = '0' + byte(crc%10)
		crc /= 10
	}
}

// CheckSeal looks for the seal of rec, a whole record of which Decode has made m. found tells whether there is one, intact
// whether the record still is the one that was sealed.
func CheckSeal(rec []byte, m *Message) (found, intact bool) {
	if !sealed(m.Properties) {
		return false, false
	}
	end := len(rec) - SealSize
	crc := CRC(rec[:end])
	for _, d := range rec[end+len(sealHead):][:sealDigits] {
		if d != '0'+byte(crc%10) {
			return true, false
		}
		crc /= 10
	}
	return true, true
}
