// Package process runs the servers and clients of the interoperability tests as real operating-system processes. It
// hides where their output goes, how one waits for a line of it, and how they end: gently, or with SIGKILL.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is one started program. Its methods may be called from any goroutine.
type Process struct {
	name   string
	cmd    *exec.Cmd
	output string
	done   chan struct{}
	err    error // how it ended; valid once done is closed
}

// Start runs argv with the environment of this process plus env ("KEY=value"). Standard output and error are appended
// to <dir>/<name>.out; dir is created when it is missing and is the working directory. The process is killed when the
// one that started it dies (Linux).
func Start(name, dir string, env []string, argv ...string) (*Process, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &Process{name: name, output: filepath.Join(dir, name+".out"), done: make(chan struct{})}
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Output returns everything the process has written so far.
func (p *Process) Output() string {
	b, _ := os.ReadFile(p.output)
	return string(b)
}

// Tail returns the last 4 KiB of the output, for error messages.
func (p *Process) Tail() string {
	s := p.Output()
	if len(s) > 4096 {
		s = "..." + s[len(s)-4096:]
	}
	return s
}

// Wait blocks until the process ends by itself and returns how: nil for exit status 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s: %w\n%s", p.name, p.err, p.Tail())
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: still running: %w\n%s", p.name, ctx.Err(), p.Tail())
	}
}

// WaitFor blocks until the output holds text, the process ends or ctx is done.
func (p *Process) WaitFor(ctx context.Context, text string) error {
	return p.Until(ctx, fmt.Sprintf("%q in its output", text), func() bool { return strings.Contains(p.Output(), text) })
}

// Until polls ready until it says true. It fails when the process ends first or ctx is done; what names the condition in
// the error.
func (p *Process) Until(ctx context.Context, what string, ready func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready() {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			if ready() {
				return nil
			}
			return fmt.Errorf("%s ended (%v) before %s\n%s", p.name, p.err, what, p.Tail())
		case <-ctx.Done():
			return fmt.Errorf("%s: no %s: %w\n%s", p.name, what, ctx.Err(), p.Tail())
		}
	}
}

// Stop sends SIGTERM and waits. A process that is still there after limit is killed, which is an error.
func (p *Process) Stop(limit time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(limit):
		p.Kill()
		return fmt.Errorf("%s did not stop within %v of SIGTERM\n%s", p.name, limit, p.Tail())
	}
}

// Kill sends SIGKILL and waits until the process is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Run starts a program and waits for its end. It returns all it wrote; an exit status other than 0 is an error that
// holds the end of it.
func Run(ctx context.Context, env []string, dir string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = attributes()
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), errors.Join(err, ctx.Err()), out.String())
	}
	return out.String(), err
}
