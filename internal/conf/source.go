package conf

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/magiconair/properties"
)

// Pair is a key with its value as it was written.
type Pair struct {
	Key, Value string
	Line       int // in its file, from 1; 0 if it is from no file
}

// Source is a number of settings from one place.
type Source struct {
	Origin string // a file's name, "environment", "command line"
	Pairs  []Pair // in the order they were written, duplicates included
}

// origin names the place of a pair.
func (s Source) origin(p Pair) string {
	if p.Line == 0 {
		return s.Origin
	}
	return s.Origin + ":" + strconv.Itoa(p.Line)
}

// Parse reads the text of a properties file as Java does: bytes are ISO-8859-1, lines may be continued, nothing is
// expanded. origin is the file's name for messages. The error names the line that cannot be read.
func Parse(origin string, data []byte) (Source, error) {
	src := Source{Origin: origin}
	for _, l := range logicalLines(data) {
		if l.comment {
			continue
		}
		p, err := l.pair()
		if err != nil {
			return Source{}, fmt.Errorf("%s:%d: %w", origin, l.number, err)
		}
		src.Pairs = append(src.Pairs, p)
	}
	return src, nil
}

// Args reads settings of the form key=value, as they stand on a command line. Value may be empty.
func Args(args []string) (Source, error) {
	src := Source{Origin: "command line"}
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return Source{}, fmt.Errorf("command line: %q is no setting, want key=value", a)
		}
		src.Pairs = append(src.Pairs, Pair{Key: key, Value: value})
	}
	return src, nil
}

// One returns a source of a single setting.
func One(origin, key, value string) Source {
	return Source{Origin: origin, Pairs: []Pair{{Key: key, Value: value}}}
}

// logicalLine is a line of a properties file together with the lines that continue it.
type logicalLine struct {
	number  int // of its first line, from 1
	text    []byte
	comment bool // a comment, or blank
}

// logicalLines cuts a properties file into the parts that hold one setting each, so that settings can be told their
// line numbers. Line ends become "\n". A byte order mark, which would become part of the first key, is dropped.
func logicalLines(data []byte) []logicalLine {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	var lines []logicalLine
	continued := false
	number := 0
	for text := range bytes.Lines(data) {
		number++
		if continued {
			last := &lines[len(lines)-1]
			last.text = append(last.text[:len(last.text):len(last.text)], text...)
		} else {
			start := bytes.TrimLeft(text, " \t\f")
			blank := len(start) == 0 || start[0] == '\n'
			lines = append(lines, logicalLine{number: number, text: text, comment: blank || start[0] == '#' || start[0] == '!'})
		}
		continued = !lines[len(lines)-1].comment && continues(text)
	}
	return lines
}

// continues reports whether a line ends in an odd number of backslashes.
func continues(line []byte) bool {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return (len(line)-len(bytes.TrimRight(line, `\`)))%2 == 1
}

// loader reads as java.util.Properties does.
var loader = properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}

func (l logicalLine) pair() (Pair, error) {
	text := l.text
	if continues(text) { // nothing follows: the backslash means nothing
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte(`\`))
	}
	p, err := loader.LoadBytes(text)
	if err != nil || p.Len() != 1 {
		return Pair{}, fmt.Errorf("cannot read %q, want key=value", bytes.TrimSpace(l.text))
	}
	key := p.Keys()[0]
	value, _ := p.Get(key)
	return Pair{Key: key, Value: value, Line: l.number}, nil
}
