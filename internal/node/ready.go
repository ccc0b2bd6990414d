package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
)

// Addresses tell where the servers of a process are reached. As JSON it is the content of the ready file.
type Addresses struct {
	Nameserver string `json:"namesrv,omitempty"` // "host:port"; empty if there is none
	Broker     string `json:"broker,omitempty"`  // the advertised address, "host:port"; empty if there is none
	PID        int    `json:"pid"`
}

// writeReady writes the ready file at path, if there is to be one. Whoever sees the file sees all of it.
func writeReady(path string, a Addresses) error {
	if path == "" {
		return nil
	}
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	temporary := fmt.Sprintf("%s.%d.tmp", path, a.PID)
	if err := os.WriteFile(temporary, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("ready file: %w", errors.Join(err, os.Remove(temporary)))
	}
	return nil
}

// removeReady removes the ready file: before the start, because it may be of a process that was killed, and at the end.
func removeReady(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

// reachable is addr as others on this machine can dial it: a wildcard becomes the loopback address.
func reachable(addr string) string {
	a, err := netip.ParseAddrPort(addr)
	if err != nil || !a.Addr().IsUnspecified() {
		return addr
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(a.Port()))
}
