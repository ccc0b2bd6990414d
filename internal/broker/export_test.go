package broker

// HeldPulls is the number of pulls that wait for a message.
func (b *Broker) HeldPulls() int { return int(b.polls.count.Load()) }
