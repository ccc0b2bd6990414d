package inspect

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// javaStores are the stores that Java wrote; those of package store are used.
func javaStores(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("../store/testdata/java/*.tar.gz")
	if err != nil || len(paths) == 0 {
		t.Fatal("there are no stores of Java to look at", err)
	}
	var names []string
	for _, p := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(p), ".tar.gz"))
	}
	return names
}

// unpack makes a directory from a Java store.
func unpack(t testing.TB, variant string) string {
	t.Helper()
	b, err := os.ReadFile("../store/testdata/java/" + variant + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.FileInfo().IsDir() {
			continue
		}
		b, err := io.ReadAll(in)
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644), os.Chtimes(path, h.ModTime, h.ModTime))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// verify verifies a store and returns the findings; notes are logged only.
func verify(t testing.TB, dir string) ([]Finding, *Verified) {
	t.Helper()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var found []Finding
	v, err := d.Verify(context.Background(), VerifyOptions{Workers: 2, Found: func(f Finding) {
		if f.Note {
			t.Log(f)
			return
		}
		found = append(found, f)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if v.Findings != len(found) {
		t.Errorf("%d findings are counted, %d were handed on", v.Findings, len(found))
	}
	return found, v
}

func TestVerifyJavaStores(t *testing.T) {
	for _, name := range javaStores(t) {
		t.Run(name, func(t *testing.T) {
			found, v := verify(t, unpack(t, name))
			for _, f := range found {
				t.Error(f)
			}
			if v.Records == 0 || v.Units == 0 {
				t.Errorf("nothing was read: %+v", v)
			}
			t.Logf("%d records, %d units, %d items, %d deleted", v.Records, v.Units, v.Items, v.Deleted)
		})
	}
}

// Records that a recovery has cut off, and that are still there behind what was written since, are no part of the log.
func TestStaleRecords(t *testing.T) {
	dir := unpack(t, "basic")
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, before := verify(t, dir)
	stale := appendFiller(nil, before.end+1000, 500, 1)
	scribble(t, d.log.path(before.end), before.end-d.log.startOf(before.end), []byte("rest of a torn record"))
	scribble(t, d.log.path(before.end), before.end+1000-d.log.startOf(before.end), stale)
	found, after := verify(t, dir)
	if len(found) > 0 || after.Records != before.Records || after.end != before.end || after.Notes == 0 {
		t.Errorf("%v; %d records up to %d instead of %d up to %d", found, after.Records, after.end, before.Records, before.end)
	}
}
