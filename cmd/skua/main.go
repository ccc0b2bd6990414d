// Command skua is the message server Skua: name server, broker, the tools to try them and those for store directories, in one program. The commands
// are thin; they hide how flags, files and the environment become options.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes of the servers that scripts written for RocketMQ know; everything else that fails exits with 1.
const (
	exitBadConfig = 255
	exitBadStart  = 253
)

// exitError is an error with the exit code it ends the program with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }

func (e *exitError) Unwrap() error { return e.err }

func main() { os.Exit(run()) }

func run() int {
	// The first signal ends the context; then signals do again what they do by default, so that a second one ends the
	// program at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := newRootCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "skua:", err)
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return 1
}

// version is what the Go tools know of the source that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "skua",
		Short: "A message server that speaks RocketMQ's protocols and opens its files",
		Long: `Skua is a message server: it speaks the protocols of Apache RocketMQ and opens its files.

Begin with "skua server": a name server and a broker in one process, without any configuration.`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newServerCommand(), newNamesrvCommand(), newBrokerCommand())
	root.AddCommand(newProduceCommand(), newConsumeCommand(), newBenchCommand(), newStoreCommand())
	return root
}
