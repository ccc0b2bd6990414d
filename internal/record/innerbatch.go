package record

import (
	"bytes"
	"strconv"

	"github.com/skuamq/skua"
)

// FlagInnerBatch in Message.SysFlag says that the body is that of a batch, and that the record holds all its messages.
// INNER_NUM tells how many they are, INNER_BASE, the offset of the first one in its queue.
const FlagInnerBatch int32 = 0x80

// FlagNeedUnwrap in Message.SysFlag tells consumers that the body holds several messages.
const FlagNeedUnwrap int32 = 0x40

// baseDigits is the length of INNER_BASE, which is known only when the record gets its place: with leading zeros.
const baseDigits = 19

// baseHead is what the property begins with.
var baseHead = []byte(skua.PropInnerBase + "\x01")

// AppendWithoutBase appends properties to dst with INNER_BASE, if there is one, taken out and a place for it at the end,
// which PutInnerBase fills.
func AppendWithoutBase(dst, properties []byte) []byte {
	for s := properties; len(s) > 0; {
		k, _, rest, _ := nextProperty(s)
		if string(k) != skua.PropInnerBase {
			dst = append(dst, s[:len(s)-len(rest)]...)
		}
		s = rest
	}
	if n := len(dst); n > 0 && dst[n-1] != valueEnd {
		dst = append(dst, valueEnd)
	}
	dst = append(dst, baseHead...)
	dst = append(dst, bytes.Repeat([]byte{'0'}, baseDigits)...)
	return append(dst, valueEnd)
}

// PutInnerBase writes base into the place that AppendWithoutBase has left at the end of rec, or in front of its seal. It
// comes before Seal.
func PutInnerBase(rec []byte, base skua.QueueOffset, seal bool) {
	end := len(rec) - 1
	if seal {
		end -= SealSize
	}
	var text [baseDigits]byte
	digits := strconv.AppendInt(text[:0], int64(base), 10)
	copy(rec[end-len(digits):end], digits)
}
