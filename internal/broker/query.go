package broker

import (
	"strings"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// queryMessage serves QUERY_MESSAGE: messages of a topic by key, by the client's message id, or by tag, from the index.
func (b *Broker) queryMessage(f *wire.Frame) {
	var h command.QueryMessageHeader
	if !decode(f, &h) {
		return
	}
	o := b.options.Load()
	find := b.store.Query
	switch {
	case h.UniqueQuery:
		h.Max = o.DefaultQueryMaxNum
	case h.IndexType == command.IndexTag:
		find = b.store.QueryTag
	}
	limit := int(min(h.Max, o.MaxMsgsNumBatch))
	out, err := find(h.Topic, h.Key, limit, h.Begin, h.End)
	if err != nil {
		refuse(f, command.StatusSystemError, "the index cannot be read: %v", err)
		return
	}
	if len(out.Records) == 0 {
		f.Call().Reply(&wire.Response{Status: command.StatusQueryNotFound, Header: &command.QueryMessageResponse{},
			Remark: "can not find message, maybe time range not correct"})
		return
	}
	header := &command.QueryMessageResponse{IndexTime: out.LastTime, IndexOffset: out.LastOffset}
	f.Call().Reply(&wire.Response{Header: header, Parts: out.Records})
}

// viewMessage serves VIEW_MESSAGE_BY_ID: the message at an offset of the commit log.
func (b *Broker) viewMessage(f *wire.Frame) {
	var h command.ViewMessageHeader
	if !decode(f, &h) {
		return
	}
	raw, err := b.store.Record(h.Offset)
	if err != nil {
		refuse(f, command.StatusSystemError, "can not find message by the offset, %d: %v", h.Offset, err)
		return
	}
	f.Call().Reply(&wire.Response{Body: raw})
}

// splitList splits a list that a header carries as one text, leaving out what is blank.
func splitList(text, separator string) []string {
	var list []string
	for part := range strings.SplitSeq(text, separator) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}
