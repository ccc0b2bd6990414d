package filter

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Costs that are not 1, see Expression.Cost.
const (
	costSearch = 4
	costList   = 16 // strings of a list that cost 1
)

// parser makes an expression of its tokens. Java's parser looks one token ahead, and only for that one it notices that it is
// none; so does this one.
type parser struct {
	lexer
	ahead  token
	looked bool // whether ahead is the next token
	depth  int
	names  []string
	cost   int
	err    error // the first one; next returns the end from then on
}

// next looks at the next token.
func (p *parser) next() token {
	if !p.looked {
		var err error
		if p.ahead, err = p.scan(); err != nil {
			p.fail(err)
		}
		p.looked = true
	}
	if p.err != nil {
		return token{kind: tokEnd, at: p.ahead.at}
	}
	return p.ahead
}

// take returns the next token and goes on behind it.
func (p *parser) take() token {
	t := p.next()
	p.looked = t.kind == tokEnd
	return t
}

// takes goes on behind the next token if it is of a kind, and reports whether it is.
func (p *parser) takes(k kind) bool {
	if p.next().kind != k {
		return false
	}
	p.take()
	return true
}

// fail keeps the first error.
func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// reject fails at the place of t.
func (p *parser) reject(t token, format string, args ...any) {
	p.fail(p.errorAt(t.at, format, args...))
}

// want fails because the next token is not what the grammar has there.
func (p *parser) want(what string) {
	t := p.next()
	p.reject(t, "found %v, want %s", t, what)
}

// parse reads a whole expression.
func (p *parser) parse() (*node, error) {
	begin := p.next()
	n := p.condition(begin, p.or())
	p.next() // what it is does not matter, but it must be something
	if p.err != nil {
		return nil, p.err
	}
	return n, nil
}

// condition makes n, which begins at t, a condition. A property alone is one, but never true: strings are no booleans.
func (p *parser) condition(t token, n *node) *node {
	switch {
	case n == nil || n.boolean():
		return n
	case n.op == opProperty:
		return &node{op: opCast, left: n}
	}
	p.reject(t, "found %v, which is no condition: want a comparison, as in a = 1", n)
	return nil
}

// join reads conditions with one of AND and OR between them.
func (p *parser) join(between kind, o op, part func() *node) *node {
	begin := p.next()
	first := part()
	if p.next().kind != between {
		return first
	}
	n := &node{op: o, parts: []*node{p.condition(begin, first)}}
	for p.takes(between) {
		begin = p.next()
		n.parts = append(n.parts, p.condition(begin, part()))
	}
	return n
}

func (p *parser) or() *node  { return p.join(tokOr, opOr, p.and) }
func (p *parser) and() *node { return p.join(tokAnd, opAnd, p.equality) }

// equality reads comparisons with =, <> or IS NULL between or behind them.
func (p *parser) equality() *node {
	left := p.comparison()
	for p.err == nil {
		t := p.next()
		switch {
		case t.is("="):
			p.take()
			left = p.equal(t, left, p.comparison())
		case t.is("<>"):
			p.take()
			left = not(p.equal(t, left, p.comparison()))
		case t.kind == tokIs:
			p.take()
			left = p.isNull(left)
		default:
			return left
		}
	}
	return nil
}

// isNull reads what is behind IS.
func (p *parser) isNull(left *node) *node {
	p.cost++
	n := &node{op: opIsNull, left: left}
	switch {
	case p.takes(tokNull):
		return n
	case !p.takes(tokNot):
		p.want("NULL or NOT NULL")
	case !p.takes(tokNull):
		p.want("NULL")
	}
	return not(n)
}

// equal compares left and right at the token t.
func (p *parser) equal(t token, left, right *node) *node {
	if p.err != nil {
		return nil
	}
	for _, n := range []*node{left, right} {
		if n.literal() && n.value.kind == null {
			p.reject(t, "NULL cannot be compared: want IS NULL or IS NOT NULL")
		}
	}
	if left.literal() && right.literal() && left.value.kind == boolean && right.value.kind != boolean {
		p.reject(t, "%v cannot be compared with %v", left, right)
	}
	p.cost++
	return &node{op: opEqual, left: left, right: right}
}

// comparison reads what is behind a value: an order, a search, a range or a list.
func (p *parser) comparison() *node {
	left := p.unary()
	for p.err == nil {
		t := p.next()
		switch {
		case t.is("<"), t.is("<="), t.is(">"), t.is(">="):
			p.take()
			left = p.order(t, orders[t.text], left, p.unary())
		case t.kind == tokNot:
			p.take()
			if left = p.phrase(left, true); left == nil && p.err == nil {
				p.want("IN, BETWEEN, CONTAINS, STARTSWITH or ENDSWITH")
			}
		default:
			next := p.phrase(left, false)
			if next == nil {
				return left
			}
			left = next
		}
	}
	return nil
}

var orders = map[string]op{"<": opLess, "<=": opAtMost, ">": opGreater, ">=": opAtLeast}

// phrase reads what begins with a key word that may have NOT before it; nil if the next token is none.
func (p *parser) phrase(left *node, negated bool) *node {
	t := p.next()
	switch t.kind {
	case tokContains, tokStartsWith, tokEndsWith:
		p.take()
		return p.search(t, left, negated)
	case tokBetween:
		p.take()
		return p.between(t, left, negated)
	case tokIn:
		p.take()
		return p.in(t, left, negated)
	}
	return nil
}

// order compares left and right at the token t.
func (p *parser) order(t token, o op, left, right *node) *node {
	p.ordered(t, left, right)
	p.cost++
	return &node{op: o, left: left, right: right}
}

// ordered fails unless all of ns have an order.
func (p *parser) ordered(t token, ns ...*node) {
	for _, n := range ns {
		if p.err == nil && (n.boolean() || n.literal() && !n.value.number()) {
			p.reject(t, "%v cannot be compared with %s: want a number or a property", n, t.text)
		}
	}
}

// text reads a string.
func (p *parser) text() string {
	t := p.next()
	if t.kind != tokString {
		p.want("a string in single quotes")
		return ""
	}
	p.take()
	return unquote(t)
}

func unquote(t token) string { return strings.ReplaceAll(t.text[1:len(t.text)-1], "''", "'") }

var searches = map[kind]op{tokContains: opContains, tokStartsWith: opStartsWith, tokEndsWith: opEndsWith}

// search reads what is searched for behind t. Searches for nothing are false, whether or not there is a NOT.
func (p *parser) search(t token, left *node, negated bool) *node {
	text := p.text()
	p.cost += costSearch
	return &node{op: searches[t.kind], left: left, negated: negated, text: []byte(text)}
}

// between reads a range. Without NOT, one of two numbers must not be empty.
func (p *parser) between(t token, left *node, negated bool) *node {
	low := p.unary()
	if !p.takes(tokAnd) {
		p.want("AND between the ends of the range")
	}
	high := p.unary()
	if p.err != nil {
		return nil
	}
	if !negated && low.literal() && high.literal() && low.value.number() && high.value.number() {
		if c, _ := compare(&high.value, &low.value); c < 0 {
			p.reject(t, "BETWEEN %v AND %v is an empty range: want the least number first", low, high)
		}
	}
	p.ordered(t, left, low, high)
	p.cost += 2
	return &node{op: opBetween, left: left, parts: []*node{low, high}, negated: negated}
}

// in reads a list.
func (p *parser) in(t token, left *node, negated bool) *node {
	if p.err == nil && left.op != opProperty {
		p.reject(t, "found %v before %s, want a property", left, t.text)
	}
	if !p.next().is("(") {
		p.want("( and a list of strings")
	}
	n := &node{op: opIn, left: left, negated: negated, list: map[string]struct{}{}}
	for more := true; more && p.err == nil; {
		p.take() // the parenthesis or comma
		n.list[p.text()] = struct{}{}
		more = p.next().is(",")
	}
	if !p.next().is(")") {
		p.want(", or ) in the list")
	}
	p.take()
	p.cost += 1 + len(n.list)/costList
	return n
}

// unary reads a value, with signs and NOT before it.
func (p *parser) unary() *node {
	if p.depth++; p.depth > maxDepth {
		p.reject(p.next(), "parentheses, NOT and signs stand more than %d deep inside one another", maxDepth)
	}
	defer func() { p.depth-- }()
	t := p.next()
	if p.err != nil {
		return nil
	}
	switch {
	case t.is("+"):
		p.take()
		return p.unary()
	case t.is("-"):
		p.take()
		return negative(p.unary())
	case t.kind == tokNot:
		p.take()
		begin := p.next()
		return not(p.condition(begin, p.unary()))
	}
	return p.primary(t)
}

// primary reads what begins with t.
func (p *parser) primary(t token) *node {
	switch {
	case t.kind == tokString:
		p.take()
		return constant(value{kind: text, bytes: []byte(unquote(t))})
	case t.kind == tokDecimal, t.kind == tokFloat:
		p.take()
		return p.number(t)
	case t.kind == tokTrue, t.kind == tokFalse:
		p.take()
		return constant(value{kind: boolean, int: map[kind]int64{tokTrue: 1}[t.kind]})
	case t.kind == tokNull:
		p.take()
		return constant(value{})
	case t.kind == tokName:
		p.take()
		return p.property(t)
	case t.is("("):
		p.take()
		n := p.or()
		if !p.next().is(")") {
			p.want("), or AND, OR or a comparison before it")
		}
		p.take()
		return n
	}
	p.want("a property, a string, a number, TRUE, FALSE, NULL, NOT, a sign or (")
	return nil
}

// number reads the number in t. As in Java there is no floating-point number that is 0 or beyond the greatest.
func (p *parser) number(t token) *node {
	if t.kind == tokFloat {
		f, _ := strconv.ParseFloat(t.text, 64)
		if f == 0 || math.IsInf(f, 0) {
			p.reject(t, "%v must be at least %g and at most %g; 0 is written without a point", t, math.SmallestNonzeroFloat64, math.MaxFloat64)
		}
		return constant(value{kind: double, float: f})
	}
	n, err := strconv.ParseInt(strings.TrimRight(t.text, "lL"), 10, 64)
	if err != nil {
		p.reject(t, "%v is more than %d", t, math.MaxInt64)
	}
	if n <= math.MaxInt32 {
		return constant(value{kind: integer, int: n})
	}
	return constant(value{kind: long, int: n})
}

// property is the property that is named in t.
func (p *parser) property(t token) *node {
	for i, name := range p.names {
		if name == t.text {
			return &node{op: opProperty, slot: i, name: t.text}
		}
	}
	if len(p.names) == maxNames {
		p.reject(t, "%s is one property too many, at most %d different ones are allowed", t, maxNames)
		return nil
	}
	p.names = append(p.names, t.text)
	return &node{op: opProperty, slot: len(p.names) - 1, name: t.text}
}

// node is a part of an expression: a value or a condition.
type node struct {
	op          op
	left, right *node
	parts       []*node             // of AND and OR, at least one; the two ends of BETWEEN
	value       value               // of a constant
	signed      bool                // the constant had a sign: no literal
	slot        int                 // of a property
	name        string              // of a property
	negated     bool                // NOT before a search, list or range
	text        []byte              // that is searched for
	list        map[string]struct{} // of IN
}

// op is what a node does.
type op uint8

const (
	opConstant op = iota
	opProperty
	opNegative
	opCast // from here on: conditions
	opNot
	opAnd
	opOr
	opEqual
	opIsNull
	opLess
	opAtMost
	opGreater
	opAtLeast
	opBetween
	opIn
	opContains // from here on: searches
	opStartsWith
	opEndsWith
)

// literal reports whether n is a constant as it stands in the expression. Java does not count those with a -.
func (n *node) literal() bool { return n.op == opConstant && !n.signed }

// boolean reports whether n is a condition. NULL is one.
func (n *node) boolean() bool {
	return n.op >= opCast || n.literal() && (n.value.kind == boolean || n.value.kind == null)
}

// String is what n is, for errors.
func (n *node) String() string {
	switch {
	case n.op == opProperty:
		return "property " + n.name
	case n.op == opConstant:
		return n.value.String()
	case n.boolean():
		return "a condition"
	}
	return "a value"
}

func constant(v value) *node { return &node{op: opConstant, value: v} }

func not(n *node) *node { return &node{op: opNot, left: n} }

// negative is n with a - before it. That of what is not a number is NULL.
func negative(n *node) *node {
	if n == nil || n.op != opConstant {
		return &node{op: opNegative, left: n}
	}
	return &node{op: opConstant, value: n.value.negative(), signed: true}
}

// String is the value as it is written.
func (v value) String() string {
	switch v.kind {
	case text:
		return fmt.Sprintf("%q", v.bytes)
	case boolean:
		return map[bool]string{false: "FALSE", true: "TRUE"}[v.int != 0]
	case integer, long:
		return strconv.FormatInt(v.int, 10)
	case double:
		return strconv.FormatFloat(v.float, 'g', -1, 64)
	}
	return "NULL"
}
