package main

import (
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// heapShare is the part of a memory limit, in percent, that the Go heap may fill before the collector works harder. The
// rest is for stacks, connections and the pages of files that are being written; the page cache itself gives way.
const heapShare = 70

// limitMemory makes the garbage collector respect the memory limit of the control group that the process runs in, unless
// GOMEMLIMIT sets one.
func limitMemory(log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := memoryLimit(os.DirFS("/"))
	if limit == math.MaxInt64 {
		return
	}
	heap := limit / 100 * heapShare
	debug.SetMemoryLimit(heap)
	log.Debug("memory limit of the control group", "bytes", limit, "heap", heap)
}

// memoryLimit is the least memory limit of the process's control group and those above it, in bytes; MaxInt64 if there
// is none. root is the root of the file system.
func memoryLimit(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		switch {
		case fields[1] == "": // version 2
			least = min(least, groupLimit(root, "sys/fs/cgroup", fields[2], "memory.max"))
		case strings.Contains(","+fields[1]+",", ",memory,"):
			least = min(least, groupLimit(root, "sys/fs/cgroup/memory", fields[2], "memory.limit_in_bytes"))
		}
	}
	return least
}

// groupLimit is the least value in the files called name from group up to the mount point. In a container the group's
// own path may not be there, the limit is then at the top.
func groupLimit(root fs.FS, mount, group, name string) int64 {
	least := int64(math.MaxInt64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		if data, err := fs.ReadFile(root, path.Join(mount, dir, name)); err == nil {
			// Version 1 says "none" by a number near the largest, version 2 by "max".
			if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && n > 0 && n < 1<<62 {
				least = min(least, n)
			}
		}
		if dir == "/" {
			return least
		}
	}
}
