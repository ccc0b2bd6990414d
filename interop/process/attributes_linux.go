package process

import "syscall"

// attributes makes the kernel end a child whose parent died, so that an aborted test run leaves no servers behind.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
