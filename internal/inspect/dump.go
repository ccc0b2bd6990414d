package inspect

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// DumpOptions say what is dumped, and how.
type DumpOptions struct {
	Options
	Select             // of records; From and To also select entries of other files, by their number
	JSON    bool       // one object on each line, instead of text
	Limit   int        // most entries of all files together; 0: all
	Kind    string     // what a file is, one of Kinds; "" finds out
	Body    BodyFormat // how bodies are shown
	MaxBody int        // bytes of a body that are shown; 0: all
}

// BodyFormat is how bodies are shown.
type BodyFormat string

// The forms of bodies.
const (
	BodyText   BodyFormat = "text" // with escapes where it is no printable UTF-8
	BodyHex    BodyFormat = "hex"
	BodyBase64 BodyFormat = "base64"
	BodyNone   BodyFormat = "none"
)

// Kinds are the kinds of files that Dump knows.
var Kinds = []string{"log", "queue", "batch", "ext", "index", "checkpoint", "skua-checkpoint", "abort", "staging",
	"timerlog", "timerwheel", "timercheck", "json"}

// field is a named value of an entry.
type field struct {
	name  string
	value any
}

// dumper is one run of Dump.
type dumper struct {
	o     DumpOptions
	out   *bufio.Writer
	count int
}

// errEnough ends a dump whose limit is reached.
var errEnough = errors.New("enough")

// Dump writes the content of a file, or of all files in a folder, to w, one line for each entry. Of the root of a store it
// writes the records of the log.
func Dump(w io.Writer, path string, o DumpOptions) error {
	switch o.Body {
	case "", BodyText, BodyHex, BodyBase64, BodyNone:
	default:
		return fmt.Errorf("store: bodies cannot be shown as %q, but as text, hex, base64 or none", o.Body)
	}
	d := &dumper{o: o, out: bufio.NewWriterSize(w, 64<<10)}
	err := d.dump(path)
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("store: %w", err)
	}
	return errors.Join(err, d.out.Flush())
}

func (d *dumper) dump(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return d.file(path, info.Size(), d.o.Kind)
	}
	if exists(filepath.Join(path, layout.LogDir)) || len(d.o.LogDirs) > 0 {
		return d.store(path)
	}
	found := false
	err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil || kindOf(p, info.Size()) == "" || info.Size() == 0 {
			return err
		}
		found = true
		if !d.o.JSON {
			fmt.Fprintf(d.out, "# %s\n", p)
		}
		return d.file(p, info.Size(), d.o.Kind)
	})
	if err == nil && !found {
		err = fmt.Errorf("%s holds no file of a known kind", path)
	}
	return err
}

// kindOf finds out what a file is by its name and folder, "" if it is unknown.
func kindOf(path string, size int64) string {
	name, folder := filepath.Base(path), filepath.Base(filepath.Dir(path))
	switch {
	case name == layout.CheckpointFile && folder == layout.OwnDir:
		return "skua-checkpoint"
	case name == layout.JavaCheckpointFile:
		return "checkpoint"
	case name == layout.AbortFile, name == layout.StagingFile, name == layout.TimerWheelFile, name == "timercheck":
		return name
	case strings.HasSuffix(strings.TrimSuffix(name, ".bak"), ".json"), strings.HasSuffix(strings.TrimSuffix(name, ".bak"), "etrics"),
		name == "position-checkpoint":
		return "json"
	case folder == layout.IndexDir && len(name) == len("20060102150405000"):
		return "index"
	}
	if _, ok := parseStart(name); !ok {
		return ""
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		switch filepath.Base(dir) {
		case layout.LogDir, "compactionLog":
			return "log"
		case layout.QueueDir:
			return "queue"
		case layout.BatchQueueDir, "compactionCq":
			return "batch"
		case layout.ExtDir:
			return "ext"
		case layout.TimerLogDir:
			return "timerlog"
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if logHead(path) {
		return "log"
	}
	return ""
}

// logHead reports whether a file begins like one of a log.
func logHead(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, record.BlankSize)
	if _, err := io.ReadFull(f, b); err != nil {
		return false
	}
	_, _, err = record.Decode(b)
	return errors.Is(err, record.ErrShort) || errors.Is(err, record.ErrBlank)
}

// file dumps one file.
func (d *dumper) file(path string, size int64, kind string) error {
	if kind == "" {
		if kind = kindOf(path, size); kind == "" {
			return fmt.Errorf("%s is of no known kind; --kind tells which (%s)", path, strings.Join(Kinds, ", "))
		}
	}
	switch kind {
	case "log":
		return d.logFile(path, size)
	case "queue":
		return d.units(path, layout.UnitSize, queueUnit)
	case "batch":
		return d.units(path, layout.BatchUnitSize, batchUnit)
	case "timerlog":
		return d.units(path, layout.TimerUnitSize, timerUnit)
	case "timerwheel":
		return d.units(path, layout.TimerSlotSize, timerSlot)
	case "ext":
		return d.extFile(path, size)
	case "index":
		return d.indexFile(path)
	case "json":
		return d.jsonFile(path)
	case "staging":
		return d.stagingFile(path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fields, err := smallFile(kind, b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return d.put(fields...)
}

// put writes one entry.
func (d *dumper) put(fields ...field) error {
	if d.o.Limit > 0 && d.count >= d.o.Limit {
		return errEnough
	}
	d.count++
	if !d.o.JSON {
		for i, f := range fields {
			if i > 0 {
				d.out.WriteByte(' ')
			}
			fmt.Fprintf(d.out, "%s=%v", f.name, f.value)
		}
		return d.out.WriteByte('\n')
	}
	sep := byte('{')
	for _, f := range fields {
		b, err := json.Marshal(f.value)
		if err != nil {
			return err
		}
		d.out.WriteByte(sep)
		sep = ','
		d.out.WriteString(strconv.Quote(f.name))
		d.out.WriteByte(':')
		d.out.Write(b)
	}
	_, err := d.out.WriteString("}\n")
	return err
}

// selected reports whether an entry with a number is wanted.
func (d *dumper) selected(n int64) bool { return n >= d.o.From && (d.o.To <= 0 || n < d.o.To) }

// jsonFile writes a configuration file as standard JSON.
func (d *dumper) jsonFile(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var v json.RawMessage
	if err := fastjson.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var out bytes.Buffer
	if d.o.JSON {
		err = json.Compact(&out, v)
	} else {
		err = json.Indent(&out, v, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	d.out.Write(out.Bytes())
	return d.out.WriteByte('\n')
}

// bodyText is a body as it is shown.
func (o *DumpOptions) bodyText(b []byte) string {
	if o.MaxBody > 0 && len(b) > o.MaxBody {
		b = b[:o.MaxBody]
	}
	switch o.Body {
	case BodyHex:
		return hex.EncodeToString(b)
	case BodyBase64:
		return base64.StdEncoding.EncodeToString(b)
	case BodyNone:
		return ""
	}
	return string(b)
}
