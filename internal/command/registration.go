package command

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zlib"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/fastjson"
)

// maxRegistration is how large a registration may be when it is inflated: room for a million topics.
const maxRegistration = 64 << 20

// maxRegistrationTopics bounds what is allocated on the word of a peer.
const maxRegistrationTopics = 4 << 20

// CRC32 is the checksum of RocketMQ: CRC-32 (IEEE) without its highest bit.
func CRC32(b []byte) int32 { return int32(crc32.ChecksumIEEE(b) & 0x7FFFFFFF) }

// EncodeRegistration writes the body of REGISTER_BROKER. The compressed form is smaller, but it does not carry the order
// and system flags of topics, nor the histories of static topics; its layout is DecodeRegistration's.
func EncodeRegistration(body *RegisterBrokerBody, compressed bool) ([]byte, error) {
	if !compressed {
		return fastjson.Marshal(body)
	}
	var e registrationEncoder
	e.json(body.Topics.DataVersion)
	e.int(len(body.Topics.Topics))
	for _, name := range sortedKeys(body.Topics.Topics) {
		e.topic(body.Topics.Topics[name])
	}
	e.json(slices.Concat([]string{}, body.FilterServers))
	e.int(len(body.Topics.MappingInfos))
	for _, name := range sortedKeys(body.Topics.MappingInfos) {
		e.json(body.Topics.MappingInfos[name])
	}
	if e.err != nil {
		return nil, e.err
	}
	var out bytes.Buffer
	z, err := zlib.NewWriterLevel(&out, zlib.BestCompression)
	if err != nil {
		return nil, err
	}
	z.Write(e.out) // a bytes.Buffer takes everything
	z.Close()
	return out.Bytes(), nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

type registrationEncoder struct {
	out []byte
	err error
}

func (e *registrationEncoder) int(n int) {
	e.out = binary.BigEndian.AppendUint32(e.out, uint32(n))
}

func (e *registrationEncoder) bytes(b []byte) {
	e.int(len(b))
	e.out = append(e.out, b...)
}

func (e *registrationEncoder) json(v any) {
	b, err := fastjson.Marshal(v)
	e.err = errors.Join(e.err, err)
	e.bytes(b)
}

func (e *registrationEncoder) topic(c TopicConfig) {
	attributes, err := fastjson.Marshal(c.Attributes)
	e.err = errors.Join(e.err, err)
	e.bytes(fmt.Appendf(nil, "%s %d %d %d %s %s", c.Name, c.ReadQueues, c.WriteQueues, c.Perm, c.FilterType, attributes))
}

// DecodeRegistration reads the body of REGISTER_BROKER. version is the sender's. An empty body is an empty table of
// version zero. Whether the body is compressed is taken from the body itself, since some Java releases compress it
// without saying so. The compressed form, inflated:
//
//	i32 length, DataVersion in JSON
//	i32 number of topics; each: i32 length, "name readQueues writeQueues perm filterType attributes", the last in JSON
//	i32 length, filter servers in JSON
//	i32 number of mappings; each: i32 length, TopicMapping in JSON     (from 5.0.0 on)
func DecodeRegistration(data []byte, version int32) (*RegisterBrokerBody, error) {
	body := new(RegisterBrokerBody)
	if len(data) == 0 {
		return body, nil
	}
	if data[0] != zlibMagic {
		return body, fastjson.Unmarshal(data, body)
	}
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("compressed registration: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, maxRegistration+1))
	if err != nil {
		return nil, fmt.Errorf("compressed registration: %w", err)
	}
	if len(plain) > maxRegistration {
		return nil, fmt.Errorf("compressed registration: more than %d bytes when inflated", maxRegistration)
	}
	d := registrationDecoder{in: plain}
	d.body(body, version)
	if d.err != nil {
		return nil, fmt.Errorf("compressed registration: %w", d.err)
	}
	return body, nil
}

// zlibMagic begins each zlib stream that Java writes. No JSON begins so.
const zlibMagic = 0x78

type registrationDecoder struct {
	in  []byte
	err error
}

func (d *registrationDecoder) body(body *RegisterBrokerBody, version int32) {
	d.json(&body.Topics.DataVersion)
	topics := d.count()
	body.Topics.Topics = make(map[string]TopicConfig)
	for ; topics > 0 && d.err == nil; topics-- {
		if c := d.topic(); d.err == nil {
			body.Topics.Topics[c.Name] = c
		}
	}
	d.json(&body.FilterServers)
	if version < V5_0_0 || len(d.in) == 0 {
		return
	}
	mappings := d.count()
	body.Topics.MappingInfos = make(map[string]TopicMapping)
	for ; mappings > 0 && d.err == nil; mappings-- {
		var m TopicMapping
		d.json(&m)
		body.Topics.MappingInfos[m.Topic] = m
	}
}

func (d *registrationDecoder) int() int {
	if len(d.in) < 4 {
		d.err = firstError(d.err, io.ErrUnexpectedEOF)
		d.in = nil
		return 0
	}
	n := int32(binary.BigEndian.Uint32(d.in))
	d.in = d.in[4:]
	return int(n)
}

func (d *registrationDecoder) count() int {
	n := d.int()
	if n < 0 || n > maxRegistrationTopics {
		d.err = firstError(d.err, fmt.Errorf("a count of %d", n))
		return 0
	}
	return n
}

func (d *registrationDecoder) bytes() []byte {
	n := d.int()
	if n < 0 || n > len(d.in) {
		d.err = firstError(d.err, io.ErrUnexpectedEOF)
		return nil
	}
	b := d.in[:n]
	d.in = d.in[n:]
	return b
}

func (d *registrationDecoder) json(v any) {
	if b := d.bytes(); d.err == nil && len(b) > 0 {
		d.err = fastjson.Unmarshal(b, v)
	}
}

func (d *registrationDecoder) topic() TopicConfig {
	text := string(d.bytes())
	c, err := parseTopic(text)
	d.err = firstError(d.err, err)
	return c
}

// parseTopic reads the text of one topic. Senders before 5.0 leave out the attributes.
func parseTopic(text string) (TopicConfig, error) {
	tokens := strings.SplitN(text, " ", 6)
	if len(tokens) < 5 {
		return TopicConfig{}, fmt.Errorf("topic %q has fewer than 5 fields", text)
	}
	c := DefaultTopicConfig(tokens[0])
	var numbers [3]int32
	for i := range numbers {
		n, err := strconv.ParseInt(tokens[i+1], 10, 32)
		if err != nil {
			return c, fmt.Errorf("topic %q: %w", text, err)
		}
		numbers[i] = int32(n)
	}
	c.ReadQueues, c.WriteQueues, c.Perm, c.FilterType = numbers[0], numbers[1], skua.Perm(numbers[2]), tokens[4]
	if len(tokens) == 6 {
		if err := fastjson.Unmarshal([]byte(tokens[5]), &c.Attributes); err != nil {
			return c, fmt.Errorf("topic %q: %w", text, err)
		}
	}
	return c, nil
}

// firstError keeps the error that came first.
func firstError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
