package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestPageIsFresh(t *testing.T) {
	const root = "../../.."
	want, err := page(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, pageFile))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not match the options structs: run make generate", pageFile)
	}
}
