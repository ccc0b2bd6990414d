package java

import (
	_ "embed"
	"errors"
	"os"
	"path/filepath"
)

//go:embed Transactions.java
var transactionsSource []byte

// Transactions is the command line of a producer of transactions; see Transactions.java for args. dir holds its files.
func Transactions(dir, names string, args ...string) ([]string, error) {
	source := filepath.Join(dir, "Transactions.java")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(source, transactionsSource, 0o644)); err != nil {
		return nil, err
	}
	return JVM{Heap: "192m", Home: dir, Options: []string{"-Drocketmq.namesrv.addr=" + names}}.Command(source, args...)
}
