package java

import (
	_ "embed"
	"strconv"
)

//go:embed Static.java
var staticSource []byte

// Static is the command line of a producer and consumer of a static topic; see Static.java. dir holds its files.
func Static(dir, names, topic, group, stop string, first int) ([]string, error) {
	return write(dir, "Static.java", staticSource, names, topic, group, stop, strconv.Itoa(first))
}
