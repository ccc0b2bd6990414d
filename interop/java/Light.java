import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.remoting.protocol.route.TopicRouteData;

/**
 * Sends messages that name light queues, and reads these as Java's examples do (org.apache.rocketmq.example.lmq). Arguments: topic,
 * name and address of its broker.
 */
public class Light {
    static final int COUNT = 20;

    public static void main(String[] args) throws Exception {
        String topic = args[0], broker = args[1], addr = args[2];
        DefaultMQPushConsumer push = push(topic, "%LMQ%a", broker, addr);
        DefaultMQProducer producer = new DefaultMQProducer("P");
        producer.start();
        for (int i = 0; i < COUNT; i++) {
            Message m = new Message(topic, "TagA", ("light " + i).getBytes());
            m.putUserProperty("INNER_MULTI_DISPATCH", i % 2 == 0 ? "%LMQ%a" : "%LMQ%a,%LMQ%b");
            producer.send(m);
        }
        DefaultMQPullConsumer pull = new DefaultMQPullConsumer("%LMQ%puller");
        pull.setRegisterTopics(new HashSet<>(Arrays.asList(topic)));
        pull.start();
        pull.getDefaultMQPullConsumerImpl().getRebalanceImpl().getmQClientFactory().updateTopicRouteInfoFromNameServer(topic);
        for (String name : new String[] {"%LMQ%a", "%LMQ%b"}) {
            MessageQueue q = new MessageQueue(name, broker, 0);
            List<String> offsets = new ArrayList<>();
            long next = pull.minOffset(q);
            while (next < pull.maxOffset(q)) {
                PullResult r = pull.pullBlockIfNotFound(q, "*", next, 7);
                for (MessageExt m : r.getMsgFoundList()) {
                    offsets.add(m.getProperty("INNER_MULTI_QUEUE_OFFSET"));
                }
                next = r.getNextBeginOffset();
            }
            pull.getOffsetStore().updateConsumeOffsetToBroker(q, next, false);
            System.out.println("pulled " + name + " " + String.join(" ", offsets) + "; group at " + pull.fetchConsumeOffset(q, true)
                + ", by time " + pull.searchOffset(q, 0));
        }
        for (int i = 0; i < 300 && received.get() < COUNT; i++) {
            Thread.sleep(100);
        }
        Thread.sleep(200);
        System.out.println("pushed " + received.get());
        push.shutdown();
        pull.shutdown();
        producer.shutdown();
        System.out.println("end");
    }

    static final AtomicInteger received = new AtomicInteger();

    static DefaultMQPushConsumer push(String topic, String name, String broker, String addr) throws Exception {
        DefaultMQPushConsumer c = new DefaultMQPushConsumer("CID_LIGHT");
        c.subscribe(name, "TagA");
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            received.addAndGet(ms.size());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        c.getDefaultMQPushConsumerImpl().getmQClientFactory().updateTopicRouteInfoFromNameServer(topic);
        HashMap<Long, String> addrs = new HashMap<>();
        addrs.put(0L, addr);
        BrokerData data = new BrokerData("DefaultCluster", broker, addrs);
        TopicRouteData route = new TopicRouteData();
        route.setBrokerDatas(new ArrayList<>(Arrays.asList(data)));
        c.getDefaultMQPushConsumerImpl().getmQClientFactory().getTopicRouteTable().put(name, route);
        c.getDefaultMQPushConsumerImpl().updateTopicSubscribeInfo(name, new HashSet<>(Arrays.asList(new MessageQueue(name, broker, 0))));
        c.getDefaultMQPushConsumerImpl().getmQClientFactory().doRebalance();
        return c;
    }
}
