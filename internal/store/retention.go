package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Retention says how long messages are kept, and how full the disk may get. Zero values are Java's defaults. Files of
// the log go as a whole, oldest first, never the last one.
type Retention struct {
	ReservedTime time.Duration // fileReservedTime: files not written to for so long are expired; 72 h
	DeleteWhen   string        // hours of the day at which expired files go, separated by semicolons; "04"
	MaxUsedRatio int           // diskMaxUsedSpaceRatio, percent: above it expired files go at any hour; 75
	ForceRatio   float64       // diskSpaceCleanForciblyRatio: above it files go before they expire; 0.85
	WarnRatio    float64       // diskSpaceWarningLevelRatio: above it messages are refused; 0.90
	NoForce      bool          // cleanFileForciblyEnable=false: no file goes before it expires
	MaxDrops     int           // deleteFileBatchMax: files that go in one run, every ten seconds; 10
	DropPause    time.Duration // deleteCommitLogFilesInterval: between two files of a run; none
	MinFree      int64         // minFreeDiskSpace, bytes: with less free space messages are refused; 0: only ratios count
	CleanFree    int64         // cleanFreeDiskSpace, bytes: with less, files go before they expire; 0: half as much again as MinFree
	MaxSize      int64         // maxStoreSize, bytes: the oldest files go while the log's take more; 0: no limit
}

func (r Retention) withDefaults() (Retention, error) {
	setDefault(&r.ReservedTime, 72*time.Hour)
	setDefault(&r.MaxUsedRatio, 75)
	setDefault(&r.ForceRatio, 0.85)
	setDefault(&r.WarnRatio, 0.90)
	setDefault(&r.DeleteWhen, "04")
	setDefault(&r.MaxDrops, 10)
	setDefault(&r.CleanFree, r.MinFree+r.MinFree/2)
	_, err := parseHours(r.DeleteWhen)
	return r, err
}

// Check returns an error if DeleteWhen is no list of hours.
func (r Retention) Check() error {
	_, err := r.withDefaults()
	return err
}

// parseHours reads deleteWhen: hours of the day separated by semicolons.
func parseHours(s string) ([]int, error) {
	var hours []int
	for _, f := range strings.Split(s, ";") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		h, err := strconv.Atoi(f)
		if err != nil || h < 0 || h > 23 {
			return nil, fmt.Errorf("store: deleteWhen %q: %q is no hour from 00 to 23", s, f)
		}
		hours = append(hours, h)
	}
	return hours, nil
}
