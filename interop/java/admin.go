package java

import (
	"bufio"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

//go:embed Admin.java
var adminSource []byte

// Admin is one JVM that runs mqadmin commands one after the other. Methods may be called from any goroutine.
type Admin struct {
	cmd *exec.Cmd

	mu      sync.Mutex // one command at a time; guards the following
	in      io.WriteCloser
	answers *bufio.Reader
}

// StartAdmin starts the JVM; dir holds its files.
func StartAdmin(dir string) (*Admin, error) {
	source := filepath.Join(dir, "Admin.java")
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(source, adminSource, 0o644))
	if err != nil {
		return nil, err
	}
	argv, err := JVM{Heap: "192m", Home: dir}.Command(source)
	if err != nil {
		return nil, err
	}
	a := &Admin{cmd: exec.Command(argv[0], argv[1:]...)}
	a.cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+dir)
	a.cmd.Stderr = os.Stderr
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.answers = bufio.NewReader(out)
	return a, a.cmd.Start()
}

// Run runs one mqadmin command and returns what it printed. mqadmin reports failures only in that text.
func (a *Admin) Run(args ...string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := fmt.Fprintln(a.in, strings.Join(args, "\t")); err != nil {
		return "", fmt.Errorf("mqadmin %s: the JVM is gone: %w", args[0], err)
	}
	line, err := a.answers.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("mqadmin %s: the JVM ended: %w", args[0], err)
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
	return string(text), err
}

// Close ends the JVM.
func (a *Admin) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.in.Close(), a.cmd.Wait())
}
