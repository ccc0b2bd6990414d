import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.apache.rocketmq.broker.processor.QueryAssignmentProcessor;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.rebalance.*;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Writes strategies.txt, what Apache's classes divide how. A line has, between tabs: strategy, its parameter, topic, queues
 * as broker*number, members, member, and what that gets as broker:queue, or ! and the text of the exception.
 */
public class Strategies {
    static final Random random = new Random(20261);
    static final String[] TOPICS = {"T", "orders", "%RETRY%group", "a-much_longer|topic%name"};
    static final String[] BROKERS = {"broker-a", "broker-b", "b", "room1@x", "room2@x", "room1@y", "room3@", "@z", "room1@x@", "room1@@x", "room2-1", "room1-1", "room4-9"};

    public static void main(String[] args) throws Exception {
        Field f = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
        f.setAccessible(true);
        QueryAssignmentProcessor server = (QueryAssignmentProcessor) ((sun.misc.Unsafe) f.get(null)).allocateInstance(QueryAssignmentProcessor.class);
        for (int i = 0; i < 640; i++) {
            String topic = TOPICS[random.nextInt(TOPICS.length)];
            List<MessageQueue> queues = queues(topic);
            List<String> members = members();
            String member = member(members);
            String name, parameter = "";
            AllocateMessageQueueStrategy s;
            switch (i % 8) {
                case 0: name = "AVG"; s = new AllocateMessageQueueAveragely(); break;
                case 1: name = "AVG_BY_CIRCLE"; s = new AllocateMessageQueueAveragelyByCircle(); break;
                case 2: {
                    int nodes = new int[] {10, 10, 1, 0, 3, 100}[random.nextInt(6)];
                    name = "CONSISTENT_HASH"; parameter = "" + nodes; s = new AllocateMessageQueueConsistentHash(nodes); break;
                }
                case 3: {
                    Set<String> rooms = new LinkedHashSet<>();
                    for (String r : new String[] {"room1", "room2", "room3", ""}) if (random.nextBoolean()) rooms.add(r);
                    AllocateMessageQueueByMachineRoom m = new AllocateMessageQueueByMachineRoom();
                    m.setConsumeridcs(rooms);
                    name = "MACHINE_ROOM"; parameter = String.join(" ", rooms) + (rooms.contains("") ? " " : ""); s = m; break;
                }
                case 4: {
                    boolean circle = random.nextBoolean();
                    s = nearby(circle ? new AllocateMessageQueueAveragelyByCircle() : new AllocateMessageQueueAveragely());
                    name = s.getName(); break;
                }
                case 5: {
                    AllocateMessageQueueByConfig c = new AllocateMessageQueueByConfig();
                    c.setMessageQueueList(queues(topic));
                    name = "CONFIG"; parameter = spell(c.getMessageQueueList()); s = c; break;
                }
                default: {
                    boolean circle = random.nextBoolean();
                    AllocateMessageQueueStrategy inner = circle ? new AllocateMessageQueueAveragelyByCircle() : new AllocateMessageQueueAveragely();
                    int share = random.nextInt(6) - 1;
                    name = "POP-" + inner.getName(); parameter = "" + share;
                    s = new AllocateMessageQueueStrategy() {
                        public List<MessageQueue> allocate(String group, String cid, List<MessageQueue> all, List<String> cids) {
                            return server.allocate4Pop(inner, group, cid, all, cids, share);
                        }
                        public String getName() { return ""; }
                    };
                }
            }
            String result;
            try {
                result = spell(s.allocate("G", member, queues, members));
            } catch (RuntimeException e) {
                result = "!" + e.getMessage();
            }
            System.out.println(String.join("\t", name, parameter, topic, runs(queues), String.join(" ", members), member, result));
        }
        System.exit(0);
    }

    static AllocateMachineRoomNearby nearby(AllocateMessageQueueStrategy inner) {
        return new AllocateMachineRoomNearby(inner, new AllocateMachineRoomNearby.MachineRoomResolver() {
            public String brokerDeployIn(MessageQueue q) { return room(q.getBrokerName()); }
            public String consumerDeployIn(String id) { return room(id); }
        });
    }

    /** What stands before the first - or @. */
    static String room(String name) {
        int i = 0;
        while (i < name.length() && name.charAt(i) != '-' && name.charAt(i) != '@') i++;
        return name.substring(0, i);
    }

    static List<MessageQueue> queues(String topic) {
        List<MessageQueue> all = new ArrayList<>();
        if (random.nextInt(20) == 0) return all;
        List<String> brokers = new ArrayList<>(new LinkedHashSet<>(Arrays.asList(pick(), pick(), pick(), pick(), pick()).subList(0, 1 + random.nextInt(5))));
        brokers.sort(null);
        for (String b : brokers) {
            int n = random.nextInt(9);
            for (int i = 0; i < n; i++) all.add(new MessageQueue(topic, b, i));
        }
        return all;
    }

    static String pick() { return BROKERS[random.nextInt(BROKERS.length)]; }

    static List<String> members() {
        List<String> all = new ArrayList<>();
        int n = random.nextInt(20) == 0 ? 0 : 1 + random.nextInt(random.nextInt(4) == 0 ? 12 : 5);
        for (int i = 0; i < n; i++) all.add((random.nextInt(30) == 0 ? "" : "room" + (1 + random.nextInt(3))) + "-10." + random.nextInt(40) + "@" + random.nextInt(900) + "#ü");
        if (n > 0 && random.nextInt(10) == 0) all.add(all.get(0)); // twice
        all.sort(null);
        return all;
    }

    static String member(List<String> members) {
        int dice = random.nextInt(25);
        if (dice == 0) return "";
        if (dice == 1 || members.isEmpty()) return "room2-stranger";
        return members.get(random.nextInt(members.size()));
    }

    static String runs(List<MessageQueue> queues) {
        List<String> out = new ArrayList<>();
        for (int i = 0; i < queues.size(); ) {
            int from = i;
            String b = queues.get(i).getBrokerName();
            while (i < queues.size() && queues.get(i).getBrokerName().equals(b)) i++;
            out.add(b + "*" + (i - from));
        }
        return String.join(" ", out);
    }

    static String spell(List<MessageQueue> queues) {
        List<String> out = new ArrayList<>();
        for (MessageQueue q : queues) out.add(q.getBrokerName() + ":" + q.getQueueId());
        return String.join(" ", out);
    }
}
