// Package java starts Apache RocketMQ's own programs: servers, example clients and mqadmin, the other side of the
// interoperability tests. It hides where their jars come from (Maven Central, fetched once) and what a JVM needs.
package java

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/skuamq/skua/interop/process"
)

// Version is the release that Skua is compared with.
const Version = "5.5.0"

// Main classes of the servers.
const (
	NameServer = "org.apache.rocketmq.namesrv.NamesrvStartup"
	Broker     = "org.apache.rocketmq.broker.BrokerStartup"
)

//go:embed pom.xml
var pom []byte

// Library returns the folder that holds the jars of Version. The first call on a machine fetches them with Maven (about
// 120 MB) into the user's cache folder; a file lock keeps runs in parallel apart. Later calls only return the path.
var Library = sync.OnceValues(func() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache := filepath.Join(base, "rocketmq-java-"+Version)
	lib := filepath.Join(cache, "lib")
	complete := func() bool {
		_, err := os.Stat(filepath.Join(lib, ".complete"))
		return err == nil
	}
	if complete() {
		return lib, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // which also unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if complete() {
		return lib, nil // another run fetched them meanwhile
	}
	return lib, fetch(cache, lib)
})

// fetch fills a folder beside lib and renames it: lib is there completely or not at all.
func fetch(cache, lib string) error {
	partial := lib + ".tmp"
	project := filepath.Join(cache, "pom.xml")
	err := errors.Join(os.RemoveAll(partial), os.WriteFile(project, pom, 0o644))
	if err != nil {
		return err
	}
	_, err = process.Run(context.Background(), nil, cache, "mvn", "-q", "-B", "-f", project,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+partial)
	if err != nil {
		return fmt.Errorf("fetch Apache RocketMQ %s: %w", Version, err)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(partial, ".complete"), nil, 0o644),
		os.RemoveAll(lib),
		os.Rename(partial, lib))
}

// JVM describes one virtual machine.
type JVM struct {
	// Heap is both the first and the largest heap, e.g. "256m".
	Heap string
	// Home is where the program keeps its logs and local offsets.
	Home string
	// Fast asks for the best speed in the long run instead of the shortest start.
	Fast bool
	// Options are further flags, e.g. "-Drocketmq.namesrv.addr=127.0.0.1:9876".
	Options []string
}

// Command returns the command line that runs a main class, or a single source file, with Apache's jars.
func (j JVM) Command(main string, args ...string) ([]string, error) {
	lib, err := Library()
	if err != nil {
		return nil, err
	}
	argv := []string{"java", "-Xms" + j.Heap, "-Xmx" + j.Heap, "-Duser.home=" + j.Home,
		"-XX:-UsePerfData", "--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
		"--add-exports=java.base/sun.nio.ch=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
		"--add-opens=java.base/java.util=ALL-UNNAMED"}
	if j.Fast {
		argv = append(argv, "-XX:+UseG1GC")
	} else {
		argv = append(argv, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
	}
	argv = append(argv, j.Options...)
	argv = append(argv, "-cp", filepath.Join(lib, "*"), main)
	return append(argv, args...), nil
}
