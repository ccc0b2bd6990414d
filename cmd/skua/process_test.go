package main

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is skua with args as a process of its own, killed with the test.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, log *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log = new(bytes.Buffer)
	cmd = exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = log
	return cmd, log
}

func TestSignalStopsCleanly(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd, log := program(t, append([]string{"server", "--data", t.TempDir(), "--namesrv-port", "0", "--broker-port", "0"}, small...)...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.Contains(lines.Text(), "consume") {
				break
			}
		}
		begin := time.Now()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || time.Since(begin) > 10*time.Second {
			t.Errorf("%v: ended with %v after %v\n%s", sig, err, time.Since(begin), log)
		}
		if !strings.Contains(log.String(), "broker unregistered") {
			t.Errorf("%v: the broker did not leave the name server\n%s", sig, log)
		}
	}
}

func TestExitCodes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"namesrv", "bindAddress=127.0.0.1", "listenPort=" + port, "kvConfigPath=" + t.TempDir() + "/kv.json"}, exitBadStart, "port " + port + " is in use"},
		{[]string{"broker", "listenPort=x"}, exitBadConfig, "skua: command line: listenPort=x: want a whole number"},
		{[]string{"nothing"}, 1, `unknown command "nothing"`},
	} {
		cmd, log := program(t, tt.args...)
		err := cmd.Run()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != tt.code || !strings.Contains(log.String(), tt.want) {
			t.Errorf("%v: %v, want code %d and %q in\n%s", tt.args, err, tt.code, tt.want, log)
		}
	}
}
