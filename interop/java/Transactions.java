import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * A producer of transactions: Transactions GROUP TOPIC PREFIX COUNT KIND... sends COUNT messages of each kind, and then answers
 * questions until it is killed. What becomes of a message its body says: "commit" and "rollback" at once, "late-commit" and
 * "late-rollback" when it is asked about the second time, "asked-commit" and "asked-rollback" when it is asked about.
 */
public class Transactions {
    static LocalTransactionState last(String kind) {
        return kind.endsWith("commit") ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
    }

    public static void main(String[] args) throws Exception {
        ConcurrentHashMap<String, AtomicInteger> asked = new ConcurrentHashMap<>();
        TransactionMQProducer p = new TransactionMQProducer(args[0], List.of(args[1])); // known to the brokers of the topic from the start
        p.setSendMsgTimeout(20000);
        p.setMqClientApiTimeout(20000); // of its first request, by a JVM that is still loading classes on a busy machine
        p.setTransactionListener(new TransactionListener() {
            public LocalTransactionState executeLocalTransaction(Message m, Object kind) {
                return kind.toString().contains("-") ? LocalTransactionState.UNKNOW : last(kind.toString());
            }

            public LocalTransactionState checkLocalTransaction(MessageExt m) {
                String body = new String(m.getBody(), StandardCharsets.UTF_8);
                int times = asked.computeIfAbsent(body, b -> new AtomicInteger()).incrementAndGet();
                System.out.println("ASKED " + times + " " + m.getTopic() + " " + m.getTransactionId() + " " + body);
                if (body.contains("late-") && times == 1) {
                    return LocalTransactionState.UNKNOW;
                }
                return body.contains("rollback") ? LocalTransactionState.ROLLBACK_MESSAGE : LocalTransactionState.COMMIT_MESSAGE;
            }
        });
        p.start();
        for (int i = 0; i < Integer.parseInt(args[3]); i++) {
            for (int k = 4; k < args.length; k++) {
                Message m = new Message(args[1], "TagA", "key" + i, (args[2] + " " + args[k] + " " + i).getBytes(StandardCharsets.UTF_8));
                System.out.println("SENT " + p.sendMessageInTransaction(m, args[k]).getSendStatus());
            }
        }
        System.out.println("READY");
        Thread.sleep(Long.MAX_VALUE);
    }
}
