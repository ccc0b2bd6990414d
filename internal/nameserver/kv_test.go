package nameserver

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "kvConfig.json")
	log := slog.New(slog.DiscardHandler)
	open := func() *kv {
		t.Helper()
		k, err := openKV(path, log)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open()
	if err := k.put("n", "a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := k.put("n", "b", "ü\n"); err != nil {
		t.Fatal(err)
	}
	if err := k.remove("n", "a"); err != nil {
		t.Fatal(err)
	}
	if err := k.remove("n", "never"); err != nil {
		t.Fatal(err)
	}
	if v, ok := open().get("n", "b"); !ok || v != "ü\n" {
		t.Errorf("after opening again: %q, %v", v, ok)
	}
	if _, ok := open().get("n", "a"); ok {
		t.Error("a deleted value is back")
	}
	data, err := os.ReadFile(path)
	if want := "{\n\t\"configTable\":{\n\t\t\"n\":{\n\t\t\t\"b\":\"ü\\n\"\n\t\t}\n\t}\n}"; err != nil || string(data) != want {
		t.Errorf("file %q, %v", data, err)
	}
	if err := k.put("n", "big", strings.Repeat("x", maxKVEntry)); err == nil {
		t.Error("a value beyond the limit is taken")
	}
}

func TestKVDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kvConfig.json")
	logs := new(logged)
	log := slog.New(slog.NewTextHandler(logs, nil))
	k, err := openKV(path, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"1", "2"} {
		if err := k.put("n", "a", v); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte(`{"configTable":{"n`), 0o644); err != nil {
		t.Fatal(err)
	}
	k, err = openKV(path, log)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := k.get("n", "a"); v != "1" {
		t.Errorf("the value before the last is %q", v)
	}
	if !strings.Contains(logs.String(), "its previous version is used instead") {
		t.Errorf("log %s", logs)
	}
	if err := os.WriteFile(path+".bak", []byte(`{"configTable":{"n":null}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openKV(path, log); err == nil || !strings.Contains(err.Error(), "repair the file, or move it and its .bak away") {
		t.Errorf("error %v", err)
	}
}

func TestKVReadsJavasFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kvConfig.json")
	if err := os.WriteFile(path, []byte("{\n\t\"configTable\":{\n\t\t\"ORDER_TOPIC_CONFIG\":{\"T\":\"broker-a:4\"\n\t\t}\n\t}\n}"), 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := openKV(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := k.get("ORDER_TOPIC_CONFIG", "T"); v != "broker-a:4" {
		t.Errorf("value %q", v)
	}
}
