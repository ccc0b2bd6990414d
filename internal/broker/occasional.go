package broker

import (
	"log/slog"
	"sync"
)

// occasional logs what may happen often and is worth a line now and then. It is safe for concurrent use.
type occasional struct {
	log *slog.Logger

	mu   sync.Mutex
	next int64 // ms: not before
	more int64 // were left out since the last line
}

// occasionally is the time between two lines, ms.
const occasionally = 10_000

// tell logs a warning, or counts it for the next one.
func (o *occasional) tell(now int64, text string, args ...any) {
	o.mu.Lock()
	if now < o.next {
		o.more++
		o.mu.Unlock()
		return
	}
	more := o.more
	o.next, o.more = now+occasionally, 0
	o.mu.Unlock()
	if more > 0 {
		args = append(args, "more of them since the last line", more)
	}
	o.log.Warn(text, args...)
}
