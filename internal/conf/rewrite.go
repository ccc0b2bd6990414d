package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"
)

// Save puts the settings of changes into the properties file at path, which need not exist, as Rewrite does, so that they hold
// after a restart. They are on disk when it returns. Without a path, "", it does nothing. Its error is for whoever asked for the
// changes, which should be made all the same: who makes room on a full disk, or takes traffic from a broker whose file is mounted
// to be read only, must not have to mend that first.
func Save(path string, changes []Pair) error {
	if path == "" || len(changes) == 0 {
		return nil
	}
	if err := save(path, changes); err != nil {
		return fmt.Errorf("the settings are changed, but only until the next start: they cannot be saved (%w); change them in %s, too", err, path)
	}
	return nil
}

func save(path string, changes []Pair) error {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data = Rewrite(data, changes)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err = renameio.WriteFile(path, data, 0o644, renameio.WithTempDir(dir))
	if errors.Is(err, syscall.EBUSY) { // the file itself is mounted, as into a container: nothing can take its place
		err = overwrite(path, data)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// Rewrite returns the text of a properties file with the settings of changes put in: where the file has a key, the last
// of its lines that counts is replaced, other keys are appended. Comments, order and all other lines stay as they are.
// data may be empty; a line that cannot be read stays.
func Rewrite(data []byte, changes []Pair) []byte {
	lines := logicalLines(data)
	for _, c := range changes {
		text := []byte(escape(c.Key, true) + "=" + escape(c.Value, false) + "\n")
		at := slices.IndexFunc(lines, func(l logicalLine) bool { return l.sets(c.Key) })
		for i := at + 1; at >= 0 && i < len(lines); i++ {
			if lines[i].sets(c.Key) {
				at = i
			}
		}
		if at >= 0 {
			lines[at].text = text
			continue
		}
		if n := len(lines); n > 0 {
			lines[n-1].text = closed(lines[n-1])
		}
		lines = append(lines, logicalLine{text: text})
	}
	var out []byte
	for _, l := range lines {
		out = append(out, l.text...)
	}
	return out
}

// closed is the text of a line such that another may follow.
func closed(l logicalLine) []byte {
	text := bytes.TrimSuffix(l.text, []byte("\n"))
	if !l.comment && continues(l.text) {
		text = text[:len(text)-1]
	}
	return append(slices.Clip(text), '\n')
}

func (l logicalLine) sets(key string) bool {
	if l.comment {
		return false
	}
	p, err := l.pair()
	return err == nil && p.Key == key
}

// escape writes s so that a reader of properties files gets it back: a key may hold neither blanks nor separators, a
// value no leading blank, and what ISO-8859-1 lacks is written as UTF-16.
func escape(s string, key bool) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '\\', r == ' ' && (key || i == 0), key && strings.ContainsRune(":=#!", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r > 0x7e:
			writeUTF16(&b, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func writeUTF16(b *strings.Builder, r rune) {
	if r >= 0x10000 {
		r -= 0x10000
		fmt.Fprintf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		return
	}
	fmt.Fprintf(b, `\u%04x`, r)
}
