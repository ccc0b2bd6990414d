package wire

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// Listen binds port of host; "" is all addresses of the machine, port 0 a free one. The error of a port that is taken
// names the port and the key to change, which is listenPort in all servers.
func Listen(host string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d is in use by another program: stop it or set listenPort (%w)", port, err)
	case err != nil:
		return nil, fmt.Errorf("listenPort: %w", err)
	}
	return l, nil
}
