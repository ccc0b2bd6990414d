#!/bin/sh
# A large backlog: how long starts after SIGKILL take as the store grows, and what catching up costs producers.
#
#   SKUA=bin/skua LOADGEN=loadgen BENCH=FOLDER_OF_JAVA_PEER ROCKETMQ_LIB=JARS docs/bench/backlog.sh FOLDER [GB ...]
#
# FOLDER gets the store and must not exist; GB are the sizes at which the broker is killed (1 10 20); the last is the
# backlog. Skua writes it. Then Skua, and after a clean stop Java on the same directory, serve a reader that starts at the
# beginning with an empty page cache (needs root), while a producer sends 5,000 messages a second to another topic; before
# that the same producer runs undisturbed. Prints JSON lines.
set -eu
dir=$1; shift
[ $# -gt 0 ] || set -- 1 10 20
port=22931
mkdir "$dir"

start_skua() {
	"$SKUA" server --namesrv-port 22938 --broker-port $port storePathRootDir="$dir/store" --data "$dir" >>"$dir/skua.log" 2>&1 &
	pid=$!
}

producer() { # label seconds
	"$LOADGEN" send -addr 127.0.0.1:$port -topic live -mode async -conns 8 -window 64 -rate 5000 -warmup 3s -duration "$2" -pid $pid -label "$1"
}

catch_up() { # server
	producer "$1 undisturbed" 15s
	producer "$1 while catching up" 20s &
	p=$!
	sleep 2
	"$LOADGEN" backlog -addr 127.0.0.1:$port -phase read -drop -consumers 8 -pid $pid -label "$1 catch-up"
	wait $p
}

last=0
start_skua
"$LOADGEN" ready -addr 127.0.0.1:$port >/dev/null
for gb in "$@"; do
	# 1 KiB bodies take 1,250 bytes of the log
	"$LOADGEN" send -addr 127.0.0.1:$port -mode async -conns 8 -window 32 -warmup 0s -count $(((gb - last) * 858993)) -label "fill to $gb GB"
	last=$gb
	kill -9 $pid
	wait $pid || true
	start_skua
	"$LOADGEN" ready -addr 127.0.0.1:$port -pid $pid -label "start after SIGKILL at $gb GB"
done
catch_up skua
kill $pid
wait $pid
rm -rf "$dir/store/skua"
DATA=$dir BROKER_PORT=$port NAMESRV_PORT=22896 "$BENCH/java-peer" broker >"$dir/java.log" 2>&1 &
pid=$!
"$LOADGEN" ready -addr 127.0.0.1:$port -label "java starts on the directory"
producer "java warm-up" 30s >/dev/null
catch_up java
kill $pid
wait $pid || true
