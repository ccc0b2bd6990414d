import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/**
 * The scenarios of scenarios_test.go, as Java's client plays them: "Scenarios NAME..." plays those of these names at the same time,
 * each with the topic Scenario-NAME, and prints what it sees of each behind its name.
 */
public class Scenarios {
    interface Play { void play(Scene s) throws Exception; }

    /** What one scenario has. Lines come out sorted when it ends, each once. */
    static class Scene {
        final String name, topic;
        final ConcurrentSkipListSet<String> lines = new ConcurrentSkipListSet<>();
        private final AtomicInteger clients = new AtomicInteger();

        Scene(String name) {
            this.name = name;
            topic = "Scenario-" + name;
        }

        Message message(String body) { return new Message(topic, body.getBytes(StandardCharsets.UTF_8)); }

        DefaultMQProducer producer() throws Exception {
            DefaultMQProducer p = new DefaultMQProducer(topic + "-producer");
            p.setInstanceName(topic + clients.incrementAndGet());
            p.setSendMsgTimeout(20000);
            p.setMqClientApiTimeout(20000); // of its first request, by a JVM that is still loading classes on a busy machine
            p.start();
            return p;
        }

        DefaultMQPushConsumer consumer(MessageSelector selector) throws Exception {
            DefaultMQPushConsumer c = new DefaultMQPushConsumer(topic + "-consumer");
            c.setInstanceName(topic + clients.incrementAndGet());
            c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
            c.setPollNameServerInterval(1000); // the route of a retry topic comes late
            c.subscribe(topic, selector);
            return c;
        }

        void receive() throws Exception { receive(MessageSelector.byTag("*")); }

        void receive(MessageSelector selector) throws Exception {
            DefaultMQPushConsumer c = consumer(selector);
            c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                for (MessageExt m : messages) lines.add("received " + body(m));
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            c.start();
        }

        /** Waits until a line was said. */
        void await(String line) throws Exception {
            for (int i = 0; i < 1200 && !lines.contains(line); i++) Thread.sleep(50);
        }
    }

    static String body(Message m) { return new String(m.getBody(), StandardCharsets.UTF_8); }

    static final Map<String, Play> plays = Map.ofEntries(
        Map.entry("delay", Scenarios::delay), Map.entry("recall", Scenarios::recall), Map.entry("transaction", Scenarios::transaction),
        Map.entry("order", Scenarios::order), Map.entry("request", Scenarios::request), Map.entry("sql", Scenarios::sql),
        Map.entry("tags", Scenarios::tags), Map.entry("broadcast", Scenarios::broadcast), Map.entry("batch", Scenarios::batch),
        Map.entry("priority", Scenarios::priority), Map.entry("retry", Scenarios::retry));

    public static void main(String[] args) throws Exception {
        List<Thread> all = new ArrayList<>();
        for (String name : args) {
            Scene s = new Scene(name);
            Thread t = new Thread(() -> {
                try {
                    plays.get(name).play(s);
                } catch (Exception e) {
                    s.lines.add("failed: " + e);
                }
                StringBuilder out = new StringBuilder();
                for (String line : s.lines) out.append(name).append(": ").append(line).append('\n');
                System.out.print(out);
            });
            all.add(t);
            t.start();
        }
        for (Thread t : all) t.join();
        System.exit(0);
    }

    static void delay(Scene s) throws Exception {
        DefaultMQPushConsumer c = s.consumer(MessageSelector.byTag("*"));
        c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt m : messages) {
                long waited = m.getStoreTimestamp() - m.getBornTimestamp(), least = Long.parseLong(m.getTags());
                s.lines.add("received " + body(m) + (waited < least - 100 ? " early, after " + waited + " ms" : ""));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        DefaultMQProducer p = s.producer();
        Message now = s.message("now"), level = s.message("level"), timed = s.message("timed");
        now.setTags("0");
        level.setTags("1000");
        level.setDelayTimeLevel(1);
        timed.setTags("1500");
        timed.setDelayTimeMs(1500);
        for (Message m : List.of(timed, level, now)) p.send(m);
        for (String what : List.of("now", "level", "timed")) s.await("received " + what);
    }

    static void recall(Scene s) throws Exception {
        s.receive();
        DefaultMQProducer p = s.producer();
        Message recalled = s.message("recalled"), kept = s.message("kept");
        recalled.setDelayTimeMs(2500);
        kept.setDelayTimeMs(4000);
        SendResult sent = p.send(recalled);
        p.send(kept);
        s.lines.add("recalled " + sent.getMsgId().equals(p.recallMessage(s.topic, sent.getRecallHandle())));
        s.await("received kept");
    }

    static void transaction(Scene s) throws Exception {
        s.receive();
        TransactionMQProducer p = new TransactionMQProducer(s.topic + "-transactions", List.of(s.topic));
        p.setInstanceName(s.topic + "-transactions");
        p.setSendMsgTimeout(20000);
        p.setMqClientApiTimeout(20000); // of its first request, by a JVM that is still loading classes on a busy machine
        p.setTransactionListener(new TransactionListener() {
            public LocalTransactionState executeLocalTransaction(Message m, Object kind) {
                return kind.equals("commit") ? LocalTransactionState.COMMIT_MESSAGE
                    : kind.equals("rollback") ? LocalTransactionState.ROLLBACK_MESSAGE : LocalTransactionState.UNKNOW;
            }

            public LocalTransactionState checkLocalTransaction(MessageExt m) {
                s.lines.add("asked about " + body(m));
                return body(m).equals("late commit") ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
            }
        });
        p.start();
        for (String kind : List.of("late rollback", "late commit", "rollback", "commit")) p.sendMessageInTransaction(s.message(kind), kind);
        for (String line : List.of("received commit", "received late commit", "asked about late rollback")) s.await(line);
    }

    static void order(Scene s) throws Exception {
        DefaultMQProducer p = s.producer();
        for (int i = 0; i < 20; i++) {
            for (String key : List.of("a", "b", "c")) p.send(s.message(key + " " + i), new SelectMessageQueueByHash(), key);
        }
        ConcurrentHashMap<String, StringBuilder> seen = new ConcurrentHashMap<>();
        DefaultMQPushConsumer c = s.consumer(MessageSelector.byTag("*"));
        c.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            for (MessageExt m : messages) {
                String[] words = body(m).split(" ");
                String all = seen.computeIfAbsent(words[0], k -> new StringBuilder()).append(' ').append(words[1]).toString();
                if (words[1].equals("19")) s.lines.add("received of " + words[0] + all);
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        c.start();
        for (int i = 0; i < 1200 && s.lines.size() < 3; i++) Thread.sleep(50);
    }

    static void request(Scene s) throws Exception {
        DefaultMQProducer answers = s.producer(), p = s.producer();
        DefaultMQPushConsumer c = s.consumer(MessageSelector.byTag("*"));
        c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt m : messages) {
                try {
                    answers.send(MessageUtil.createReplyMessage(m, ("re: " + body(m)).getBytes(StandardCharsets.UTF_8)), 5000);
                } catch (Exception e) {
                    s.lines.add("not answered: " + e);
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        for (int i = 0; i < 3; i++) s.lines.add("reply " + body(p.request(s.message("question " + i), 30000)));
    }

    static void sql(Scene s) throws Exception {
        s.receive(MessageSelector.bySql("n > 6 AND colour = 'blue'"));
        numbered(s);
        for (int i = 7; i < 10; i++) s.await("received " + i);
    }

    static void tags(Scene s) throws Exception {
        s.receive(MessageSelector.byTag("tag0 || tag2"));
        numbered(s);
        for (int i : new int[] {0, 2, 3, 5, 6, 8, 9}) s.await("received " + i);
    }

    static void numbered(Scene s) throws Exception {
        DefaultMQProducer p = s.producer();
        for (int i = 0; i < 10; i++) {
            Message m = s.message("" + i);
            m.setTags("tag" + i % 3);
            m.putUserProperty("n", "" + i);
            m.putUserProperty("colour", "blue");
            p.send(m);
        }
    }

    static void broadcast(Scene s) throws Exception {
        for (int n = 1; n <= 2; n++) {
            int number = n;
            DefaultMQPushConsumer c = s.consumer(MessageSelector.byTag("*"));
            c.setMessageModel(MessageModel.BROADCASTING);
            c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                for (MessageExt m : messages) s.lines.add(number + " received " + body(m));
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            c.start();
        }
        DefaultMQProducer p = s.producer();
        for (int i = 0; i < 5; i++) p.send(s.message("" + i));
        for (int i = 0; i < 10; i++) s.await(1 + i % 2 + " received " + i / 2);
    }

    static void batch(Scene s) throws Exception {
        s.receive();
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 5; i++) batch.add(s.message("" + i));
        s.lines.add("sent " + s.producer().send(batch).getMsgId().split(",").length);
        for (int i = 0; i < 5; i++) s.await("received " + i);
    }

    static void priority(Scene s) throws Exception {
        DefaultMQPushConsumer c = s.consumer(MessageSelector.byTag("*"));
        c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt m : messages) s.lines.add(m.getPriority() + " received from " + m.getQueueId());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        DefaultMQProducer p = s.producer();
        for (int priority : new int[] {9, 0, 2}) {
            Message m = s.message("x");
            m.setPriority(priority);
            s.lines.add(priority + " sent to " + p.send(m).getMessageQueue().getQueueId());
        }
        for (String line : List.of("0 received from 0", "2 received from 2", "9 received from 3")) s.await(line);
    }

    static void retry(Scene s) throws Exception {
        DefaultMQPushConsumer c = s.consumer(MessageSelector.byTag("*"));
        c.setMaxReconsumeTimes(2);
        c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt m : messages) s.lines.add("received " + body(m) + " after " + m.getReconsumeTimes() + " failures of " + m.getTopic());
            context.setDelayLevelWhenNextConsume(1);
            return messages.get(0).getReconsumeTimes() < 2 ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        s.producer().send(s.message("x"));
        s.await("received x after 2 failures of " + s.topic);
    }
}
