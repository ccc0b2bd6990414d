import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** What Java clients must see of order, broadcasting, dead letters and traces. Each scenario prints one line, "ok NAME" or "failed NAME: WHY". */
public class Delivery {
    static String names;

    interface Scenario { void run() throws Exception; }

    public static void main(String[] args) throws Exception {
        names = args[0];
        Map<String, Scenario> all = new LinkedHashMap<>();
        all.put("order", Delivery::order);
        all.put("orderly dead letters", Delivery::deadLetters);
        all.put("broadcast", Delivery::broadcast);
        all.put("trace", Delivery::trace);
        ExecutorService pool = Executors.newCachedThreadPool();
        List<Future<String>> results = new ArrayList<>();
        all.forEach((name, scenario) -> results.add(pool.submit(() -> {
            try {
                scenario.run();
                return "ok " + name;
            } catch (Throwable t) {
                return "failed " + name + ": " + t;
            }
        })));
        for (Future<String> r : results) System.out.println(r.get());
        System.exit(0);
    }

    static void check(boolean ok, String why) { if (!ok) throw new IllegalStateException(why); }

    static void until(String what, Callable<Boolean> holds) throws Exception {
        for (long end = System.currentTimeMillis() + 60_000; !holds.call(); Thread.sleep(20))
            check(System.currentTimeMillis() < end, what + ": not within a minute");
    }

    static final AtomicInteger instances = new AtomicInteger();

    static DefaultMQProducer producer(String group, boolean trace) throws Exception {
        DefaultMQProducer p = new DefaultMQProducer(group, trace, null);
        p.setNamesrvAddr(names);
        p.setInstanceName("p" + instances.incrementAndGet());
        p.setSendMsgTimeout(10_000);
        p.setMqClientApiTimeout(10_000); // of its first request, by a JVM that is still loading classes on a busy machine
        p.start();
        return p;
    }

    static DefaultMQPushConsumer consumer(String group, String topic, boolean trace) throws Exception {
        DefaultMQPushConsumer c = new DefaultMQPushConsumer(group, trace, null);
        c.setNamesrvAddr(names);
        c.setInstanceName("c" + instances.incrementAndGet());
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(topic, "*");
        return c;
    }

    /** Messages of a key come one after the other, also while members of the group come and go. */
    static void order() throws Exception {
        DefaultMQProducer p = producer("DeliveryOrder", false);
        Map<String, List<Integer>> seen = new ConcurrentHashMap<>();
        Set<String> busy = ConcurrentHashMap.newKeySet();
        AtomicReference<String> wrong = new AtomicReference<>();
        AtomicInteger failures = new AtomicInteger();
        MessageListenerOrderly listener = (messages, context) -> {
            context.setSuspendCurrentQueueTimeMillis(20);
            MessageExt m = messages.get(0);
            String queue = String.valueOf(m.getQueueId());
            if (!busy.add(queue)) wrong.set("two listeners for queue " + queue);
            try {
                String[] parts = new String(m.getBody()).split(" ");
                int n = Integer.parseInt(parts[1]);
                if (n % 10 == 5 && m.getReconsumeTimes() == 0) {
                    failures.incrementAndGet();
                    return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                }
                seen.computeIfAbsent(parts[0], k -> Collections.synchronizedList(new ArrayList<>())).add(n);
                return ConsumeOrderlyStatus.SUCCESS;
            } finally {
                busy.remove(queue);
            }
        };
        String[] keys = {"a", "b", "c", "d", "e"};
        int[] sent = {0};
        Callable<Void> send = () -> {
            for (int end = sent[0] + 30; sent[0] < end; sent[0]++)
                for (String key : keys)
                    p.send(new Message("DeliveryOrder", (key + " " + sent[0]).getBytes()), new SelectMessageQueueByHash(), key);
            return null;
        };
        Callable<Boolean> complete = () -> {
            for (String key : keys)
                if (seen.getOrDefault(key, List.of()).stream().distinct().count() < sent[0]) return false;
            return true;
        };
        send.call();
        DefaultMQPushConsumer one = consumer("DeliveryOrderGroup", "DeliveryOrder", false);
        one.registerMessageListener(listener);
        one.start();
        until("first messages", complete);
        DefaultMQPushConsumer two = consumer("DeliveryOrderGroup", "DeliveryOrder", false);
        two.registerMessageListener(listener);
        two.start();
        send.call();
        until("messages with two members", complete);
        one.shutdown();
        send.call();
        until("messages when a member has left", complete);
        check(wrong.get() == null, wrong.get());
        check(failures.get() > 0, "nothing was suspended");
        for (String key : keys) {
            int next = 0;
            for (int n : seen.get(key)) {
                check(n <= next, "key " + key + ": " + n + " came when " + next + " was next");
                next = n + 1;
            }
        }
        two.shutdown();
        p.shutdown();
    }

    /** An orderly consumer that gives up sends the message to the retry topic, and the broker makes a dead letter of it. */
    static void deadLetters() throws Exception {
        DefaultMQProducer p = producer("DeliveryDead", false);
        for (String body : List.of("bad", "good")) p.send(new Message("DeliveryDead", body.getBytes()), new SelectMessageQueueByHash(), "k");
        List<String> handled = Collections.synchronizedList(new ArrayList<>());
        DefaultMQPushConsumer c = consumer("DeliveryDeadGroup", "DeliveryDead", false);
        c.setMaxReconsumeTimes(1);
        c.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            context.setSuspendCurrentQueueTimeMillis(20);
            String body = new String(messages.get(0).getBody());
            handled.add(body);
            return body.equals("bad") ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT : ConsumeOrderlyStatus.SUCCESS;
        });
        c.start();
        until("the good message", () -> handled.contains("good"));
        check(handled.equals(List.of("bad", "bad", "good")), "handled " + handled);
        List<MessageExt> dead = Collections.synchronizedList(new ArrayList<>());
        DefaultMQPushConsumer reader = consumer("DeliveryDeadReader", "%DLQ%DeliveryDeadGroup", false);
        reader.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            dead.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        reader.start();
        until("the dead letter", () -> !dead.isEmpty());
        MessageExt m = dead.get(0);
        check(dead.size() == 1 && new String(m.getBody()).equals("bad") && "DeliveryDead".equals(m.getProperty("RETRY_TOPIC")), "dead letters " + dead);
        c.shutdown();
        reader.shutdown();
        p.shutdown();
    }

    /** Each member of a broadcasting group gets every message. */
    static void broadcast() throws Exception {
        DefaultMQProducer p = producer("DeliveryBroadcast", false);
        for (int i = 0; i < 20; i++) p.send(new Message("DeliveryBroadcast", ("m" + i).getBytes()));
        List<Set<String>> boxes = new ArrayList<>();
        List<DefaultMQPushConsumer> members = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            Set<String> box = ConcurrentHashMap.newKeySet();
            DefaultMQPushConsumer c = consumer("DeliveryBroadcastGroup", "DeliveryBroadcast", false);
            c.setMessageModel(MessageModel.BROADCASTING);
            c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                for (MessageExt m : messages) box.add(new String(m.getBody()));
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            c.start();
            boxes.add(box);
            members.add(c);
        }
        until("all messages at both", () -> boxes.stream().allMatch(b -> b.size() == 20));
        members.forEach(DefaultMQPushConsumer::shutdown);
        p.shutdown();
    }

    /** Traces of a Java producer and consumer; the test looks for them by the id. */
    static void trace() throws Exception {
        DefaultMQProducer p = producer("DeliveryTrace", true);
        SendResult sent = p.send(new Message("DeliveryTrace", "tag", "key-of-java", "body".getBytes()));
        CountDownLatch consumed = new CountDownLatch(1);
        DefaultMQPushConsumer c = consumer("DeliveryTraceGroup", "DeliveryTrace", true);
        c.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            consumed.countDown();
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        check(consumed.await(60, TimeUnit.SECONDS), "not consumed");
        c.shutdown();
        p.shutdown();
        System.out.println("traced " + sent.getMsgId());
    }
}
