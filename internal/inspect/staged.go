package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skuamq/skua/internal/layout"
)

// Tries to copy the ring of a running broker, which may come round meanwhile.
const stagedTries = 20

// readStaged copies from the ring what the log files do not have yet. A ring of another session, or of a time before the
// machine was booted, counts for nothing: the start of a broker knows better what to take from it.
func (d *Dir) readStaged() error {
	if d.abort == nil || d.abort.Session == (layout.Session{}) {
		return nil
	}
	path := filepath.Join(d.Path, layout.OwnDir, layout.StagingFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	for range stagedTries {
		h, ok, err := stagingHead(f)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if !ok && h.Session == d.abort.Session && h.End > h.Drained {
			d.ringCut = true
		}
		if !ok || h.Session != d.abort.Session || h.Boot != bootID() {
			return nil
		}
		if h.Drained < 0 || h.End < h.Drained || h.End-h.Drained > h.Size {
			return nil // verify says so
		}
		b := make([]byte, h.End-h.Drained)
		if err := readRing(f, h, b, h.Drained); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		now, ok, err := stagingHead(f)
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		// Appenders claim places before the end says so: only what is drained meanwhile can have been overwritten.
		if ok && (now.Drained == h.Drained || !d.Running) {
			d.staged, d.stagedAt, d.end = b, h.Drained, h.End
			return nil
		}
		if ok && now.Drained >= h.End {
			d.end = h.End // all of it is in the files by now
			return nil
		}
	}
	return nil
}

func stagingHead(f *os.File) (layout.StagingHead, bool, error) {
	info, err := f.Stat()
	if err != nil {
		return layout.StagingHead{}, false, err
	}
	var b [256]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return layout.StagingHead{}, false, nil
	}
	h, ok := layout.DecodeStagingHead(b[:], info.Size())
	return h, ok, nil
}

// readRing fills b with the bytes of the log at off.
func readRing(f *os.File, h layout.StagingHead, b []byte, off int64) error {
	for len(b) > 0 {
		at := off % h.Size
		n := min(int64(len(b)), h.Size-at)
		if _, err := f.ReadAt(b[:n], layout.StagingHeadSize+at); err != nil {
			return err
		}
		b, off = b[n:], off+n
	}
	return nil
}

// bootID identifies the time since the machine was booted; zero if the system does not tell.
func bootID() (id layout.Session) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	return layout.DecodeAbort([]byte("\n" + strings.ReplaceAll(string(b), "-", ""))).Session
}
