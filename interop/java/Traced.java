import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Producers that trace: "Traced GROUP TOPIC" ends three transactions, one of them when it is asked, and recalls a timed message,
 * once in its topic and once with another one's name.
 */
public class Traced {
    static Message message(String topic, String kind) {
        return new Message(topic, "TagA", kind + " key", kind.getBytes(StandardCharsets.UTF_8));
    }

    public static void main(String[] args) throws Exception {
        TransactionMQProducer p = new TransactionMQProducer(args[0], List.of(args[1]));
        p.setEnableTrace(true);
        p.setTransactionListener(new TransactionListener() {
            public LocalTransactionState executeLocalTransaction(Message m, Object kind) {
                return kind.equals("commit") ? LocalTransactionState.COMMIT_MESSAGE
                    : kind.equals("rollback") ? LocalTransactionState.ROLLBACK_MESSAGE : LocalTransactionState.UNKNOW;
            }

            public LocalTransactionState checkLocalTransaction(MessageExt m) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }
        });
        p.start();
        for (String kind : List.of("commit", "rollback", "asked")) {
            System.out.println("SENT " + p.sendMessageInTransaction(message(args[1], kind), kind).getSendStatus());
        }
        DefaultMQProducer timed = new DefaultMQProducer(args[0] + "-timed");
        timed.setEnableTrace(true);
        timed.start();
        Message m = message(args[1], "recalled");
        m.setDelayTimeSec(3600);
        SendResult sent = timed.send(m);
        for (String topic : List.of(args[1], args[1] + "-other")) {
            try {
                System.out.println("RECALLED " + timed.recallMessage(topic, sent.getRecallHandle()).equals(sent.getMsgId()));
            } catch (Exception e) {
                System.out.println("NOT RECALLED " + e.getMessage().lines().findFirst().get());
            }
        }
        System.out.println("READY");
        Thread.sleep(Long.MAX_VALUE);
    }
}
