package java

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed Filters.java
var filtersSource []byte

//go:embed SqlConsumer.java
var sqlConsumerSource []byte

// write puts the source of a program into dir and returns the command line that runs it.
func write(dir, name string, source []byte, args ...string) ([]string, error) {
	path := filepath.Join(dir, name)
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(path, source, 0o644))
	if err != nil {
		return nil, err
	}
	return JVM{Heap: "192m", Home: dir}.Command(path, args...)
}

// SQLConsumer is the command line of a push consumer that reads a topic from its first message and prints "got " and the body of
// each that meets a condition. dir holds its files.
func SQLConsumer(dir, names, topic, group, condition string) ([]string, error) {
	return write(dir, "SqlConsumer.java", sqlConsumerSource, names, topic, group, condition)
}

// Filters returns what SQL92 conditions come to. Each case is a condition and a property string, separated by a tab, with
// escapes as Filters.java tells. dir holds the files of the JVM.
func Filters(dir string, cases []string) ([]string, error) {
	argv, err := write(dir, "Filters.java", filtersSource)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(strings.Join(cases, "\n") + "\n")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("Filters.java: %w\n%s", err, &complaints)
	}
	results := strings.Fields(string(out))
	if len(results) != len(cases) {
		return nil, fmt.Errorf("Filters.java: %d results of %d cases\n%s", len(results), len(cases), &complaints)
	}
	return results, nil
}
