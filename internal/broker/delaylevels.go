package broker

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// defaultDelayLevels is Java's value of messageDelayLevel.
const defaultDelayLevels = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"

// maxDelayLevels bounds messageDelayLevel: each level is a queue of SCHEDULE_TOPIC_XXXX.
const maxDelayLevels = 1024

// delayLevels are the delays that a message can ask for by number: level 1 is the first.
type delayLevels []time.Duration

// parseDelayLevels reads the value of messageDelayLevel: whole numbers with a unit s, m, h or d, separated by spaces. The
// error says which of them is none.
func parseDelayLevels(text string) (delayLevels, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	var levels delayLevels
	for _, word := range strings.Fields(text) {
		unit := units[word[len(word)-1]]
		n, err := strconv.ParseInt(word[:len(word)-1], 10, 32)
		if unit == 0 || err != nil || n < 0 || n > int64(100*365*24*time.Hour/unit) {
			return nil, fmt.Errorf("level %d is %q", len(levels)+1, word)
		}
		levels = append(levels, time.Duration(n)*unit)
	}
	if len(levels) == 0 || len(levels) > maxDelayLevels {
		return nil, fmt.Errorf("there are %d", len(levels))
	}
	return levels, nil
}

// clamp returns the level that a message gets when it asks for level: the highest there is, at most.
func (l delayLevels) clamp(level int) int { return min(level, len(l)) }

// due is when a message of a level that was stored at (ms) is to be delivered, in ms. Of a level that no longer exists
// it is a second later, as in Java.
func (l delayLevels) due(level int, stored int64) int64 {
	if level < 1 || level > len(l) {
		return stored + time.Second.Milliseconds()
	}
	return stored + l[level-1].Milliseconds()
}

// correct returns when to deliver a message whose stored time of delivery is due. A time further away than the level's
// delay, as after levels were changed or the clock was set back, counts as come.
func (l delayLevels) correct(level int, due, now int64) int64 {
	if due > l.due(level, now) {
		return now
	}
	return due
}

// parseLevel reads the value of a DELAY property: 0 if it is no positive number.
func parseLevel(text []byte) int {
	if len(text) == 0 || len(text) > 9 {
		return 0
	}
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}
