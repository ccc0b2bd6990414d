package segment

import (
	"iter"
	"slices"
)

// Dirs are the directories of one run. They need not exist.
type Dirs struct {
	// Write get the new files, in turns: the directories that are not full, sorted by name and each counted once, and of
	// them the one at the number of the file, start/size, modulo how many there are. If all are full none counts as full.
	Write []string
	// Read hold files, but get no new ones, even if they are in Write, too.
	Read []string
	// Full reports whether a directory shall get no new files; nil: none is full. It is called when a file is made.
	Full func(dir string) bool
}

// all yields each directory once.
func (d *Dirs) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, dir := range d.Write {
			if !slices.Contains(d.Write[:i], dir) && !yield(dir) {
				return
			}
		}
		for i, dir := range d.Read {
			if !slices.Contains(d.Write, dir) && !slices.Contains(d.Read[:i], dir) && !yield(dir) {
				return
			}
		}
	}
}

// choose is the directory for a new file, the n-th of the run.
func (d *Dirs) choose(n int64) string {
	if len(d.Write) == 1 {
		return d.Write[0]
	}
	var open, usable []string
	for dir := range d.all() {
		if slices.Contains(d.Read, dir) {
			continue
		}
		open = append(open, dir)
		if d.Full == nil || !d.Full(dir) {
			usable = append(usable, dir)
		}
	}
	if len(usable) == 0 {
		usable = open
	}
	slices.Sort(usable)
	return usable[n%int64(len(usable))]
}
