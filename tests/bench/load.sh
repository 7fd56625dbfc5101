#!/usr/bin/env bash
# Sluice and Postfix under the same smtp-source load, in turn, in one run; prints a table with ratios.
#
#   tests/bench/load.sh [hold] [relay]       both modes where none is named
#
# hold    accept and queue: every message is answered 250 and then held, so nothing is delivered
# relay   accept, queue and deliver to smtp-sink; the rate runs from the first connection to the last delivery
#
# Each peer is a private instance below BENCH_DIR, on loopback; /etc/postfix is neither read nor written.
# Nothing keeps running afterwards. Needs root (Postfix does) and the packages of tests/run.
#
# Settings, from the environment:
#   PEERS       which servers, first the one that ratios refer to      (postfix sluice)
#   MSGS        messages a run; half of it with 1 session              (2000)
#   REPEAT      runs of each case; medians are printed                 (3)
#   SESSIONS    parallel sessions                                      (1 20 100)
#   SIZES       octets of a message's body                             (1024 10240)
#   CONNS       reuse: one connection a session; new: one a message    (new reuse)
#   BENCH_DIR   where queues, settings and logs lie: the disk measured (/var/tmp/sluice-bench)
#   SLUICE      the server's binary                                    (target/release/sluice)
#   POSTFIX_PORT, SLUICE_PORT, SINK_PORT                               (2525 2527 2526)
#
# Reading it: rates depend on the disk, whose syncs are timed just before each run ("sync ms"); compare only
# within one table. CPU is that of the server's process tree alone, without smtp-source and smtp-sink, in
# steps of a clock tick (10 ms) a process; it is the steadier figure. The last columns divide a peer's rate and
# its CPU by those of the first peer: a better peer has more of the one and less of the other.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PEERS=${PEERS:-postfix sluice}
MSGS=${MSGS:-2000}
REPEAT=${REPEAT:-3}
SESSIONS=${SESSIONS:-1 20 100}
SIZES=${SIZES:-1024 10240}
CONNS=${CONNS:-new reuse}
BENCH_DIR=${BENCH_DIR:-/var/tmp/sluice-bench}
SLUICE=${SLUICE:-$root/target/release/sluice}
POSTFIX_PORT=${POSTFIX_PORT:-2525}
SLUICE_PORT=${SLUICE_PORT:-2527}
SINK_PORT=${SINK_PORT:-2526}
export PATH="$PATH:/usr/sbin"

die() {
    echo "load.sh: $*" >&2
    exit 1
}

# ---- Sluice ---------------------------------------------------------------------------------------------

sluice_dir=$BENCH_DIR/sluice
sluice_pid=

# Starts a server with an empty queue; the one place that knows how Sluice is set up for a mode.
start_sluice() {
    local mode=$1 delivery=""
    rm -rf "$sluice_dir"
    mkdir -p "$sluice_dir/config"
    [ "$mode" = relay ] && delivery=" daemon [127.0.0.1] port $SINK_PORT"
    # the relay-blocking site as `sluice up` makes it, with the one change that the mode needs
    cp "$root"/examples/relay/* "$sluice_dir/config/"
    printf 'local.hostname = mx.bench.test\nservice.defaultdomain = bench.test\n' >"$sluice_dir/config/msg.conf"
    printf 'INTERFACE_ADDRESS=127.0.0.1\n[SERVICE=SMTP]\nPORT=%s\nPARAMETER=CHANNEL=tcp_local\n' "$SLUICE_PORT" \
        >"$sluice_dir/config/dispatcher.cnf"
    [ -z "$delivery" ] || sed -i "s/^tcp_local smtp mx/tcp_local smtp$delivery/" "$sluice_dir/config/imta.cnf"
    if [ "$mode" = hold ]; then
        # shellcheck disable=SC2016 # the dollars are the mapping's
        sed -i '/^ORIG_SEND_ACCESS$/{n;a\  tcp_intranet|*|tcp_local|*  $Y$H
}' "$sluice_dir/config/mappings"
    fi
    "$SLUICE" up --dir "$sluice_dir" >"$BENCH_DIR/sluice.log" 2>&1 &
    sluice_pid=$!
    await_banner "$SLUICE_PORT" || die "Sluice does not answer on port $SLUICE_PORT; see $BENCH_DIR/sluice.log"
}
stop_sluice() {
    [ -n "$sluice_pid" ] || return 0
    kill "$sluice_pid" 2>/dev/null || true
    wait "$sluice_pid" 2>/dev/null || true
    sluice_pid=
}
empty_sluice() { # a fresh start: deleting from a log is not what is measured
    stop_sluice
    start_sluice "$1"
}
root_pid_sluice() { echo "$sluice_pid"; }
held_sluice() { :; } # unknown: the replies alone are believed
port_sluice() { echo "$SLUICE_PORT"; }
data_sluice() { echo "$sluice_dir"; }

# ---- Postfix --------------------------------------------------------------------------------------------

postfix_etc=$BENCH_DIR/postfix-etc
postfix_queue=$BENCH_DIR/postfix-queue
postfix_data=$BENCH_DIR/postfix-data
postfix_up=

start_postfix() {
    local mode=$1 restrictions="" service
    [ "$mode" = hold ] && restrictions=static:HOLD
    rm -rf "$postfix_etc" "$postfix_queue" "$postfix_data"
    mkdir -p "$postfix_etc" "$postfix_queue" "$postfix_data"
    chown postfix "$postfix_data"
    cat >"$postfix_etc/main.cf" <<CF
compatibility_level = 3.6
config_directory = $postfix_etc
queue_directory = $postfix_queue
data_directory = $postfix_data
command_directory = /usr/sbin
daemon_directory = $postfix_daemons
maillog_file = $BENCH_DIR/log/postfix
maillog_file_prefixes = $BENCH_DIR
myhostname = mx.bench.test
mydestination =
alias_maps =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_tls_security_level = none
smtp_tls_security_level = none
smtpd_client_restrictions = $restrictions
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:$SINK_PORT
default_process_limit = 120
initial_destination_concurrency = 20
CF
    {
        echo "127.0.0.1:$POSTFIX_PORT inet n - n - - smtpd"
        echo "cleanup unix n - n - 0 cleanup"
        echo "qmgr unix n - n 300 1 qmgr"
        echo "rewrite unix - - n - - trivial-rewrite"
        echo "showq unix n - n - - showq"
        echo "smtp unix - - n - - smtp"
        echo "relay unix - - n - - smtp"
        echo "error unix - - n - - error"
        echo "retry unix - - n - - error"
        echo "anvil unix - - n - 1 anvil"
        echo "scache unix - - n - 1 scache"
        echo "verify unix - - n - 1 verify"
        echo "flush unix n - n 1000? 0 flush"
        echo "proxymap unix - - n - - proxymap"
        echo "tlsmgr unix - - n 1000? 1 tlsmgr"
        echo "postlog unix-dgram n - n - 1 postlogd"
        for service in bounce defer trace; do echo "$service unix - - n - 0 bounce"; done
    } >"$postfix_etc/master.cf"
    postfix_up=1
    postfix -c "$postfix_etc" start >"$BENCH_DIR/log/postfix-start" 2>&1 ||
        die "Postfix does not start; see $BENCH_DIR/log/postfix-start and $BENCH_DIR/log/postfix"
    await_banner "$POSTFIX_PORT" || die "Postfix does not answer on port $POSTFIX_PORT; see $BENCH_DIR/log/postfix"
}
stop_postfix() {
    [ -n "$postfix_up" ] || return 0
    postfix -c "$postfix_etc" stop >/dev/null 2>&1 || true
    postfix_up=
}
empty_postfix() { postsuper -c "$postfix_etc" -d ALL >/dev/null 2>&1 || true; }
root_pid_postfix() { tr -d ' \n' <"$postfix_queue/pid/master.pid"; }
held_postfix() { find "$postfix_queue/hold" -type f | wc -l; }
port_postfix() { echo "$POSTFIX_PORT"; }
data_postfix() { echo "$postfix_queue"; }

# ---- Measuring ------------------------------------------------------------------------------------------

greets() ( # in a shell of its own: a connection that breaks ends that one only
    exec 9<>"/dev/tcp/127.0.0.1/$1" || exit 1
    read -r -t 5 line <&9
    printf 'QUIT\r\n' >&9
    [ "${line:0:3}" = 220 ]
)
await_banner() { # a server that greets on the port $1, within ten seconds
    for _ in $(seq 100); do
        if greets "$1" 2>/dev/null; then return 0; fi
        sleep 0.1
    done
    return 1
}

now() { date +%s.%N; }

# Clock ticks used so far by the process $1 and all its descendants, those already gone included: a parent
# inherits the ticks of the children it has waited for.
tree_ticks() {
    { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v root="$1" '
        {
            pid = $1
            sub(/^.*\) /, "") # the name may hold blanks and parentheses
            parent[pid] = $2; ticks[pid] = $12 + $13 + $14 + $15
        }
        function below(pid,    steps) {
            for (steps = 0; pid > 0 && steps < 100; steps++) {
                if (pid == root) return 1
                pid = parent[pid]
            }
            return 0
        }
        END { for (pid in ticks) if (below(pid)) sum += ticks[pid]; print sum + 0 }'
}

# Milliseconds of one synced write of 2 KiB in the directory $1, a mean of 100.
sync_ms() {
    local file=$1/.sync-probe start end
    start=$(now)
    dd if=/dev/zero of="$file" bs=2048 count=100 oflag=dsync status=none
    end=$(now)
    rm -f "$file"
    awk -v a="$start" -v b="$end" 'BEGIN { printf "%.2f", (b - a) * 10 }'
}

sink_pid=
# Ends by itself after $1 messages, without a reply to the last one, which its sender may therefore keep.
start_sink() {
    local user=()
    [ "$(id -u)" -eq 0 ] && user=(-u nobody)
    smtp-sink "${user[@]}" -M "$1" "127.0.0.1:$SINK_PORT" 400 >"$BENCH_DIR/log/sink" 2>&1 &
    sink_pid=$!
    # A look at the socket table, since a connection would count as a session.
    for _ in $(seq 100); do
        grep -q "$(printf '0100007F:%04X 00000000:0000 0A' "$SINK_PORT")" /proc/net/tcp && return 0
        sleep 0.05
    done
    die "smtp-sink does not listen on port $SINK_PORT; see $BENCH_DIR/log/sink"
}
await_sink() {
    for _ in $(seq 6000); do
        kill -0 "$sink_pid" 2>/dev/null || break
        sleep 0.02
    done
    if kill -0 "$sink_pid" 2>/dev/null; then
        kill "$sink_pid" 2>/dev/null || true
        echo "load.sh: not all messages were delivered within two minutes; the rate is too high" >&2
    fi
    wait "$sink_pid" 2>/dev/null || true
    sink_pid=
}

load() { # PEER SESSIONS SIZE CONN COUNT
    local reuse=()
    [ "$4" = reuse ] && reuse=(-d)
    smtp-source -s "$2" -l "$3" -m "$5" "${reuse[@]}" -f a@bench.test -t b@example.net \
        "inet:127.0.0.1:$("port_$1")" || die "smtp-source failed against $1"
}

# One run of one case; a line "mode size sessions conn peer rate cpu sync" to the results.
measure() { # MODE SIZE SESSIONS CONN PEER
    local mode=$1 size=$2 sessions=$3 conn=$4 peer=$5 count=$MSGS pid sync ticks0 ticks1 start end held
    if [ "$sessions" -eq 1 ]; then count=$((MSGS / 2)); fi
    [ "$count" -ge "$sessions" ] || count=$sessions
    pid=$("root_pid_$peer")
    sync
    sync=$(sync_ms "$("data_$peer")")
    if [ "$mode" = relay ]; then start_sink "$count"; fi
    ticks0=$(tree_ticks "$pid")
    start=$(now)
    load "$peer" "$sessions" "$size" "$conn" "$count"
    if [ "$mode" = relay ]; then await_sink; fi
    end=$(now)
    sleep 0.3 # what trails behind the last reply belongs to the messages too
    ticks1=$(tree_ticks "$pid")
    if [ "$mode" = hold ]; then
        held=$("held_$peer")
        [ -z "$held" ] || [ "$held" -eq "$count" ] || echo "load.sh: $peer holds $held messages of $count" >&2
    fi
    awk -v a="$start" -v b="$end" -v n="$count" -v t="$((ticks1 - ticks0))" -v hz="$(getconf CLK_TCK)" \
        -v head="$mode $size $sessions $conn $peer" -v s="$sync" \
        'BEGIN { printf "%s %.1f %.4f %s\n", head, n / (b - a), t * 1000 / hz / n, s }' >>"$results"
    "empty_$peer" "$mode"
}

warm_up() { # MODE PEER: processes forked, files mapped, before anything is timed
    if [ "$1" = relay ]; then start_sink 200; fi
    load "$2" 20 1024 new 200
    if [ "$1" = relay ]; then await_sink; fi
    "empty_$2" "$1"
}

median() { # MODE SIZE SESSIONS CONN PEER COLUMN
    awk -v key="$1 $2 $3 $4 $5" -v column="$6" '$1" "$2" "$3" "$4" "$5 == key { print $column }' "$results" |
        sort -g | awk '{ value[NR] = $1 } END {
            if (NR == 0) print "-"
            else if (NR % 2) print value[(NR + 1) / 2]
            else print (value[NR / 2] + value[NR / 2 + 1]) / 2 }'
}

heading() {
    local peer
    printf '%-5s %6s %5s %-5s' mode octets sess conn
    for peer in $PEERS; do printf ' | %9s msg/s %6s ms %7s' "$peer" CPU "sync ms"; done
    for peer in $others; do printf ' | %s: rate x, CPU x' "$peer"; done
    echo
}
print_case() { # MODE SIZE SESSIONS CONN
    local peer rate cpu first_rate first_cpu
    printf '%-5s %6s %5s %-5s' "$@"
    for peer in $PEERS; do
        printf ' | %15.0f %9.3f %7.2f' "$(median "$@" "$peer" 6)" "$(median "$@" "$peer" 7)" "$(median "$@" "$peer" 8)"
    done
    first_rate=$(median "$@" "$reference" 6)
    first_cpu=$(median "$@" "$reference" 7)
    for peer in $others; do
        rate=$(median "$@" "$peer" 6)
        cpu=$(median "$@" "$peer" 7)
        awk -v r="$rate" -v fr="$first_rate" -v c="$cpu" -v fc="$first_cpu" \
            'BEGIN { printf " | %.2f, %s", r / fr, (fc > 0 ? sprintf("%.2f", c / fc) : "-") }'
    done
    echo
}

stop_all() {
    local status=$?
    trap - EXIT
    stop_sluice
    stop_postfix
    [ -z "$sink_pid" ] || kill "$sink_pid" 2>/dev/null || true
    exit "$status"
}

# ---- The run --------------------------------------------------------------------------------------------

modes=("$@")
[ "${#modes[@]}" -gt 0 ] || modes=(hold relay)
for mode in "${modes[@]}"; do
    [[ $mode = hold || $mode = relay ]] || die "mode $mode is not known; write hold, relay or nothing"
done
for peer in $PEERS; do
    case $peer in
    sluice) [ -x "$SLUICE" ] || die "no $SLUICE: run cargo build --release, or set SLUICE, or PEERS=postfix" ;;
    postfix) [ "$(id -u)" -eq 0 ] || die "a private Postfix must be started by root; or set PEERS=sluice" ;;
    *) die "peer $peer is not known; PEERS holds postfix, sluice or both" ;;
    esac
done
for tool in smtp-source smtp-sink; do
    command -v "$tool" >/dev/null || die "$tool is missing; tests/run --prepare installs it"
done
postfix_daemons=$(postconf -d -h daemon_directory 2>/dev/null || echo /usr/lib/postfix/sbin)
reference=${PEERS%% *}
others=${PEERS#"$reference"}

mkdir -p "$BENCH_DIR/log"
chmod 755 "$BENCH_DIR" "$BENCH_DIR/log"
results=$BENCH_DIR/results
: >"$results"
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "$(nproc) CPUs, $(uname -r), queues on $(df --output=fstype "$BENCH_DIR" | tail -1), median of $REPEAT runs," \
    "$MSGS messages a run (half with 1 session)"
heading
for mode in "${modes[@]}"; do
    for peer in $PEERS; do
        "start_$peer" "$mode"
        warm_up "$mode" "$peer"
    done
    for size in $SIZES; do
        for sessions in $SESSIONS; do
            for conn in $CONNS; do
                for _ in $(seq "$REPEAT"); do
                    for peer in $PEERS; do measure "$mode" "$size" "$sessions" "$conn" "$peer"; done
                done
                print_case "$mode" "$size" "$sessions" "$conn"
            done
        done
    done
    stop_sluice
    stop_postfix
done
