package broker

import (
	"slices"
	"strings"
	"sync"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// maxFilters bounds the expressions that are remembered; beyond it the memory begins anew.
const maxFilters = 10_000

// filters turns the tag expressions that pulls carry into functions, and remembers them. The zero value is ready; it is
// safe for concurrent use.
type filters struct {
	mu    sync.RWMutex
	known map[string]func(tagsCode int64) bool // guarded by mu
}

// get returns what tells the messages that an expression wants by their tags codes; nil: it wants all.
func (f *filters) get(expression []byte) (func(int64) bool, error) {
	if len(expression) == 0 || string(expression) == "*" {
		return nil, nil
	}
	f.mu.RLock()
	match, ok := f.known[string(expression)]
	f.mu.RUnlock()
	if ok {
		return match, nil
	}
	match, err := parseTags(string(expression))
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) >= maxFilters {
		f.known = map[string]func(int64) bool{}
	}
	f.known[string(expression)] = match
	return match, nil
}

// parseTags reads tags separated by ||. A message passes if the hash of its tag is that of one of them; consumers look at
// the tag itself.
func parseTags(expression string) (func(int64) bool, error) {
	var codes []int32
	for _, tag := range strings.Split(expression, "||") {
		if tag = strings.TrimSpace(tag); tag != "" {
			codes = append(codes, record.HashString([]byte(tag)))
		}
	}
	if len(codes) == 0 {
		return nil, refusalf(command.StatusSubscriptionParseFailed, "parse the consumer's subscription failed: %q has no tag, want one, several joined by ||, or *", expression)
	}
	return func(code int64) bool { return slices.Contains(codes, int32(code)) }, nil
}
