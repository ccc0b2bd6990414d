package compact

import (
	"path/filepath"
	"strings"
)

// suffix that Java gives to files which it is about to remove.
const deletedSuffix = ".delete"

// settleJava finishes or undoes what a Java broker was doing when it was killed. It renames all old files of records, then
// moves the new ones to their places, then removes the old ones, then does the same with those of entries.
func (l *Log) settleJava() error {
	logDir, unitDir := string(l.logDir()), string(l.unitDir())
	old, err := names(logDir, deletedSuffix)
	if err != nil {
		return err
	}
	fresh, err := names(string(compacting(l.logDir())), "")
	if err != nil {
		return err
	}
	if len(old) > 0 && len(fresh) > 0 { // not all were moved, so all old ones are there
		for _, name := range old {
			if err := l.o.rename(filepath.Join(logDir, name), filepath.Join(logDir, strings.TrimSuffix(name, deletedSuffix))); err != nil {
				return err
			}
		}
		return l.o.Faults.SyncDir(logDir)
	}
	oldUnits, err := names(unitDir, deletedSuffix)
	if err != nil {
		return err
	}
	freshUnits, err := names(string(compacting(l.unitDir())), "")
	if err != nil {
		return err
	}
	if len(old) == 0 && len(oldUnits) == 0 && (len(fresh) > 0 || len(freshUnits) == 0) {
		return nil
	}
	// Whichever entries are there, they are made again from the records, but for the last part, which stayed as it was.
	units, err := names(unitDir, "")
	if err != nil {
		return err
	}
	units = units[:max(len(units)-1, 0)]
	for _, name := range old {
		if err := l.o.Faults.Remove(filepath.Join(logDir, name)); err != nil {
			return err
		}
	}
	for _, name := range append(oldUnits, units...) {
		if err := l.o.Faults.Remove(filepath.Join(unitDir, name)); err != nil {
			return err
		}
	}
	return nil
}
