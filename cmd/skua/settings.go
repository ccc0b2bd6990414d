package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/wire"
)

// serverFlags are the flags that all servers have.
type serverFlags struct {
	file      string
	print     bool
	important bool
	strict    bool
	level     slog.Level
	ready     string
	tls       string
}

func (f *serverFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.file, "config", "c", "", "configuration `file`, as RocketMQ's")
	flags.BoolVarP(&f.print, "print", "p", false, "print every setting with its value and origin, and end")
	flags.BoolVarP(&f.important, "important", "m", false, "print the settings that have an effect, and end")
	flags.BoolVar(&f.strict, "strict-config", false, "do not start with unknown or duplicate keys")
	flags.TextVar(&f.level, "log-level", slog.LevelInfo, "least `level` of log lines: debug, info, warn or error")
	flags.StringVar(&f.ready, "ready-file", "", "`file` to write addresses and pid to, as JSON, when requests are accepted")
	flags.StringVar(&f.tls, "tls-config", "", "tls.properties `file`; without it the port takes plain and TLS, with a certificate made at start")
}

// logger writes log lines to w.
func (f *serverFlags) logger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: f.level}))
}

// systemTLS is where RocketMQ looks for tls.properties if it is not told a file.
const systemTLS = "/etc/rocketmq/tls.properties"

// loadTLS reads the TLS side of the ports.
func (f *serverFlags) loadTLS() (*wire.TLS, error) {
	path := f.tls
	if _, err := os.Stat(systemTLS); path == "" && err == nil {
		path = systemTLS
	}
	t, err := wire.LoadTLS(path)
	if err != nil {
		return nil, &exitError{exitBadConfig, err}
	}
	return t, nil
}

// options fills dst from the sources, the file of -c and the settings in args, later ones winning.
func (f *serverFlags) options(dst any, role conf.Role, args []string, sources ...conf.Source) (*conf.Loaded, error) {
	loaded, err := f.load(dst, role, args, sources)
	if err != nil {
		return nil, &exitError{exitBadConfig, err}
	}
	return loaded, nil
}

func (f *serverFlags) load(dst any, role conf.Role, args []string, sources []conf.Source) (*conf.Loaded, error) {
	if f.file != "" {
		src, err := fileSource(f.file)
		if err != nil {
			return nil, err
		}
		sources = append(sources, src)
	}
	src, err := conf.Args(args)
	if err != nil {
		return nil, err
	}
	return conf.Load(dst, role, f.strict, append(sources, src)...)
}

func fileSource(path string) (conf.Source, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return conf.Source{}, fmt.Errorf("configuration: %w", err)
	}
	return conf.Parse(path, data)
}

// optionalSource is fileSource for a file that need not be there.
func optionalSource(path string) (conf.Source, error) {
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return conf.Source{}, nil
	}
	return fileSource(path)
}

// printed prints the settings if that is what the flags ask for, and reports whether it did.
func (f *serverFlags) printed(cmd *cobra.Command, role conf.Role, loaded *conf.Loaded) (bool, error) {
	if !f.print && !f.important {
		return false, nil
	}
	loaded.Warn(f.logger(cmd.ErrOrStderr()))
	return true, loaded.Print(cmd.OutOrStdout(), role, f.print)
}

// absolute is path from the root of the file system, for files that are rewritten and directories that are shown.
func absolute(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}
