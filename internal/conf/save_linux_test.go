package conf_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/skuamq/skua/internal/conf"
)

// Save keeps the permissions of a file, and what else is in it; and it makes one.
func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "broker.conf")
	want := func(text string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q, %v, want %q", got, err, text)
		}
	}
	save := func(key, value string) {
		t.Helper()
		if err := conf.Save(path, []conf.Pair{{Key: key, Value: value}}); err != nil {
			t.Fatal(err)
		}
	}
	save("a", "1")
	want("a=1\n")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	save("b", "2")
	want("a=1\nb=2\n")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if all, err := os.ReadDir(filepath.Dir(path)); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if err := conf.Save("", []conf.Pair{{Key: "a"}}); err != nil {
		t.Error(err)
	}
}

// A file that is mounted, as single files are into containers, cannot be replaced: it is overwritten.
func TestSaveToMountedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(path, []byte("# mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(path, path, "", syscall.MS_BIND, ""); err != nil {
		t.Skip("needs the right to mount: ", err)
	}
	defer func() {
		if err := syscall.Unmount(path, 0); err != nil {
			t.Error(err)
		}
	}()
	if err := conf.Save(path, []conf.Pair{{Key: "a", Value: "1"}}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "# mine\na=1\n" {
		t.Errorf("%q, %v", got, err)
	}
}
