import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Sends messages with times of delivery, recalls one, and receives the others. It prints a line for each: what was sent,
 * recalled, refused, and received, with the milliseconds that it was stored after it was due.
 */
public class Timed {
    public static void main(String[] args) throws Exception {
        String topic = args[0];
        DefaultMQProducer producer = new DefaultMQProducer("TimedProducer");
        producer.start();
        CountDownLatch received = new CountDownLatch(3);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("TimedConsumer");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt m : messages) {
                long late = m.getStoreTimestamp() - Long.parseLong(m.getUserProperty("due"));
                System.out.println("received " + new String(m.getBody(), StandardCharsets.UTF_8) + " " + late);
                received.countDown();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();

        Message seconds = message(topic, "seconds", 2000);
        seconds.setDelayTimeSec(2);
        Message millis = message(topic, "millis", 1500);
        millis.setDelayTimeMs(1500);
        Message time = message(topic, "time", 2500);
        time.setDeliverTimeMs(System.currentTimeMillis() + 2500);
        Message recalled = message(topic, "recalled", 3000);
        recalled.setDelayTimeMs(3000);
        for (Message m : new Message[] {seconds, millis, time}) {
            SendResult sent = producer.send(m);
            System.out.println("sent " + sent.getSendStatus() + " " + (sent.getRecallHandle() != null));
        }
        SendResult sent = producer.send(recalled);
        String id = producer.recallMessage(topic, sent.getRecallHandle());
        System.out.println("recalled " + id.equals(sent.getMsgId()));
        refused("handle", () -> producer.recallMessage(topic, sent.getRecallHandle().substring(3)));
        Message far = message(topic, "far", 0);
        far.setDelayTimeSec(4 * 24 * 3600);
        refused("far", () -> producer.send(far));

        received.await(60, TimeUnit.SECONDS);
        Thread.sleep(2500); // in which the recalled one would come
        System.out.println("end");
        System.exit(0);
    }

    interface Call {
        void run() throws Exception;
    }

    static void refused(String what, Call call) throws Exception {
        try {
            call.run();
            System.out.println("not refused " + what);
        } catch (MQBrokerException e) {
            System.out.println("refused " + what + " " + e.getResponseCode());
        } catch (Exception e) {
            System.out.println("refused " + what + " " + e.getClass().getSimpleName());
        }
    }

    static Message message(String topic, String body, long delay) {
        Message m = new Message(topic, body.getBytes(StandardCharsets.UTF_8));
        m.putUserProperty("due", String.valueOf(System.currentTimeMillis() + delay));
        return m;
    }
}
