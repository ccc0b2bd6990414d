package filter

import "bytes"

// A property string is a run of key 0x01 value 0x02. Nothing is escaped. The last 0x02 may be missing.
const (
	keyEnd   = 0x01
	valueEnd = 0x02
)

// message is the properties of a message during an evaluation.
type message struct {
	properties []byte
	found      [maxNames]span // of each property of the expression
}

// span is a part of a property string. That of a property which is not there is empty: values never are.
type span struct{ from, to uint32 }

// Evaluate is what the condition comes to for a message with these properties; see Match.
func (x *Expression) Evaluate(properties []byte) Result {
	m := message{properties: properties}
	x.find(&m)
	return x.root.test(&m)
}

// find notes where the properties of the expression are. Of equal keys the last one counts. Java drops what has no key, no
// value, or no 0x01.
func (x *Expression) find(m *message) {
	all := m.properties
	for at := 0; at < len(all); {
		end := bytes.IndexByte(all[at:], valueEnd)
		if end < 0 {
			end = len(all) - at
		}
		item := all[at : at+end]
		if key := bytes.IndexByte(item, keyEnd); key > 0 && key < end-1 && x.lengths>>(key&63)&1 != 0 {
			for i, name := range x.names {
				if len(name) == key && name == string(item[:key]) {
					m.found[i] = span{uint32(at + key + 1), uint32(at + end)}
				}
			}
		}
		at += end + 1
	}
}

// test is the result of n, a condition. A failure anywhere in what is looked at makes the whole condition fail, as an exception
// does in Java.
func (n *node) test(m *message) Result {
	switch n.op {
	case opAnd:
		return n.testParts(m, False)
	case opOr:
		return n.testParts(m, True)
	case opNot:
		return opposite[n.left.test(m)]
	case opEqual:
		return n.testEqual(m)
	case opLess, opAtMost, opGreater, opAtLeast:
		return n.testOrder(m)
	}
	var left value
	if n.op == opConstant {
		left = n.value
	} else {
		n.left.load(m, &left)
	}
	switch {
	case left.kind == failed:
		return Failed
	case n.op == opIsNull:
		return truth(left.kind == null)
	case n.op >= opContains:
		return truth(n.searched(&left))
	case left.kind == null:
		return Null
	}
	switch n.op {
	case opBetween:
		return n.testRange(m, &left)
	case opIn:
		_, in := n.list[string(left.bytes)]
		return truth(in != n.negated)
	case opConstant:
		return truth(left.int != 0)
	}
	return False // opCast: it is a string
}

func truth(b bool) Result {
	if b {
		return True
	}
	return False
}

var opposite = [...]Result{Null: Null, False: True, True: False, Failed: Failed}

// load makes v, which is zero, the value of n.
func (n *node) load(m *message, v *value) {
	switch n.op {
	case opConstant:
		*v = n.value
	case opProperty:
		if s := m.found[n.slot]; s.from != s.to {
			v.kind, v.bytes = text, m.properties[s.from:s.to:s.to]
		}
	case opNegative:
		n.left.load(m, v)
		*v = v.negative()
	default:
		switch r := n.test(m); r {
		case Failed:
			v.kind = failed
		case False, True:
			v.kind, v.int = boolean, int64(r-False)
		}
	}
}

// testParts goes on until a part decides. What is NULL does not decide, but leaves it open.
func (n *node) testParts(m *message, decides Result) Result {
	result := opposite[decides]
	for _, part := range n.parts {
		switch r := part.test(m); r {
		case Failed, decides:
			return r
		case Null:
			result = Null
		}
	}
	return result
}

// testEqual compares for equality. NULL equals NULL, and something never equals NULL; but NULL beside something is NULL.
func (n *node) testEqual(m *message) Result {
	var left, right value
	if n.left.load(m, &left); left.kind == failed {
		return Failed
	}
	n.right.load(m, &right)
	switch {
	case right.kind == failed:
		return Failed
	case left.kind == null && right.kind != null:
		return Null
	case left.kind == null || right.kind == null:
		return truth(left.kind == right.kind)
	case left.kind == text && right.kind == text:
		return truth(bytes.Equal(left.bytes, right.bytes))
	}
	c, ok := compare(&left, &right)
	if !ok {
		return Failed
	}
	return truth(c == 0)
}

// testOrder compares for order.
func (n *node) testOrder(m *message) Result {
	var left, right value
	n.left.load(m, &left)
	switch left.kind {
	case null:
		return Null
	case failed:
		return Failed
	}
	n.right.load(m, &right)
	return ordered(n.op, &left, &right)
}

// ordered is the result of a comparison of two values, of which the first is not NULL. Two strings are compared as numbers.
func ordered(o op, left, right *value) Result {
	switch {
	case right.kind == null:
		return Null
	case right.kind == failed:
		return Failed
	case left.kind == text && right.kind == text:
		number, ok := parseDouble(left.bytes)
		if !ok {
			return Failed
		}
		left = &value{kind: double, float: number}
	}
	c, ok := compare(left, right)
	if !ok {
		return Failed
	}
	switch o {
	case opLess:
		return truth(c < 0)
	case opAtMost:
		return truth(c <= 0)
	case opGreater:
		return truth(c > 0)
	}
	return truth(c >= 0)
}

// testRange is whether v is in a range: as two comparisons with AND between them, or with NOT the opposite ones with OR.
func (n *node) testRange(m *message, v *value) Result {
	orders, decides := [2]op{opAtLeast, opAtMost}, False
	if n.negated {
		orders, decides = [2]op{opLess, opGreater}, True
	}
	result := opposite[decides]
	for i, end := range n.parts {
		var edge value
		end.load(m, &edge)
		switch r := ordered(orders[i], v, &edge); r {
		case Failed, decides:
			return r
		case Null:
			result = Null
		}
	}
	return result
}

// searched is the result of a search. It is false, whether or not there is a NOT, if there is nothing to look for, or
// nothing to look at.
func (n *node) searched(v *value) bool {
	if len(n.text) == 0 || v.kind != text {
		return false
	}
	found := false
	switch n.op {
	case opContains:
		found = bytes.Contains(v.bytes, n.text)
	case opStartsWith:
		found = bytes.HasPrefix(v.bytes, n.text)
	case opEndsWith:
		found = bytes.HasSuffix(v.bytes, n.text)
	}
	return found != n.negated
}
