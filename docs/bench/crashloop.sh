#!/bin/sh
# Kills the broker with SIGKILL under load, again and again, and looks for everything that it acknowledged.
#
#   SKUA=bin/skua LOADGEN=loadgen docs/bench/crashloop.sh FOLDER ROUNDS [KEY=VALUE ...]
#
# FOLDER gets the store and must not exist; the settings are the broker's. Each round sends to a topic of its own, RATE (20,000)
# messages a second from 8 connections, or with RATE=0 all it can, is killed after 0.2 to 0.8 s, starts the broker again and verifies the round; the last
# lines verify all rounds once more. Ends with an error when a message is lost, doubled, moved or corrupt.
set -eu
dir=$1 rounds=$2
shift 2
port=22941
mkdir "$dir"

launch() {
	"$SKUA" server --namesrv-port 22948 --broker-port $port --data "$dir" "$@" >>"$dir/skua.log" 2>&1 &
	pid=$!
	"$LOADGEN" ready -addr 127.0.0.1:$port >>"$dir/ready.jsonl"
}

verify() { # round
	"$LOADGEN" verify -addr 127.0.0.1:$port -record "$dir/acked.$1" -consumers 4 >>"$dir/verify.jsonl" || { echo "round $1: see $dir/verify.jsonl"; kill $pid; exit 1; }
}

launch "$@"
n=0
while [ $n -lt "$rounds" ]; do
	n=$((n + 1))
	"$LOADGEN" send -addr 127.0.0.1:$port -topic crash-$n -mode async -conns 8 -window 32 -rate ${RATE:-20000} -warmup 0s -duration 2s -record "$dir/acked.$n" >>"$dir/send.jsonl" 2>>"$dir/send.err" &
	load=$!
	sleep 0.$((2 + n * 5 % 7))
	kill -9 $pid
	wait $pid || true
	wait $load || true
	launch "$@"
	verify $n
done
first=$n
: >"$dir/verify.jsonl"
n=0
while [ $n -lt $first ]; do
	n=$((n + 1))
	verify $n
done
kill $pid
wait $pid
sed 's/.*"acked":\([0-9]*\).*/\1/' "$dir/verify.jsonl" |
	awk -v kills="$rounds" '{ n += $1 } END { print kills " kills; " n " acknowledged messages are there, once" }'
