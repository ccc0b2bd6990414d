package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/node"
)

func newNamesrvCommand() *cobra.Command {
	var flags serverFlags
	cmd := &cobra.Command{
		Use:   "namesrv [-c FILE] [-p] [key=value ...]",
		Short: "Run a name server, as mqnamesrv",
		RunE:  func(cmd *cobra.Command, args []string) error { return runNamesrv(cmd, &flags, args) },
	}
	flags.add(cmd.Flags())
	return cmd
}

func runNamesrv(cmd *cobra.Command, flags *serverFlags, args []string) error {
	var o nameserver.Options
	var own []conf.Source
	if flags.file != "" {
		own = append(own, conf.One("command line", "configStorePath", absolute(flags.file)))
	}
	loaded, err := flags.options(&o, conf.Nameserver, args, own...)
	if err != nil {
		return err
	}
	if flags.file != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "load config properties file OK, %s\n", flags.file)
	}
	if done, err := flags.printed(cmd, conf.Nameserver, loaded); done {
		return err
	}
	if o.TLS, err = flags.loadTLS(); err != nil {
		return err
	}
	log := flags.logger(cmd.ErrOrStderr())
	loaded.Log(log)
	limitMemory(log)
	return started(node.Run(cmd.Context(), node.Config{
		Nameserver: &o,
		ReadyFile:  flags.ready,
		Log:        log,
		Ready: func(a node.Addresses) {
			_, port, _ := net.SplitHostPort(a.Nameserver)
			fmt.Fprintf(cmd.OutOrStdout(), "The Name Server boot success. serializeType=JSON, address %s:%s\n", o.BindAddress, port)
		},
	}))
}

// started gives an error of a server the exit code that RocketMQ's have.
func started(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitBadStart, err}
}
