package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// file is one file of a chain.
type file struct {
	path  string
	start int64 // the offset that it is named by
	size  int64 // bytes
	mod   time.Time
}

// chain is a run of files of one size that follow one another, as far as they do.
type chain struct {
	files []file // sorted by start; empty ones are left out
	size  int64  // of each file, bytes; 0 if there is none
}

// findChain lists the files in dirs whose names are offsets. size is what each should have; 0 means what most of them have.
func findChain(size int64, dirs ...string) (chain, error) {
	c := chain{size: size}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return c, err
		}
		for _, e := range entries {
			start, ok := parseStart(e.Name())
			if !ok || e.IsDir() {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // retention was quicker
			}
			if err != nil {
				return c, err
			}
			if info.Size() > 0 {
				c.files = append(c.files, file{filepath.Join(dir, e.Name()), start, info.Size(), info.ModTime()})
			}
		}
	}
	slices.SortFunc(c.files, func(a, b file) int { return int(min(max(a.start-b.start, -1), 1)) })
	if c.size == 0 {
		c.size = c.usualSize()
	}
	return c, nil
}

// usualSize is what most files have, and most names say, of two that are as frequent the one that came first.
func (c *chain) usualSize() int64 {
	var v vote
	for i, f := range c.files {
		v.add(f.size)
		if i > 0 {
			v.add(f.start - c.files[i-1].start)
		}
	}
	return v.winner()
}

// vote finds the most frequent of some numbers.
type vote struct {
	numbers []int64
	counts  map[int64]int
}

func (v *vote) add(n int64) {
	if v.counts == nil {
		v.counts = map[int64]int{}
	}
	if v.counts[n]++; v.counts[n] == 1 {
		v.numbers = append(v.numbers, n)
	}
}

// winner is 0 if there was no number; the first one wins if several are as frequent.
func (v *vote) winner() (best int64) {
	for _, n := range v.numbers {
		if v.counts[n] > v.counts[best] {
			best = n
		}
	}
	return best
}

// parseStart reads the name of a file of a chain: 20 digits.
func parseStart(name string) (int64, bool) {
	if len(name) != 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(name, 10, 64)
	return n, err == nil && n >= 0
}

// begin is the offset at which the first file starts.
func (c *chain) begin() int64 {
	if len(c.files) == 0 {
		return 0
	}
	return c.files[0].start
}

// end is the offset at which the last file ends.
func (c *chain) end() int64 {
	if len(c.files) == 0 {
		return 0
	}
	return c.files[len(c.files)-1].start + c.size
}

// at returns the file that holds off, or would hold it if it were not too short.
func (c *chain) at(off int64) (file, bool) {
	i, ok := slices.BinarySearchFunc(c.files, off, func(f file, off int64) int { return int(min(max(f.start-off, -1), 1)) })
	if !ok {
		i--
	}
	if i < 0 || off >= c.files[i].start+c.size {
		return file{}, false
	}
	return c.files[i], true
}

// problems lists what is wrong with sizes and names.
func (c *chain) problems() (found []Finding) {
	for i, f := range c.files {
		if f.size != c.size {
			found = append(found, Finding{Kind: "size", File: f.path, Offset: -1,
				Detail: fmt.Sprintf("has %d bytes, the files beside it have %d", f.size, c.size)})
		}
		if i == 0 {
			continue
		}
		if want := c.files[i-1].start + c.size; f.start != want {
			found = append(found, Finding{Kind: "gap", File: f.path, Offset: -1,
				Detail: fmt.Sprintf("the file in front of it ends at %d: %020d is missing", want, want)})
		}
	}
	return found
}

// pool keeps files open for reading at any place. It is for one goroutine.
type pool struct {
	open map[string]*os.File
}

const maxPooled = 256

// readAt fills b from off of a file.
func (p *pool) readAt(path string, b []byte, off int64) (int, error) {
	f := p.open[path]
	if f == nil {
		var err error
		if f, err = os.Open(path); err != nil {
			return 0, err
		}
		if len(p.open) >= maxPooled {
			p.close()
		}
		if p.open == nil {
			p.open = map[string]*os.File{}
		}
		p.open[path] = f
	}
	return f.ReadAt(b, off)
}

func (p *pool) close() {
	for _, f := range p.open {
		f.Close()
	}
	clear(p.open)
}
