import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A producer and an ordered consumer of a static topic: Static NAMES TOPIC GROUP STOP FIRST. Each queue gets messages that are numbered from FIRST on, one
 * after the other, until there is a file STOP; one that cannot be sent is sent again. It prints "sent QUEUE NUMBER OFFSET" and
 * "got QUEUE NUMBER OFFSET", and "stopped" when nothing is sent any more. A second group consumes without order, and each
 * message with a number that ends with 7 only when it comes again; it prints "late QUEUE NUMBER OFFSET".
 */
public class Static {
    public static void main(String[] args) throws Exception {
        DefaultMQPushConsumer c = new DefaultMQPushConsumer(args[2]);
        c.setNamesrvAddr(args[0]);
        c.setPollNameServerInterval(1000);
        c.setInstanceName("consumer");
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.setPersistConsumerOffsetInterval(1000);
        c.subscribe(args[1], "*");
        c.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            for (MessageExt m : messages) {
                String body = new String(m.getBody(), StandardCharsets.UTF_8);
                System.out.println("got " + body + " " + m.getQueueOffset() + (body.startsWith(m.getQueueId() + " ") ? "" : " of a wrong queue"));
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        DefaultMQPushConsumer late = new DefaultMQPushConsumer(args[2] + "Late");
        late.setNamesrvAddr(args[0]);
        late.setPollNameServerInterval(1000);
        late.setInstanceName("late");
        late.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        late.subscribe(args[1], "*");
        late.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt m : messages) {
                String body = new String(m.getBody(), StandardCharsets.UTF_8);
                if (body.endsWith("7") && m.getReconsumeTimes() == 0) {
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                System.out.println("late " + body + " " + m.getQueueOffset());
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        DefaultMQProducer p = new DefaultMQProducer("StaticProducers");
        p.setNamesrvAddr(args[0]);
        p.setPollNameServerInterval(1000);
        p.setInstanceName("producer");
        p.setRetryTimesWhenSendFailed(0);
        p.start();
        List<MessageQueue> queues = p.fetchPublishMessageQueues(args[1]);
        System.out.println("queues " + queues);
        c.start();
        late.start();
        for (int n = Integer.parseInt(args[4]); !Files.exists(Path.of(args[3])); n++) {
            for (MessageQueue q : queues) {
                Message m = new Message(args[1], (q.getQueueId() + " " + n).getBytes(StandardCharsets.UTF_8));
                for (;;) {
                    try {
                        SendResult r = p.send(m, q);
                        System.out.println("sent " + r.getMessageQueue().getQueueId() + " " + n + " " + r.getQueueOffset());
                        break;
                    } catch (Exception e) {
                        System.out.println("failed " + q.getQueueId() + " " + n + " " + e.getMessage());
                        Thread.sleep(200);
                    }
                }
            }
            Thread.sleep(5);
        }
        System.out.println("stopped");
        Thread.sleep(Long.MAX_VALUE);
    }
}
