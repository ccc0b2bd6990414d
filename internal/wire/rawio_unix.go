//go:build unix

package wire

import (
	"net"
	"syscall"
)

// rawOf returns the means to read and write nc without blocking, nil if there is none.
func rawOf(nc net.Conn) syscall.RawConn {
	if tcp, ok := nc.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
