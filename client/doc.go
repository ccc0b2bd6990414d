// Package client sends messages to, and receives them from, RocketMQ: Skua's servers or Apache's. It hides the remoting
// protocol, routes and their changes, connections, heartbeats, the division of queues within a group, retries, offsets
// and flow control.
//
// A [Client] knows the name servers and shares its connections among its producers and consumers:
//
//	c, err := client.Open(ctx, client.Options{NameServers: []string{"127.0.0.1:9876"}})
//	p, err := c.Producer(client.ProducerOptions{Group: "orders"})
//	sent, err := p.Send(ctx, &client.Message{Topic: "orders", Tag: "new", Body: body})
//
// A [TransactionProducer] sends messages that consumers get only if a local transaction succeeds.
// [Producer.Request] sends a message and waits for the reply that its consumer sends by [Producer.Reply].
//
// A [PushConsumer] calls a function for each message; a [PullConsumer] is asked for messages, with the choice of queues
// and offsets left to the program. Each Close returns when all goroutines of what it closes have ended; closing the
// client closes the rest.
//
// # Delivery
//
// A send that returned without error is stored by the broker, as safely as the broker's settings say. A send that
// failed may be stored all the same, when only the answer was lost, and a send that was repeated inside may be stored
// twice: [Sent.ID] is the same in each copy. Consumers see each message of their group at least once; after the crash
// of a consumer, or when queues move between members, those again that were handled in the last five seconds.
//
// # Order
//
// Messages with the same [Message.ShardingKey] go to the same queue, in the order in which they were sent, as long as the
// number of queues stays what it is; a topic with one queue is in order as a whole. With [PushOptions.Orderly] the messages of
// a queue are handled one after the other, by one member of the group, which holds a lock of the queue at the broker. One
// that cannot be handled holds up its queue: for a moment, see [SuspendFor]; until it is a dead letter, see
// [PushOptions.MaxReconsume]. Who sends messages of one key from several goroutines has to order these himself.
//
// # Traces
//
// With [ProducerOptions.Trace] and [PushOptions.Trace] what happens to messages is written to a topic of the cluster, in the
// form that RocketMQ's tools read. [Hooks] join a program's own tracing library to sends and consumption; this package
// depends on none.
//
// # Messages with a time
//
// A message can be kept back by its broker: for one of the broker's delay levels, for a time of one's own, or until one
// ([Message.DelayLevel], [Message.Delay], [Message.DeliverAt]). Those of the latter two kinds can be recalled until then:
// [Producer.Recall].
//
// # Messages with a priority
//
// [Message.Priority] chooses the queue, and consumers that pop from a topic of message.type=PRIORITY get those of the last queue
// first. Brokers drop the priority of messages that are delayed, have a sharding key or belong to a transaction, so that such
// cannot be sent here.
//
// # Errors
//
// An [Error] is the refusal of a server, with its code and remark. A [FailedError] tells everything that was tried and
// how long each attempt took; errors.As finds the refusals in it. What blocks takes a context; where that has no
// deadline, the timeouts of the options apply.
package client
