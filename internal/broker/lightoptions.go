package broker

// LightOptions are the settings of light queues.
type LightOptions struct {
	// Whether there are light queues: messages that name some (INNER_MULTI_DISPATCH=%LMQ%a,%LMQ%b) get an entry in each, and
	// topics and groups whose names begin with %LMQ% exist without being created. With it the offsets of groups are in
	// lmqConsumerOffset.json; those in the other file are taken over when the key changes.
	EnableLmq bool `key:"enableLmq" default:"false"`
	// With enableLmq: whether messages get these entries. With storeType=defaultRocksDB they do in any case, as in Java.
	EnableMultiDispatch bool `key:"enableMultiDispatch" default:"false"`
	// Whether there may be no more light queues than maxLmqConsumeQueueNum. Without it the limit is 1,000,000.
	EnableLmqQuota bool `key:"enableLmqQuota" default:"false" live:"true"`
	// How many light queues there may be, with enableLmqQuota. Messages that name further ones are refused.
	MaxLmqConsumeQueueNum int32 `key:"maxLmqConsumeQueueNum" default:"20000" min:"1" live:"true"`
	// Whether statistics count each light queue, and each group of them, apart. If not they are counted as %LMQ%.
	EnableLmqStats bool `key:"enableLmqStats" default:"false"`
}

// maxLight is how many light queues there may be; 0: as many as a store takes.
func (o *LightOptions) maxLight() int {
	if o.EnableLmqQuota {
		return int(o.MaxLmqConsumeQueueNum)
	}
	return 0
}

// dispatches reports whether messages get entries in light queues.
func (o *Options) dispatches() bool {
	return o.EnableLmq && (o.EnableMultiDispatch || o.StoreType == storeShared)
}
