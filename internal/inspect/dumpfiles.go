package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// store dumps the records of a store's log.
func (d *dumper) store(path string) error {
	dir, err := Open(path, d.o.Options)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "store: "))
	}
	r := dir.reader()
	defer r.close()
	for _, p := range dir.parts() {
		if d.o.To > 0 && p.from >= d.o.To || p.to <= d.o.From {
			continue
		}
		if err := d.records(r, p, p.file.start+dir.log.size); err != nil {
			return err
		}
	}
	return nil
}

// logFile dumps a file of the log that stands alone.
func (d *dumper) logFile(path string, size int64) error {
	start, _ := parseStart(filepath.Base(path))
	f := file{path: path, start: start, size: size}
	r := (&Dir{log: chain{files: []file{f}, size: size}, end: -1}).reader()
	defer r.close()
	return d.records(r, part{f, start, start + size}, start+size)
}

// records dumps a part of the log: its records and what lies between them.
func (d *dumper) records(r *logReader, p part, fileEnd int64) error {
	var err error
	werr := r.walk(p.from, p.to, fileEnd, func(s stretch) bool {
		switch {
		case s.kind == stretchRecord && d.o.Select.matches(&s):
			err = d.record(&s)
		case s.kind == stretchRecord, d.o.filtered(), !d.selected(s.off):
		case s.kind == stretchBlank:
			err = d.put(field{"offset", s.off}, field{"blank", s.n})
		case s.kind == stretchGap, s.kind == stretchTail && s.why != nil:
			err = d.put(field{"offset", s.off}, field{"damaged", s.n}, field{"error", s.why.Error()})
		}
		return err == nil && s.kind != stretchTail
	})
	return errors.Join(err, werr)
}

// filtered reports whether records are selected by more than their place.
func (s *Select) filtered() bool { return s.Topic != "" || s.Key != "" || s.Since > 0 || s.Until > 0 }

func (d *dumper) record(s *stretch) error {
	m := &s.msg
	fields := []field{
		{"offset", s.off}, {"size", s.n}, {"topic", string(m.Topic)}, {"queue", m.QueueID}, {"queueOffset", int64(m.QueueOffset)},
		{"stored", stamp(m.StoreTime)}, {"born", stamp(m.BornTime)}, {"bornHost", m.BornHost.String()}, {"storeHost", m.StoreHost.String()},
		{"flag", m.Flag}, {"sysFlag", m.SysFlag}, {"reconsumed", m.ReconsumeTimes}, {"prepared", m.PreparedOffset},
	}
	if found, intact := record.CheckSeal(s.raw, m); found {
		fields = append(fields, field{"sealIntact", intact})
	}
	if d.o.JSON {
		fields = append(fields, field{"properties", record.ParseProperties(m.Properties)})
	} else {
		record.EachProperty(m.Properties, func(k, v []byte) bool {
			fields = append(fields, field{string(k), strconv.Quote(string(v))})
			return true
		})
	}
	fields = append(fields, field{"bodySize", len(m.Body)})
	if d.o.Body != BodyNone {
		text := d.o.bodyText(m.Body)
		if !d.o.JSON && (d.o.Body == BodyText || d.o.Body == "") {
			text = strconv.Quote(text)
		}
		fields = append(fields, field{"body", text})
	}
	return d.put(fields...)
}

// units dumps a file of entries of one size. Those that decode does not take are left out.
func (d *dumper) units(path string, size int64, decode func(b []byte) []field) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	start, _ := parseStart(filepath.Base(path))
	buf := make([]byte, 3000*size)
	for at, data := int64(0), int64(0); at+size <= info.Size(); {
		if data, _ = extent(f, at, info.Size()); data-at >= size {
			at += (data - at) / size * size
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), info.Size()-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for b := buf[:int64(n)/size*size]; len(b) > 0; b, at = b[size:], at+size {
			number := (start + at) / size
			if !d.selected(number) {
				continue
			}
			if fields := decode(b); fields != nil {
				if err := d.put(append([]field{{"number", number}}, fields...)...); err != nil {
					return err
				}
			}
		}
		if int64(n) < size {
			break
		}
	}
	return nil
}

func queueUnit(b []byte) []field {
	u, ok := layout.DecodeUnit(b)
	switch {
	case !ok:
		return nil
	case u.Filler():
		return []field{{"log", u.Log}, {"size", u.Size}, {"filler", true}}
	}
	if ext, ok := layout.ExtOffset(u.Tags); ok {
		return []field{{"log", u.Log}, {"size", u.Size}, {"extension", ext}}
	}
	return []field{{"log", u.Log}, {"size", u.Size}, {"tags", u.Tags}}
}

func batchUnit(b []byte) []field {
	u, ok := layout.DecodeBatchUnit(b)
	if !ok {
		return nil
	}
	return []field{{"log", u.Log}, {"size", u.Size}, {"tags", u.Tags}, {"stored", stamp(u.Time)}, {"queueOffset", u.Base}, {"messages", u.Count}}
}

func timerUnit(b []byte) []field {
	u, ok := layout.DecodeTimerUnit(b)
	if !ok {
		return nil
	}
	return []field{{"before", u.Before}, {"magic", u.Magic}, {"written", stamp(u.Written)}, {"due", stamp(u.Written + int64(u.Delay))},
		{"log", u.Log}, {"size", u.Size}, {"topicHash", u.Topic}}
}

func timerSlot(b []byte) []field {
	s := layout.DecodeTimerSlot(b)
	if s == (layout.TimerSlot{}) {
		return nil
	}
	return []field{{"moment", s.Moment}, {"first", s.First}, {"last", s.Last}, {"count", s.Count}, {"magic", s.Magic}}
}

// extFile dumps extensions of entries; their number is the place in the file.
func (d *dumper) extFile(path string, size int64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	start, _ := parseStart(filepath.Base(path))
	for at := 0; ; {
		u, n := layout.DecodeExtUnit(b[at:])
		if n <= 0 {
			return nil
		}
		if off := start + int64(at); d.selected(off) {
			if err := d.put(field{"offset", off}, field{"tags", u.Tags}, field{"stored", stamp(u.Time)}, field{"filter", fmt.Sprintf("%x", u.Filter)}); err != nil {
				return err
			}
		}
		at += n
	}
}

// indexFile dumps head and items.
func (d *dumper) indexFile(path string) error {
	x, err := (&Dir{o: d.o.Options}).openIndex(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	want := int32(-1)
	if d.o.Topic != "" && d.o.Key != "" {
		want = layout.KeyHash([]byte(d.o.Topic), []byte(d.o.Key))
	} else if err := d.put(field{"slots", x.slots}, field{"items", x.items}, field{"begin", mark(x.head.BeginTime())}, field{"end", mark(x.head.EndTime())},
		field{"beginOffset", x.head.BeginOffset()}, field{"endOffset", x.head.EndOffset()}, field{"slotsUsed", x.head.SlotsUsed()}, field{"next", x.count}); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var perr error
	err = x.scan(f, 1, func(n int64, i layout.IndexItem) bool {
		if d.selected(n) && (want < 0 || i.Hash == want) {
			perr = d.put(field{"number", n}, field{"hash", i.Hash}, field{"log", i.Log}, field{"stored", stamp(x.head.BeginTime() + 1000*int64(i.Seconds))}, field{"before", i.Before})
		}
		return perr == nil
	})
	return errors.Join(perr, err)
}

// stagingFile dumps the head of the ring; the records in it are part of the log, as a dump of the store shows it.
func (d *dumper) stagingFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h, ok, err := stagingHead(f)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s is no staging ring, or damaged", path)
	}
	return d.put(field{"size", h.Size}, field{"session", fmt.Sprintf("%x", h.Session[:])}, field{"boot", fmt.Sprintf("%x", h.Boot[:])},
		field{"drained", h.Drained}, field{"end", h.End})
}

// smallFile reads a file that is one entry.
func smallFile(kind string, b []byte) ([]field, error) {
	switch kind {
	case "checkpoint":
		j := layout.DecodeJavaCheckpoint(b)
		return []field{{"log", mark(j.Log)}, {"queues", mark(j.Queues)}, {"index", mark(j.Index)}, {"masterFlushed", j.MasterFlushed},
			{"confirm", j.Confirm}, {"queuesEnd", j.QueuesEnd}}, nil
	case "skua-checkpoint":
		c, ok := layout.DecodeCheckpoint(b)
		if !ok {
			return nil, errors.New("is no checkpoint of Skua, or damaged")
		}
		fields := []field{{"session", fmt.Sprintf("%x", c.Session[:])}, {"boot", fmt.Sprintf("%x", c.Boot[:])}}
		for _, p := range []struct {
			name string
			at   layout.Position
		}{{"durable", c.Durable}, {"written", c.Written}, {"synced", c.Synced}} {
			fields = append(fields, field{p.name, p.at.End}, field{p.name + "Last", p.at.Last}, field{p.name + "Time", mark(p.at.Time)})
		}
		return append(fields, field{"indexed", c.Indexed}), nil
	case "abort":
		a := layout.DecodeAbort(b)
		return []field{{"pid", a.PID}, {"session", fmt.Sprintf("%x", a.Session[:])}}, nil
	case "timercheck":
		names := []string{"lastReadTimeMs", "lastTimerLogFlushPos", "lastTimerQueueOffset", "masterTimerQueueOffset", "stateVersion", "timestamp", "counter"}
		var fields []field
		for i, name := range names {
			if len(b) >= 8*i+8 {
				fields = append(fields, field{name, int64(binary.BigEndian.Uint64(b[8*i:]))})
			}
		}
		return fields, nil
	}
	return nil, fmt.Errorf("unknown kind %q, there are %s", kind, strings.Join(Kinds, ", "))
}
