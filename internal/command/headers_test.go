package command

import (
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"testing"
)

// requests and answers are the types of the headers in testdata/headers.txt, by request code.
var (
	requests = map[Code]any{
		10: SendHeader{}, 310: SendHeader{}, 320: SendHeader{}, 325: SendHeader{}, 324: SendHeader{}, 11: PullHeader{}, 361: PullHeader{},
		14: OffsetHeader{}, 15: OffsetHeader{}, 29: OffsetHeader{}, 30: OffsetHeader{}, 31: OffsetHeader{}, 32: OffsetHeader{},
		12: QueryMessageHeader{}, 17: CreateTopicHeader{}, 21: AllTopicConfigHeader{}, 33: ViewMessageHeader{},
		35: UnregisterClientHeader{}, 36: SendBackHeader{}, 37: EndTransactionHeader{}, 38: ConsumerGroupHeader{},
		39: CheckTransactionHeader{}, 40: ConsumerGroupHeader{},
		100: KVHeader{}, 101: KVHeader{}, 102: KVHeader{}, 219: KVHeader{}, 103: RegisterBrokerHeader{}, 104: UnregisterBrokerHeader{},
		105: RouteHeader{}, 201: AllGroupConfigHeader{}, 202: TopicHeader{}, 203: ConsumerGroupHeader{}, 204: ProducerGroupHeader{},
		205: BrokerNameHeader{}, 207: DeleteGroupHeader{}, 208: ConsumeStatsHeader{}, 215: TopicHeader{}, 216: DeleteTopicHeader{},
		217: TopicHeader{}, 220: ResetOffsetHeader{}, 221: ConsumerStatusHeader{}, 222: ResetOffsetHeader{}, 223: ConsumerStatusHeader{},
		224: ClusterHeader{}, 300: TopicHeader{}, 303: GroupHeader{}, 307: RunningInfoHeader{}, 308: CorrectionOffsetHeader{},
		309: ConsumeDirectlyHeader{}, 314: CloneOffsetHeader{}, 315: StatsHeader{}, 317: BrokerConsumeStatsHeader{}, 321: QueryQueueHeader{},
		322: QueryDataVersionHeader{}, 323: ResumeHalfHeader{}, 326: ReplyHeader{}, 327: BrokerNameHeader{}, 343: GroupHeader{},
		345: GroupHeader{}, 351: TopicHeader{}, 352: GroupHeader{}, 353: GroupForbiddenHeader{}, 370: RecallHeader{},
		901: MemberGroupHeader{}, 904: BrokerHeartbeatHeader{}, 905: MinBrokerIDHeader{}, 906: HAInfo{}, 908: FlushOffsetHeader{},
		200050: PopHeader{}, 200051: AckHeader{}, 200052: PopHeader{}, 200053: ChangeInvisibleHeader{}, 200054: PopHeader{}, 200055: QueueHeader{},
	}
	answers = map[Code]any{
		10: SendResponse{}, 310: SendResponse{}, 320: SendResponse{}, 11: PullResponse{}, 361: PullResponse{},
		14: OffsetResponse{}, 29: OffsetResponse{}, 30: OffsetResponse{}, 31: OffsetResponse{}, 12: QueryMessageResponse{},
		21: AllTopicConfigResponse{}, 26: BrokerConfigResponse{}, 32: TimestampResponse{}, 34: HeartbeatResponse{}, 101: KVResponse{},
		103: RegisterBrokerResponse{}, 201: AllGroupConfigResponse{}, 205: WipeWritePermResponse{}, 322: QueryDataVersionResponse{},
		327: AddWritePermResponse{}, 370: RecallResponse{}, 906: HAInfo{}, 200050: PopResponse{}, 200052: PopResponse{},
		200053: ChangeInvisibleResponse{}, 200054: NotificationResponse{}, 200055: PollingInfoResponse{},
	}
)

// fieldMap is a Writer that keeps what is written.
type fieldMap map[string]string

func (m fieldMap) Bytes(key string, value []byte) { m[key] = string(value) }
func (m fieldMap) String(key, value string)       { m[key] = value }
func (m fieldMap) Int(key string, value int64)    { m[key] = strconv.FormatInt(value, 10) }
func (m fieldMap) Bool(key string, value bool)    { m[key] = strconv.FormatBool(value) }
func (m fieldMap) fields() (f Fields) {
	for k, v := range m {
		f = append(f, Field{[]byte(k), []byte(v)})
	}
	return f
}

// common fields stand in headers of any kind and mean nothing to a type.
var common = map[string]bool{"ns": true, "nsd": true, "bname": true, "oway": true, "lo": true, "ReqT": true}

// unused fields are read by nobody, or, the last two, stand in answers where they mean nothing.
var unused = map[string]bool{"proxyFrowardClientId": true, "offsetDelta": true, "MSG_REGION": true, "TRACE_ON": true}

func TestRecordedHeaders(t *testing.T) {
	for _, row := range recorded(t, "headers.txt", 3) {
		n, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		types, kind := requests, "request "
		if row[0] == "a" {
			types, kind = answers, "answer to "
		}
		name := kind + Code(n).String()
		want := fieldMap{}
		if err := json.Unmarshal([]byte(row[2]), &want); err != nil {
			t.Fatal(err)
		}
		zero, ok := types[Code(n)]
		if !ok {
			continue // of a code that nobody serves yet, or without fields of its own
		}
		v := reflect.New(reflect.TypeOf(zero)).Interface()
		if err := Decode(want.fields(), v); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := fieldMap{}
		Encode(got, v)
		for key, value := range want {
			if n == 10 || n == 324 { // read with long names, written with short ones
				break
			}
			g, ok := got[key]
			switch {
			case common[key] || unused[key]:
			case !ok && value != "" && value != "false":
				t.Errorf("%s: field %s=%s is lost", name, key, value)
			case ok && g != value:
				t.Errorf("%s: field %s=%s became %s", name, key, value, g)
			}
		}
	}
}

func TestEncodeDecode(t *testing.T) {
	for _, types := range []map[Code]any{requests, answers} {
		for code, zero := range types {
			v := reflect.New(reflect.TypeOf(zero))
			fields := fieldMap{}
			Encode(fields, v.Interface())
			if err := Decode(fields.fields(), reflect.New(reflect.TypeOf(zero)).Interface()); err != nil {
				t.Errorf("%v: the zero header cannot be read: %v", code, err)
			}
		}
	}
}

func TestDecodeRefusesNonsense(t *testing.T) {
	bad := Fields{{[]byte("brokerId"), []byte("one")}}
	var h RegisterBrokerHeader
	err := Decode(bad, &h)
	var fieldErr *FieldError
	if !errors.As(err, &fieldErr) || fieldErr.Key != "brokerId" || fieldErr.Value != "one" {
		t.Errorf("error %v", err)
	}
	big := Fields{{[]byte("queueId"), []byte("2147483648")}}
	if err := Decode(big, new(QueueHeader)); !errors.As(err, &fieldErr) {
		t.Errorf("an int32 beyond its range: %v", err)
	}
}

func TestFieldInteger(t *testing.T) {
	tests := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true}, {"-1", -1, true}, {"+7", 7, true}, {"9223372036854775807", 1<<63 - 1, true}, {"-9223372036854775808", -1 << 63, true},
		{"9223372036854775808", 0, false}, {"-9223372036854775809", 0, false}, {"", 0, false}, {"-", 0, false}, {"1x", 0, false}, {" 1", 0, false},
		{"99999999999999999999", 0, false}, {"00012", 12, true},
	}
	for _, tt := range tests {
		got, err := Field{Key: []byte("k"), Value: []byte(tt.in)}.Int64()
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("%q: %d, %v", tt.in, got, err)
		}
	}
}

// FuzzDecode checks that a header of any spelling is read or refused, never more, and that hand-written decoders agree
// with strconv about numbers.
func FuzzDecode(f *testing.F) {
	f.Add("queueId", "3")
	f.Add("commitOffset", "-9223372036854775808")
	f.Add("setZeroIfNotFound", "TRUE")
	f.Fuzz(func(t *testing.T, key, value string) {
		fields := Fields{{[]byte(key), []byte(value)}}
		for _, types := range []map[Code]any{requests, answers} {
			for _, zero := range types {
				Decode(fields, reflect.New(reflect.TypeOf(zero)).Interface())
			}
		}
		got, err := fields[0].Int64()
		want, wantErr := strconv.ParseInt(value, 10, 64)
		if (err == nil) != (wantErr == nil) || err == nil && got != want {
			t.Errorf("%q: %d, %v; strconv: %d, %v", value, got, err, want, wantErr)
		}
	})
}
