//go:build !unix

package wire

import (
	"net"
	"syscall"
)

// rawOf returns nil: here all reads and writes block.
func rawOf(net.Conn) syscall.RawConn { return nil }

func rawRead(uintptr, []byte) (int, bool, error)  { panic("wire: no raw connections here") }
func rawWrite(uintptr, []byte) (int, bool, error) { panic("wire: no raw connections here") }
