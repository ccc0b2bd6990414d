package broker

import (
	"fmt"
	"strings"
	"sync"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// settings is what changing options over the network needs besides the options.
type settings struct {
	mu      sync.Mutex          // held while options are changed
	version command.DataVersion // of the options; guarded by mu
}

// readSettings serves GET_BROKER_CONFIG: all keys with their values, those of Java that have no effect here too.
func (b *Broker) readSettings(f *wire.Frame) {
	b.settings.mu.Lock()
	version, err := fastjson.Marshal(b.settings.version)
	b.settings.mu.Unlock()
	if err != nil {
		refuse(f, command.StatusSystemError, "%v", err)
		return
	}
	o := *b.options.Load()
	succeed(f, &command.BrokerConfigResponse{Version: string(version)}, []byte(conf.Properties(&o, conf.Broker)))
}

// writeSettings serves UPDATE_BROKER_CONFIG. Only what is safe to change while the broker runs, and by somebody who can
// reach its port, is changed; either all of a request's settings take effect or none.
func (b *Broker) writeSettings(f *wire.Frame) {
	source, err := conf.Parse("request", f.Body)
	if err != nil {
		refuse(f, command.StatusSystemError, "%v", err)
		return
	}
	b.settings.mu.Lock()
	defer b.settings.mu.Unlock()
	before := b.options.Load()
	next := *before
	for _, p := range source.Pairs {
		if status, err := change(&next, p.Key, p.Value); err != nil {
			refuse(f, status, "%v", err)
			return
		}
	}
	if err := next.Check(); err != nil {
		refuse(f, command.StatusInvalidParameter, "%v", err)
		return
	}
	if err := b.store.SetRetention(next.retention()); err != nil {
		refuse(f, command.StatusInvalidParameter, "%v", err)
		return
	}
	b.store.SetMaxLight(next.maxLight())
	b.options.Store(&next)
	if b.wheel != nil && next.TimerOptions != before.TimerOptions {
		b.wheel.arrived()
	}
	if next.KeepOptions != before.KeepOptions { // somebody who makes room is not to wait for the next look
		b.store.Retain()
		b.store.CheckDisk()
	}
	if next.BrokerPermission != before.BrokerPermission { // topics are registered with what it leaves of their own
		if err := b.topics.renew(); err != nil {
			b.log.Warn("name servers do not learn of a changed brokerPermission before a topic is changed, or the broker is started again", "error", err)
		}
		b.registerSoon()
	}
	b.settings.version = b.settings.version.Next(b.now().UnixMilli())
	var keys []string
	for _, p := range source.Pairs {
		keys = append(keys, p.Key+"="+conf.Mask(p.Key, p.Value))
	}
	b.log.Info("settings were changed over the network", "by", f.Conn().RemoteAddr(), "settings", strings.Join(keys, " "), "file", next.BrokerConfigPath)
	var answer wire.Response
	if err := conf.Save(next.BrokerConfigPath, source.Pairs); err != nil {
		answer.Remark = err.Error()
		b.log.Warn("changed settings cannot be saved", "error", err)
	}
	f.Call().Reply(&answer)
}

// change sets one option if that is allowed while the broker runs. The status says why if it is not.
func change(o *Options, key, value string) (command.Status, error) {
	const refused = "Can not update config in black list."
	where := o.BrokerConfigPath
	if where == "" {
		where = "the broker's configuration file (skua broker -c FILE) or command line"
	}
	switch live, known := conf.Live(o, key); {
	case !known:
		return command.StatusNoPermission, fmt.Errorf("%s %s has no effect in this broker", refused, key)
	case !live:
		return command.StatusNoPermission, fmt.Errorf("%s %s is read when the broker starts: set it in %s and restart the broker", refused, key, where)
	}
	if err := conf.Set(o, key, value); err != nil {
		return command.StatusInvalidParameter, err
	}
	return command.StatusSuccess, nil
}
