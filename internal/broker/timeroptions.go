package broker

import "github.com/skuamq/skua/internal/conf"

// TimerOptions are the settings of timed messages.
type TimerOptions struct {
	// Whether messages may ask for a time of delivery (TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS). If not, sends of
	// such are refused, and those that wait go on waiting.
	TimerWheelEnable bool `key:"timerWheelEnable" default:"true"`
	// How far ahead the time of delivery may be. Years are fine.
	TimerMaxDelaySec int32 `key:"timerMaxDelaySec" default:"259200" live:"true" unit:"s" min:"0"`
	// Timed messages are delivered in steps of so long. When it changes, the wheel is made again at the start.
	TimerPrecisionMs int32 `key:"timerPrecisionMs" default:"1000" unit:"ms" min:"1" max:"60000"`
	// Messages that are due so many steps ahead, or more, are stored anew on the way, so that the log need not keep what is
	// waited for any longer. In effect it is at most three quarters of fileReservedTime.
	TimerRollWindowSlot int32 `key:"timerRollWindowSlot" default:"172800" live:"true"`
	// How often timer files are flushed while something happens.
	TimerFlushIntervalMs int32 `key:"timerFlushIntervalMs" default:"1000" unit:"ms" min:"1"`
	// Size of a file of the timer log.
	MappedFileSizeTimerLog int32 `key:"mappedFileSizeTimerLog" default:"104857600" unit:"bytes" min:"4096"`
	// Timed messages for a step that has so many already are refused: with more and more probability, beyond twice as many
	// always.
	TimerCongestNumEachSlot int32 `key:"timerCongestNumEachSlot" default:"2147483647" live:"true" min:"0"`
	// Whether timed messages stay in their queue instead of going into the wheel.
	TimerStopEnqueue bool `key:"timerStopEnqueue" default:"false" live:"true"`
	// Whether timed messages that are due stay in the wheel.
	TimerStopDequeue bool `key:"timerStopDequeue" default:"false" live:"true"`
	// Whether timed messages that cannot be read for a failing disk are passed over, with an error in the log. If not, the
	// timer tries again until they can.
	TimerSkipUnknownError bool `key:"timerSkipUnknownError" default:"false" live:"true"`
	// Whether the counts of waiting messages are checked once a day, and after a crash.
	TimerEnableCheckMetrics bool `key:"timerEnableCheckMetrics" default:"true" live:"true"`
	// Hours of the day at which they are, two digits each, separated by semicolons.
	TimerCheckMetricsWhen string `key:"timerCheckMetricsWhen" default:"05" live:"true"`

	// Whether timed messages may be recalled (RECALL_MESSAGE).
	RecallMessageEnable bool `key:"recallMessageEnable" default:"false" live:"true"`
	// Whether they may while brokerPermission lets producers not write.
	AllowRecallWhenBrokerNotWriteable bool `key:"allowRecallWhenBrokerNotWriteable" default:"true" live:"true"`
	// Whether recalls that are stored name the topic, too, besides the unique key. All that wait must be of one kind.
	AppendTopicForTimerDeleteKey bool `key:"appendTopicForTimerDeleteKey" default:"false" live:"true"`
}

// checkTimer returns an error if timerCheckMetricsWhen makes no sense.
func (o *Options) checkTimer() error {
	if _, err := hours(o.TimerCheckMetricsWhen); err != nil {
		return conf.Misfit(o, "timerCheckMetricsWhen", "hours of the day, two digits each, separated by semicolons: %v", err)
	}
	return nil
}

// maxDelay is how far ahead the time of delivery may be, ms.
func (o *TimerOptions) maxDelay() int64 { return int64(o.TimerMaxDelaySec) * 1000 }
