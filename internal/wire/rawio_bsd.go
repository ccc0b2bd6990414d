//go:build unix && !linux

package wire

import "syscall"

// rawRead reads without blocking; again is true if there is nothing to read.
func rawRead(fd uintptr, b []byte) (n int, again bool, err error) {
	return retry(fd, b, syscall.Read)
}

// rawWrite writes without blocking; again is true if there is no room.
func rawWrite(fd uintptr, b []byte) (n int, again bool, err error) {
	return retry(fd, b, syscall.Write)
}

func retry(fd uintptr, b []byte, call func(int, []byte) (int, error)) (int, bool, error) {
	for {
		n, err := call(int(fd), b)
		switch err {
		case nil:
			return n, false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, err
		}
	}
}
