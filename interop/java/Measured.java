import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * "Measured TOPIC GROUP" does a little of everything that brokers have metrics for, says so, and stays connected until it is
 * killed: 10 plain messages, one that is given up, one that falls due in an hour, a half message that stays one.
 */
public class Measured {
    public static void main(String[] args) throws Exception {
        String topic = args[0], group = args[1];
        TransactionMQProducer p = new TransactionMQProducer("measured");
        p.setTransactionListener(new TransactionListener() {
            public LocalTransactionState executeLocalTransaction(Message m, Object arg) { return LocalTransactionState.UNKNOW; }
            public LocalTransactionState checkLocalTransaction(MessageExt m) { return LocalTransactionState.UNKNOW; }
        });
        p.start();
        for (int i = 0; i < 10; i++) p.send(message(topic, "plain"));
        p.send(message(topic, "hopeless"));
        Message timed = message(topic, "timed");
        timed.setDelayTimeSec(3600);
        p.send(timed);
        p.sendMessageInTransaction(message(topic, "half"), null);
        DefaultMQPushConsumer c = new DefaultMQPushConsumer(group);
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.setMaxReconsumeTimes(0);
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            String body = new String(messages.get(0).getBody(), StandardCharsets.UTF_8);
            return body.equals("hopeless") ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        System.out.println("READY");
        Thread.sleep(Long.MAX_VALUE);
    }

    static Message message(String topic, String body) { return new Message(topic, body.getBytes(StandardCharsets.UTF_8)); }
}
