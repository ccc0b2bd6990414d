// Package filter compiles SQL92 conditions on message properties, as consumers subscribe with them, and evaluates them
// against the properties of messages. It hides the grammar, the three-valued logic and the conversions between strings,
// numbers and booleans, which are those of RocketMQ's Java broker down to its oddities: testdata/java.tsv has what Java
// answers. It also has the Bloom filter whose bits say beforehand which groups a message is for.
//
//	or         = and { OR and }
//	and        = equality { AND equality }
//	equality   = comparison { "=" comparison | "<>" comparison | IS [ NOT ] NULL }
//	comparison = unary { ( ">" | ">=" | "<" | "<=" ) unary
//	                   | [ NOT ] ( CONTAINS | STARTSWITH | ENDSWITH ) string
//	                   | [ NOT ] BETWEEN unary AND unary
//	                   | [ NOT ] IN "(" string { "," string } ")" }
//	unary      = ( "+" | "-" | NOT ) unary | primary
//	primary    = string | number | TRUE | FALSE | NULL | property | "(" or ")"
//
// Key words are known in any case. Strings stand in single quotes, of which two are one inside. Properties are named with
// letters, digits, _ and $. -- begins a comment that ends with the line, /* one that ends with */.
//
// Values of properties are strings; beside a number or a boolean they are read as one. A property that is not there is
// NULL. Conditions are TRUE, FALSE or NULL, and fail if a string cannot be read as what it is compared with.
package filter

import "fmt"

// Limits of an expression.
const (
	MaxLength = 64 << 10 // bytes
	maxDepth  = 200      // of parentheses, NOT and signs inside one another
	maxNames  = 64       // different properties
)

// Result is what a condition comes to.
type Result uint8

// The results. A message passes if the result is True.
const (
	Null Result = iota
	False
	True
	Failed // a string could not be read as what it was compared with
)

// String is the name of the result.
func (r Result) String() string { return [...]string{"NULL", "FALSE", "TRUE", "FAILED"}[r] }

// Expression is a compiled condition, an immutable value.
type Expression struct {
	text    string
	root    *node
	names   []string // of properties
	lengths uint64   // bit l&63 is set if a name has l bytes
	cost    int
	ignored int // where what is ignored begins; len(text) if nothing is
}

// SyntaxError tells what is wrong with an expression, and where: Line and Column count from 1, columns in characters.
type SyntaxError struct {
	Line, Column int
	Message      string
}

// Error says where and what.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Compile reads an expression. maxCost bounds what one evaluation may cost, see Cost; 0: no limit. An expression ends
// where Java's parser ends it, which passes over what follows; see Ignored. Errors are of type *SyntaxError.
func Compile(expression string, maxCost int) (*Expression, error) {
	p := parser{lexer: lexer{text: expression}}
	if len(expression) > MaxLength {
		return nil, &SyntaxError{1, 1, fmt.Sprintf("the expression has %d bytes, at most %d are allowed", len(expression), MaxLength)}
	}
	root, err := p.parse()
	if err != nil {
		return nil, err
	}
	x := &Expression{text: expression, root: root, names: p.names, cost: p.cost, ignored: p.next().at}
	for _, name := range x.names {
		x.lengths |= 1 << (len(name) & 63)
	}
	if maxCost > 0 && x.cost > maxCost {
		return nil, &SyntaxError{1, 1, fmt.Sprintf("the expression costs %d, at most %d are allowed: each comparison costs 1, "+
			"a search such as CONTAINS %d, a list of IN 1 for each %d strings; ask for less, or raise maxFilterCost of the broker", x.cost, maxCost, costSearch, costList)}
	}
	return x, nil
}

// String is the text that was compiled.
func (x *Expression) String() string { return x.text }

// Cost is what an evaluation costs: 1 for each comparison, of which a search such as CONTAINS counts as 4, and a long list of
// IN as one for each 16 of its strings. It is some tens of nanoseconds for each.
func (x *Expression) Cost() int { return x.cost }

// Ignored is what stands behind the condition and is passed over, as in Java; "" if nothing does. In "a = 1 b = 2" it is
// "b = 2".
func (x *Expression) Ignored() string { return x.text[x.ignored:] }

// Match reports whether a message with these properties, a run of key 0x01 value 0x02, passes. It does not allocate, but for
// numbers beyond the greatest, and is safe for concurrent use.
func (x *Expression) Match(properties []byte) bool { return x.Evaluate(properties) == True }
