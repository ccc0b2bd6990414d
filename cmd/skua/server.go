package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/node"
)

// serverSettings are the flags of skua server itself.
type serverSettings struct {
	serverFlags
	data        string
	host        string
	namesrvPort uint16
	brokerPort  uint16
}

func newServerCommand() *cobra.Command {
	var s serverSettings
	cmd := &cobra.Command{
		Use:   "server [flags] [key=value ...]",
		Short: "Run a name server and a broker in one process, without any configuration",
		Long: `Run a name server and a broker in one process, without any configuration.

Settings of the broker can be given as a file (-c broker.conf) and as key=value. Whoever can connect can read and write:
by default only programs on this machine can; --host ADDRESS listens on that address, --host 0.0.0.0 on all.`,
		RunE: func(cmd *cobra.Command, args []string) error { return runServer(cmd, &s, args) },
	}
	s.add(cmd.Flags())
	cmd.Flags().StringVar(&s.data, "data", "./skua-data", "`directory` of all files")
	cmd.Flags().StringVar(&s.host, "host", "127.0.0.1", "`address` to listen on and to tell clients")
	cmd.Flags().Uint16Var(&s.namesrvPort, "namesrv-port", 9876, "`port` of the name server; 0: a free one")
	cmd.Flags().Uint16Var(&s.brokerPort, "broker-port", 10911, "`port` of the broker, which also uses the port two below; 0: a free one")
	return cmd
}

func runServer(cmd *cobra.Command, s *serverSettings, args []string) error {
	o, loaded, err := s.broker(cmd, args)
	if err != nil {
		return err
	}
	local, err := derive(o, loaded)
	if err != nil {
		return started(err)
	}
	if done, err := s.printed(cmd, conf.Broker, loaded); done {
		return err
	}
	ns, err := s.nameserver()
	if err != nil {
		return err
	}
	if ns.TLS, err = s.loadTLS(); err != nil {
		return err
	}
	o.TLS = ns.TLS
	log := s.logger(cmd.ErrOrStderr())
	loaded.Log(log)
	logOverridden(log, o, loaded)
	logAdvertised(log, o, loaded, local)
	limitMemory(log)
	err = node.Run(cmd.Context(), node.Config{
		Nameserver: ns,
		Broker:     o,
		ReadyFile:  s.ready,
		Log:        log,
		Ready: func(a node.Addresses) {
			fmt.Fprint(cmd.OutOrStdout(), banner(a, o, loaded.Origin("brokerIP1")))
		},
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w; the flags are --namesrv-port and --broker-port, 0 picks a free port", err)
	}
	return started(err)
}

// broker are the broker's options. The directory has a file for settings that are changed over the network, unless -c
// names one.
func (s *serverSettings) broker(cmd *cobra.Command, args []string) (*broker.Options, *conf.Loaded, error) {
	changed := filepath.Join(absolute(s.data), "broker.conf")
	kept, err := optionalSource(changed)
	if err != nil {
		return nil, nil, &exitError{exitBadConfig, err}
	}
	if s.file != "" {
		changed = absolute(s.file)
	}
	usual := conf.Source{Origin: "skua server", Pairs: []conf.Pair{
		{Key: "brokerName", Value: "broker-a"},
		{Key: "brokerConfigPath", Value: changed},
	}}
	flags := conf.Source{Origin: "command line"}
	set := func(flag, key, value string) {
		to := &usual
		if cmd.Flags().Changed(flag) {
			to = &flags
		}
		to.Pairs = append(to.Pairs, conf.Pair{Key: key, Value: value})
	}
	set("data", "storePathRootDir", filepath.Join(absolute(s.data), "store"))
	set("host", "bindAddress", s.host)
	if !wildcard(s.host) {
		set("host", "brokerIP1", s.host)
	}
	set("broker-port", "listenPort", strconv.Itoa(int(s.brokerPort)))
	var pasted []string
	for _, p := range flags.Pairs { // flags win over the file, settings over flags
		pasted = append(pasted, p.Key+"="+p.Value)
	}
	o := new(broker.Options)
	loaded, err := s.options(o, conf.Broker, append(pasted, args...), usual, kept)
	return o, loaded, err
}

// nameserver are the name server's options.
func (s *serverSettings) nameserver() (*nameserver.Options, error) {
	dir := filepath.Join(absolute(s.data), "namesrv")
	changed := filepath.Join(dir, "namesrv.properties")
	kept, err := optionalSource(changed)
	if err != nil {
		return nil, &exitError{exitBadConfig, err}
	}
	o := new(nameserver.Options)
	_, err = conf.Load(o, conf.Nameserver, s.strict, conf.Source{Pairs: []conf.Pair{
		{Key: "bindAddress", Value: s.host},
		{Key: "listenPort", Value: strconv.Itoa(int(s.namesrvPort))},
		{Key: "kvConfigPath", Value: filepath.Join(dir, "kvConfig.json")},
		{Key: "configStorePath", Value: changed},
	}}, kept)
	if err != nil {
		return nil, &exitError{exitBadConfig, err}
	}
	return o, nil
}
