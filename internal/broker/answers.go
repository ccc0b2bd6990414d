package broker

import (
	"sync"

	"github.com/skuamq/skua/internal/wire"
)

// answers gathers answers to sends that become durable together, so that each connection gets its own with one write.
type answers struct {
	mu    sync.Mutex
	conns map[*wire.Conn]struct{} // have answers to be sent
	spare map[*wire.Conn]struct{} // an empty one, nil while in use
}

// reply answers a call; the answer leaves with the next flush, for which the caller has to see.
func (a *answers) reply(call wire.Call, r *wire.Response) {
	call.ReplyLater(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conns == nil {
		a.conns = map[*wire.Conn]struct{}{}
	}
	a.conns[call.Conn] = struct{}{}
}

// flush sends what was gathered. It is the store's Options.Settled.
func (a *answers) flush() {
	a.mu.Lock()
	conns := a.conns
	a.conns, a.spare = a.spare, nil
	a.mu.Unlock()
	for c := range conns {
		c.Flush()
	}
	if len(conns) > maxSpareConns {
		return // a map never gets smaller
	}
	clear(conns)
	a.mu.Lock()
	a.spare = conns
	a.mu.Unlock()
}

// maxSpareConns is the number of connections above which a table of them is not kept.
const maxSpareConns = 1000
