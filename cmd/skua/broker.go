package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/node"
)

func newBrokerCommand() *cobra.Command {
	var flags serverFlags
	var nameServers string
	cmd := &cobra.Command{
		Use:   "broker [-c FILE] [-n HOST:PORT;...] [-p] [key=value ...]",
		Short: "Run a broker, as mqbroker",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBroker(cmd, &flags, nameServers, args)
		},
	}
	flags.add(cmd.Flags())
	cmd.Flags().StringVarP(&nameServers, "namesrvAddr", "n", "", "name `servers` host:port, separated by semicolons")
	return cmd
}

func runBroker(cmd *cobra.Command, flags *serverFlags, nameServers string, args []string) error {
	var o broker.Options
	var own []conf.Source
	if addr := os.Getenv("NAMESRV_ADDR"); addr != "" {
		own = append(own, conf.One("environment NAMESRV_ADDR", "namesrvAddr", addr))
	}
	if flags.file != "" {
		own = append(own, conf.One("command line", "brokerConfigPath", absolute(flags.file)))
	}
	if nameServers != "" {
		// Wins over the file, as all flags do.
		args = append([]string{"namesrvAddr=" + nameServers}, args...)
	}
	loaded, err := flags.options(&o, conf.Broker, args, own...)
	if err != nil {
		return err
	}
	if err := checkNameServers(o.NamesrvAddr); err != nil {
		return err
	}
	local, err := derive(&o, loaded)
	if err != nil {
		return started(err)
	}
	if done, err := flags.printed(cmd, conf.Broker, loaded); done {
		return err
	}
	if o.TLS, err = flags.loadTLS(); err != nil {
		return err
	}
	log := flags.logger(cmd.ErrOrStderr())
	loaded.Log(log)
	logOverridden(log, &o, loaded)
	logAdvertised(log, &o, loaded, local)
	limitMemory(log)
	return started(node.Run(cmd.Context(), node.Config{
		Broker:    &o,
		ReadyFile: flags.ready,
		Log:       log,
		Ready: func(a node.Addresses) {
			fmt.Fprintln(cmd.OutOrStdout(), brokerBoot(o.BrokerName, a.Broker, o.NamesrvAddr))
		},
	}))
}

// brokerBoot is the line that RocketMQ's broker prints when it has started; scripts wait for it.
func brokerBoot(name, addr, nameServers string) string {
	line := fmt.Sprintf("The broker[%s, %s] boot success. serializeType=JSON", name, addr)
	if nameServers != "" {
		line += " and name server is " + nameServers
	}
	return line
}

// checkNameServers refuses addresses that cannot be dialled.
func checkNameServers(addrs string) error {
	for addr := range strings.SplitSeq(addrs, ";") {
		if addr = strings.TrimSpace(addr); addr == "" {
			continue
		}
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			return &exitError{exitBadStart, fmt.Errorf("The Name Server Address[%s] illegal, please set it as host:port, several separated by semicolons: \"127.0.0.1:9876;192.168.0.1:9876\"", addrs)}
		}
	}
	return nil
}

// derive fills the settings whose default depends on the machine. The result says where brokerIP1 was taken from, nil
// if it was configured.
func derive(o *broker.Options, loaded *conf.Loaded) (*node.LocalAddress, error) {
	if o.BrokerName == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("the host name is unknown, set brokerName: %w", err)
		}
		loaded.Derive(o, "brokerName", name, "host name")
	}
	if o.StorePathRootDir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("the home directory is unknown, set storePathRootDir: %w", err)
		}
		loaded.Derive(o, "storePathRootDir", filepath.Join(home, "store"), "home directory")
	}
	for _, p := range o.Presets() {
		if loaded.Origin(p.Key) == "default" {
			loaded.Derive(o, p.Key, p.Value, "durability="+o.Durability)
		}
	}
	return deriveAddress(o, loaded)
}

// logOverridden tells which keys were configured although durability stands for them.
func logOverridden(log *slog.Logger, o *broker.Options, loaded *conf.Loaded) {
	for _, p := range o.Presets() {
		if v, _ := conf.Value(o, p.Key); v != p.Value {
			log.Warn("configuration: "+p.Key+"="+v+" wins over durability="+o.Durability, "at", loaded.Origin(p.Key), "durability would be", p.Value)
		}
	}
}

func deriveAddress(o *broker.Options, loaded *conf.Loaded) (*node.LocalAddress, error) {
	var local *node.LocalAddress
	if o.BrokerIP1 == "" {
		if bind := wildcard(o.BindAddress); !bind {
			loaded.Derive(o, "brokerIP1", o.BindAddress, "bindAddress")
		} else {
			found, err := node.FindLocalAddress()
			if err != nil {
				return nil, err
			}
			local = &found
			loaded.Derive(o, "brokerIP1", found.IP.String(), "interface "+found.Interface)
		}
	}
	if o.BrokerIP2 == "" {
		loaded.Derive(o, "brokerIP2", o.BrokerIP1, "brokerIP1")
	}
	return local, nil
}

// wildcard reports whether listening on the address means listening on all of the machine.
func wildcard(address string) bool {
	a, err := netip.ParseAddr(address)
	return address == "" || err == nil && a.IsUnspecified()
}

func loopback(address string) bool {
	a, err := netip.ParseAddr(address)
	return address == "localhost" || err == nil && a.IsLoopback()
}

// logAdvertised tells which address clients are told and where it came from, because a wrong one is what keeps most
// new clusters from working.
func logAdvertised(log *slog.Logger, o *broker.Options, loaded *conf.Loaded, local *node.LocalAddress) {
	const cure = "set brokerIP1 to an address that clients reach"
	from := loaded.Origin("brokerIP1")
	log.Info("advertising "+o.BrokerIP1, "from", from, "to change", cure)
	if local != nil && len(local.Doubts) > 0 {
		log.Warn("clients may not reach the advertised address", "address", o.BrokerIP1, "from", from, "because", strings.Join(local.Doubts, "; "), "cure", cure)
	}
	if loopback(o.BindAddress) && !loopback(o.BrokerIP1) {
		log.Warn("clients cannot reach the advertised address: the broker listens on this machine only", "address", o.BrokerIP1, "bindAddress", o.BindAddress, "cure", "set bindAddress=0.0.0.0, with skua server --host 0.0.0.0")
	}
}
