package broker

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
)

// offsetFiles are the two files that consumer offsets can be in: consumerOffset.json or, with enableLmq,
// lmqConsumerOffset.json. Java never looks at the other one, so that a change of the key loses all offsets. Here the newer one
// counts; only what the second has more than the first, the offsets of groups named %LMQ%..., always is its own.
type offsetFiles struct {
	dir   string
	light bool
}

// switchSlack is how much younger the other file must be: copies of directories do not always keep times.
const switchSlack = 10 * time.Second

func (f offsetFiles) path() string { return f.pathFor(f.light) }

func (f offsetFiles) pathFor(light bool) string {
	if light {
		return filepath.Join(f.dir, "lmqConsumerOffset.json")
	}
	return filepath.Join(f.dir, "consumerOffset.json")
}

// read returns what is saved, nil if nothing is, and whether it was in the other file and is to be written to this one.
func (f offsetFiles) read(log *slog.Logger) (saved *command.ConsumerOffsets, switched bool, err error) {
	if saved, err = jsonfile.Read[command.ConsumerOffsets](f.path(), log); err != nil {
		return nil, false, err
	}
	var light map[string]skua.QueueOffset
	if f.light && saved != nil {
		light = saved.Light
	}
	if f.otherCounts(saved != nil) {
		other, err := jsonfile.Read[command.ConsumerOffsets](f.pathFor(!f.light), log)
		if err != nil {
			return nil, false, err
		}
		if switched = other != nil; switched {
			saved = other
			log.Info("consumer offsets are taken over, as enableLmq was changed", "from", f.pathFor(!f.light), "to", f.path())
		}
	}
	if saved != nil {
		saved.Light = light
	}
	return saved, switched, nil
}

// otherCounts reports whether the other file is the newer one.
func (f offsetFiles) otherCounts(have bool) bool {
	other, err := os.Stat(f.pathFor(!f.light))
	if err != nil {
		return false
	}
	own, err := os.Stat(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return !have
	}
	return err == nil && other.ModTime().Sub(own.ModTime()) > switchSlack
}
