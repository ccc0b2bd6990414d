import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Both sides of requests: "Requests ask TOPIC N" sends N requests, every other one of them asynchronously and one of 20,000
 * bytes, and prints the replies; "Requests answer TOPIC" replies to each with its body behind a word, until it is killed.
 */
public class Requests {
    public static void main(String[] args) throws Exception {
        DefaultMQProducer p = new DefaultMQProducer("java-" + args[0]);
        p.setInstanceName(args[0]);
        p.start();
        if (args[0].equals("ask")) ask(p, args[1], Integer.parseInt(args[2]));
        else answer(p, args[1]);
    }

    static void ask(DefaultMQProducer p, String topic, int n) throws Exception {
        CountDownLatch left = new CountDownLatch(n);
        for (int i = 0; i < n; i++) {
            byte[] body = (i == 0 ? "x".repeat(20_000) : "question " + i).getBytes(StandardCharsets.UTF_8);
            Message m = new Message(topic, "tag", body);
            if (i % 2 == 0) {
                print(p.request(m, 20_000));
                left.countDown();
                continue;
            }
            AtomicBoolean told = new AtomicBoolean(); // the client may tell of a reply when the request is sent, and again when it comes
            p.request(m, new RequestCallback() {
                public void onSuccess(Message reply) {
                    if (reply != null && told.compareAndSet(false, true)) { print(reply); left.countDown(); }
                }
                public void onException(Throwable e) { System.out.println("failed: " + e); left.countDown(); }
            }, 20_000);
        }
        left.await();
        System.out.println("done");
        p.shutdown();
    }

    static void print(Message reply) {
        String body = new String(reply.getBody(), StandardCharsets.UTF_8);
        System.out.println("reply " + (body.length() > 1000 ? "of " + body.length() + " bytes" : body) + " colour " + reply.getUserProperty("colour"));
    }

    static void answer(DefaultMQProducer p, String topic) throws Exception {
        DefaultMQPushConsumer c = new DefaultMQPushConsumer("java-answer-consumer");
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt m : messages) {
                try {
                    Message reply = MessageUtil.createReplyMessage(m, ("re: " + new String(m.getBody(), StandardCharsets.UTF_8)).getBytes(StandardCharsets.UTF_8));
                    reply.putUserProperty("colour", "blue");
                    System.out.println("answered " + p.send(reply, 5000).getSendStatus());
                } catch (Exception e) {
                    System.out.println("failed: " + e);
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        System.out.println("started");
    }
}
