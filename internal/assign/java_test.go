package assign

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skuamq/skua"
)

// testdata/strategies.txt is what Apache's classes made of random arguments, see Strategies.java beside it.
func TestResultsAreJavas(t *testing.T) {
	file, err := os.Open("testdata/strategies.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	seen := map[string]int{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		x := readCase(t, lines.Text())
		seen[x.name]++
		got, err := x.strategy(t)(x.queues, x.members, x.member)
		text := spell(got)
		if err != nil {
			text = "!" + err.Error()
		}
		if text != x.want && !(err != nil && strings.HasPrefix(x.want, "!") && strings.HasPrefix(text, x.want)) {
			t.Errorf("%s\ngot %s", lines.Text(), text)
		}
	}
	if err := lines.Err(); err != nil || len(seen) != 9 {
		t.Errorf("%v, %v", seen, err)
	}
}

// javaCase is a line of the table.
type javaCase struct {
	name, parameter string
	topic           string
	queues          []skua.Queue
	members         []string
	member, want    string
}

func readCase(t *testing.T, line string) javaCase {
	t.Helper()
	parts := strings.Split(line, "\t")
	x := javaCase{name: parts[0], parameter: parts[1], topic: parts[2], members: strings.Fields(parts[4]), member: parts[5], want: parts[6]}
	for _, run := range strings.Fields(parts[3]) {
		broker, count, _ := strings.Cut(run, "*")
		n, err := strconv.Atoi(count)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for id := range n {
			x.queues = append(x.queues, skua.Queue{Topic: x.topic, Broker: broker, ID: int32(id)})
		}
	}
	if strings.HasPrefix(x.name, "POP-") { // Java names AnyQueue of a broker once for each of its queues
		x.want = strings.Join(slices.Compact(strings.Fields(x.want)), " ")
	}
	return x
}

// number is the parameter as a number.
func (x javaCase) number(t *testing.T) int {
	n, err := strconv.Atoi(x.parameter)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (x javaCase) strategy(t *testing.T) Strategy {
	inner := map[string]Strategy{"AVG": Averagely, "AVG_BY_CIRCLE": ByCircle}
	prefix, rest, _ := strings.Cut(x.name, "-")
	switch prefix {
	case "AVG", "AVG_BY_CIRCLE":
		return inner[x.name]
	case "CONSISTENT_HASH":
		return ConsistentHash(x.number(t))
	case "MACHINE_ROOM":
		if x.parameter == "" { // while a blank means the room without a name
			return MachineRoom(nil)
		}
		return MachineRoom(strings.Split(x.parameter, " "))
	case "MACHINE_ROOM_NEARBY":
		room := func(name string) string { return name[:strings.IndexAny(name+"-", "-@")] }
		return MachineRoomNearby(inner[rest], Rooms{Queue: func(q skua.Queue) string { return room(q.Broker) }, Member: room})
	case "CONFIG":
		return ByConfig(x.unspell(t))
	case "POP":
		return func(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
			return Pop(inner[rest], x.number(t), queues, members, member)
		}
	}
	t.Fatalf("no strategy %s", x.name)
	return nil
}

// unspell reads the parameter as a list of queues.
func (x javaCase) unspell(t *testing.T) (queues []skua.Queue) {
	for _, text := range strings.Fields(x.parameter) {
		broker, number, _ := strings.Cut(text, ":")
		id, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		queues = append(queues, skua.Queue{Topic: x.topic, Broker: broker, ID: int32(id)})
	}
	return queues
}

func spell(queues []skua.Queue) string {
	var parts []string
	for _, q := range queues {
		parts = append(parts, q.Broker+":"+strconv.Itoa(int(q.ID)))
	}
	return strings.Join(parts, " ")
}
