package broker

import (
	"time"

	"github.com/skuamq/skua/internal/txn"
)

// TransactionOptions are the settings of transaction messages.
type TransactionOptions struct {
	// How long a half message waits for its end before its producer is asked about it.
	TransactionTimeOut int64 `key:"transactionTimeOut" default:"6000" unit:"ms" min:"0" max:"1099511627776" live:"true"`
	// How long an answer is waited for before a producer is asked again.
	TransactionCheckInterval int64 `key:"transactionCheckInterval" default:"30000" unit:"ms" min:"1" max:"1099511627776" live:"true"`
	// How often producers are asked about a half message before it is given up: it goes to TRANS_CHECK_MAX_TIME_TOPIC. It
	// goes there, too, when it has waited as long as messages are kept, fileReservedTime.
	TransactionCheckMax int32 `key:"transactionCheckMax" default:"15" min:"0" max:"1073741824" live:"true"`
	// How often the number of half messages of each topic is written to transactionMetrics.
	TransactionMetricFlushInterval int64 `key:"transactionMetricFlushInterval" default:"10000" unit:"ms" min:"1" max:"1099511627776"`
	// Length at which a message is written that tells which half messages were ended.
	TransactionOpMsgMaxSize int32 `key:"transactionOpMsgMaxSize" default:"4096" unit:"bytes" min:"1" max:"4MB" live:"true"`
	// How long such a message waits to become that long.
	TransactionOpBatchInterval int32 `key:"transactionOpBatchInterval" default:"3000" unit:"ms" min:"1" live:"true"`
}

// forever is longer than any half message waits.
const forever = 100 * 365 * 24 * time.Hour

// halfRules are the options as the rules for half messages.
func (o *Options) halfRules() txn.Rules {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	r := txn.Rules{Timeout: ms(o.TransactionTimeOut), Interval: ms(o.TransactionCheckInterval), MaxChecks: int(o.TransactionCheckMax),
		Keep: time.Duration(o.FileReservedTime) * time.Hour}
	if r.Keep == 0 {
		r.Keep = forever // files go whenever they may, but not because of their age
	}
	return r
}
