package main

import (
	"math"
	"testing"
	"testing/fstest"
)

func TestMemoryLimit(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for _, tt := range []struct {
		name string
		root fstest.MapFS
		want int64
	}{
		{"no control groups", fstest.MapFS{}, math.MaxInt64},
		{"no limit", fstest.MapFS{"proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/memory.max": file("max\n")}, math.MaxInt64},
		{"version 2", fstest.MapFS{"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("2000\n"), "sys/fs/cgroup/a/memory.max": file("1000\n")}, 1000},
		{"container", fstest.MapFS{"proc/self/cgroup": file("0::/x\n"), "sys/fs/cgroup/memory.max": file("512\n")}, 512},
		{"version 1", fstest.MapFS{"proc/self/cgroup": file("3:cpu:/a\n4:memory:/a\n"), "sys/fs/cgroup/memory/a/memory.limit_in_bytes": file("700\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n")}, 700},
	} {
		if got := memoryLimit(tt.root); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}
