package nameserver

import (
	"fmt"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/wire"
)

// config answers with all options as properties text.
func (s *Server) config(*wire.Frame) *wire.Response {
	return &wire.Response{Body: []byte(conf.Properties(s.options.Load(), conf.Nameserver))}
}

// updateConfig changes options, all that the request names or none. Only those that are safe to change while the server
// runs can be: the address and the paths of a server are not for anybody on the network to choose.
func (s *Server) updateConfig(f *wire.Frame) *wire.Response {
	changes, err := conf.Parse("request", f.Body)
	if err != nil {
		return failed(fmt.Errorf("string2Properties error: %w", err))
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	o := *s.options.Load()
	for _, p := range changes.Pairs {
		if o.blackListed(p.Key) {
			return refused("Can not update config in black list. %s is on it, see configBlackList", p.Key)
		}
		live, known := conf.Live(&o, p.Key)
		switch {
		case !known:
			return refused("%s is no option of this name server", p.Key)
		case !live:
			return refused("%s cannot be changed while the server runs: set it in the configuration file or on the command line and start again", p.Key)
		}
		if err := conf.Set(&o, p.Key, p.Value); err != nil {
			return failed(err)
		}
	}
	s.mu.Lock()
	s.table.Rules = o.rules()
	s.mu.Unlock()
	s.options.Store(&o) // last: it makes cached routes stale
	for _, p := range changes.Pairs {
		s.log.Info("option changed by request", "key", p.Key, "value", conf.Mask(p.Key, p.Value), "by", f.Conn().RemoteAddr())
	}
	if err := conf.Save(o.ConfigStorePath, changes.Pairs); err != nil {
		s.log.Warn("changed options cannot be saved", "error", err)
		return &wire.Response{Remark: err.Error()}
	}
	return new(wire.Response)
}

func refused(format string, args ...any) *wire.Response {
	return &wire.Response{Status: command.StatusNoPermission, Remark: fmt.Sprintf(format, args...)}
}
