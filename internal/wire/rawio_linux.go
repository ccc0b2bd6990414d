package wire

import (
	"syscall"
	"unsafe"
)

// The sockets do not block, so that the scheduler need not be told of these calls, as package syscall does: it would take
// the processor away from a call that moves many bytes, and wake a thread that finds nothing to do.

// rawRead reads without blocking; again is true if there is nothing to read.
func rawRead(fd uintptr, b []byte) (n int, again bool, err error) {
	return rawCall(syscall.SYS_READ, fd, b)
}

// rawWrite writes without blocking; again is true if there is no room.
func rawWrite(fd uintptr, b []byte) (n int, again bool, err error) {
	return rawCall(syscall.SYS_WRITE, fd, b)
}

func rawCall(call, fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		n, _, err := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch err {
		case 0:
			return int(n), false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}
