#!/usr/bin/env bash
# The relay beside nginx, HAProxy, stunnel and shadowsocks, in one run: bash benches/peers.sh [ARGUMENT OF THE BENCH…]
#
# Writes docs/benchmark.md, or what $REPORT names, from the results in target/peers/results.jsonl; into docs/ only what a commit has
# measured, so not where there are changes beside it. Peers come from the distribution (installed by root on Debian) and crates.io;
# what is missing is named and left out. PEERS="nginx stunnel" chooses some. All traffic is on loopback, on free ports, and every
# process that is started here ends with the script. With arguments, as in `--seconds 2 --rounds 1`, it is a shorter run.

# `port` and `start` set variables by name.
# shellcheck disable=SC2154,SC2016
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

report=${REPORT:-docs/benchmark.md}
wanted=${PEERS:-nginx haproxy stunnel shadowsocks-rust shadowsocks-libev}
tools=$PWD/target/peers
results=$tools/results.jsonl
mkdir -p "$tools"
# No run takes so long, even on a slow machine.
limit=2400

folder=$(mktemp -d)
children=()
finish() {
    status=$?
    trap - EXIT INT TERM
    for child in "${children[@]}"; do
        kill "$child" 2>/dev/null || true
    done
    # stunnel crashes at its end where it has thousands of threads: that is nobody's concern here.
    { wait; } 2>/dev/null
    # Not where somebody has stopped it.
    if ((status != 0 && status < 128)); then
        tail -n 5 "$folder"/*.log >&2 2>/dev/null || true
    fi
    rm -rf "$folder"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "peers: $*" >&2
    exit 1
}

# open PORT: whether something listens there.
open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# port NAME: a free port below those that the kernel gives out, into the variable NAME.
port() {
    local candidate
    for _ in {1..200}; do
        candidate=$((16384 + RANDOM % 16000))
        if [[ " ${taken:-} " != *" $candidate "* ]] && ! open "$candidate"; then
            taken="${taken:-} $candidate"
            printf -v "$1" %s "$candidate"
            return
        fi
    done
    fail 'there is no free port'
}

# start NAME PORT COMMAND…: in the background; its process goes into the variable NAME, once it listens.
start() {
    local name=$1 port=$2
    shift 2
    "$@" >"$folder/$name.log" 2>&1 </dev/null &
    children+=($!)
    printf -v "$name" %s $!
    for _ in {1..100}; do
        open "$port" && return
        kill -0 $! 2>/dev/null || fail "$name ended before it was ready"
        sleep 0.1
    done
    fail "$name was not ready in time"
}

# The routes that the bench measures, what was found of programs, and the files that configure them.
routes=()
versions=()
configurations=()

# terminator NAME PORT PROCESS: a route on which the caller speaks TLS.
terminator() {
    routes+=("{\"name\":\"$1\",\"connect\":[\"127.0.0.1:$2\"],\"certificate\":\"$folder/certificate.pem\",\"processes\":{\"server\":[$3]}}")
}

# pair NAME PORT SERVER CLIENT: a route with a program at either end.
pair() {
    routes+=("{\"name\":\"$1\",\"connect\":[\"127.0.0.1:$2\"],\"processes\":{\"server\":[$3],\"client\":[$4]}}")
}

# shadowsocks FILE MORE: a configuration in the format that both implementations read.
shadowsocks() {
    cat >"$folder/$1" <<END
{
    "server": "127.0.0.1",
    "server_port": $far,
    "password": "$secret",
    "method": "aes-256-gcm",
    "mode": "tcp_only",
    "no_delay": true,
    "timeout": 1200$2
}
END
}

# need PROGRAM PACKAGE: whether it is there, installed first where that can be done.
need() {
    command -v "$1" >/dev/null && return
    if ((EUID == 0)) && command -v apt-get >/dev/null; then
        [[ ${refreshed:-} ]] || apt-get update -qq
        refreshed=yes
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" </dev/null >/dev/null || true
        echo "peers: installed $2; where the distribution starts its services, this one now runs too" >&2
    fi
    command -v "$1" >/dev/null && return
    echo "peers: $1 is missing (package $2), so that route is left out" >&2
    return 1
}

PATH=$PATH:/usr/sbin

### What is measured, built before anything runs

# The report itself may be another than the commit's: it is what the last run wrote.
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
if [[ $(git status --porcelain -- . ":(exclude,top)docs/benchmark.md" 2>&1) ]]; then
    commit+=-dirty
fi
if [[ $commit == *-dirty && $(realpath -m "$report") == "$PWD"/docs/* ]]; then
    fail "$report says which commit was measured, and this folder is none: commit first, or name another file in REPORT"
fi
bench=$(cargo bench -p xllm-proxy --bench relay --no-run --message-format=json-render-diagnostics |
    sed -nE 's/.*"executable":"([^"]*\/relay-[^"]*)".*/\1/p')
[[ -x $bench ]] || fail 'cargo built no bench'
# After the bench, for which cargo builds a server with the features that tests need.
cargo build --release -p xllm-proxy -p xllm

# Thousands of streams, each of them two files in a proxy.
ulimit -n "$(ulimit -Hn)"

### The peers

port upstream
need openssl openssl || fail 'without a certificate there is no TLS'
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
    -keyout "$folder/key.pem" -out "$folder/certificate.pem" 2>/dev/null
cat "$folder/certificate.pem" "$folder/key.pem" >"$folder/both.pem"
secret=$(openssl rand -base64 32)

for peer in $wanted; do
    [[ -f benches/peers/$peer.sh ]] || fail "there is no benches/peers/$peer.sh"
    # shellcheck source=/dev/null
    source "benches/peers/$peer.sh"
done
(IFS=,; echo "[${routes[*]}]") >"$folder/routes.json"

### The run

arguments=(--seconds 8 --rounds 3 "$@")
load=$(cut -d' ' -f1 /proc/loadavg)
began=$(date -u +'%Y-%m-%d %H:%M UTC')
echo "peers: measuring; up to $((limit / 60)) minutes" >&2
timeout "$limit" "$bench" --json --ours ours="${bench%/deps/*}" --peers "$folder/routes.json" --upstream "127.0.0.1:$upstream" "${arguments[@]}" \
    >"$results" &
measuring=$!
children+=("$measuring")
wait "$measuring" || fail 'the bench failed, or took too long'

### The report

# Paths of this run and the key are nobody's business.
shown() {
    sed -e "s|$folder|FOLDER|g" -e "s|$secret|…|" "$folder/$1"
}

{
    cat <<END
# Benchmark: the relay beside its peers

Written by \`bash benches/peers.sh\`, figures and all; nothing here is typed by hand.

| | |
|---|---|
| date | $began, $((SECONDS / 60)) minutes |
| commit | $commit |
| machine | $(sed -nE '0,/^model name/s/^model name[^:]*: //p' /proc/cpuinfo), $(nproc) cores$(grep -q '^flags.* hypervisor' /proc/cpuinfo && echo ', virtual'), $(awk '/MemTotal/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo) |
| busy before | load average $load |
| system | $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r), $(rustc --version) |
| peers | $(printf '%s, ' "${versions[@]}" | sed 's/, $//') |
| arguments | \`${arguments[*]}\` |

Every figure is the median of the rounds, with the least and the most of them. A round goes through all routes one after the other,
and each round begins with another. What else a busy machine does meanwhile does not fall on all of them alike: the spread shows
some of that. A ratio is that of the same round, and a target is met, or is not, only if all rounds say so. *Server* is the far end
of a route, the one beside the upstream; *client* is the near one, of routes that have one; *load* is caller and upstream together,
threads of the bench; *straight* is the way from one to the other with nothing between, which *steady*, *quarter* and *short* take
once before each route.

END
    "$bench" --report "$results"
    cat <<'END'

## What is measured

The caller sends the request of a chat, and the upstream answers in HTTP/1.1 with chunked events of 200 bytes, as the OpenAI API
streams them, made beforehand: mock-llm itself would take more CPU than what is measured. Each event carries the moment of its
writing, its stream and its number; where one is missing, doubled, changed or on another's stream, the route has failed.

| measure | what is done |
|---|---|
| memory | 5,000 streams get their head and one event, and are silent; proportional set size (PSS) per stream above what the process held before; once, in fresh processes |
| steady | 400 streams, each with 50 events a second of its own beat, begun at random moments; how many of the events offered arrived, CPU per event, time from the moment that an event was due to its reading, and what is *added*: the quantile of the route less that of the straight way, measured directly before |
| quarter | the same with an event each 80 ms |
| flood | the same with 200,000 events a second in all offered; what is not taken in time is left out, and nothing said of what is added |
| saturation | 400 streams that write as fast as they are read: of each, four events at most are on their way |
| bulk | one answer of known length on one connection |
| cancel | 20 callers of silent streams close their connections at once; until the upstream sees each; ten times a round |
| first | request to first event on a connection that is there already, one call after the other, each beside one that goes straight |
| short | a whole small answer, each on a new connection to the near end: with nginx and HAProxy a TLS handshake, resumed by their tickets; with ours none, because the session is there |
| handshake | connections that are closed when the handshake is over: a whole one of TLS 1.3, or a session of ours |

A row of dashes is a route that failed, or did not bear the load. CPU is the operating system's clock of each process with all that it has started, to the nanosecond, threads that ended included.

## What this shows, and what not

- Everything is on loopback and shares the cores with caller and upstream: latencies hold waiting for a core, and there is no
  network for which a round trip would cost anything. A TLS connection costs a round trip more than is seen here; so does the first
  session of ours.
- A machine that is busy with something else makes the CPU per event *less*: events wait, and travel together. The load average is
  above; what counts is one route against another.
- The kernel's work for a packet on loopback, up to the receiver's socket, is charged to whoever sends it: a route with more hops
  pays more of it, and so does one that writes more often.
- A time counts from when an event was due, not from when it was written, so it holds how late the upstream's thread was itself
  (*load late*). A route that takes the cores from that thread makes it late; so does whatever else runs. At p99 this can be the
  larger part, and not the same on the straight way: what is added there can come out below nothing, and then tells of the machine.
  A stream more than 100 ms behind leaves events out, and they are missing in the share that arrived: where that is below 100 %, the
  times are those of the others.
- The upstream speaks plain HTTP, so that no route pays for TLS towards it.
- nginx and HAProxy have one end: the other is the caller, who ends TLS himself (under *load*). Ours, stunnel and shadowsocks have
  two, and their callers speak plain HTTP.
- Ours pads every record to one of six sizes (profile `pad`, the default, and the only one of the gateway); the others do not. nginx,
  HAProxy and ours know HTTP, check it, and can hold many callers apart; stunnel and shadowsocks forward bytes to one address.
- Ours puts the 400 streams of one gateway on two sessions, and both on one worker thread of the server, which takes 512 before
  another is made use of: of our server one core at most is seen, beside peers that use all of them. The others have a connection
  for each stream. More streams and many gateways, with more than one worker, were not measured.
- Our server logs a line for each exchange, as it does by default, and the bench reads it; the others log no requests. It shows most
  in *short* and *first*.
- At saturation, the more events of a stream may be on their way (`--window`), the more of them travel together, and the less each
  one costs; routes that copy what they find without a look at it gain most by that.
- In the flood, the upstream's thread needs the cores, too: on few of them, less is offered than meant, and it is late.
- Memory is that of the processes. The kernel's own, for sockets, is not in it, and is more where there are more connections.

## Configurations

Ours has its defaults: `xllm-proxy --allow http://127.0.0.1:PORT` and `xllm gateway`. For the 5,000 streams alone `[limits]
exchanges = 5000` is in the server's configuration, and there are two gateways, because one takes no more than 4,096 callers. The
others are meant to be what somebody sets up who knows them well.

END
    for file in "${configurations[@]}"; do
        printf '`%s`\n\n```text\n%s\n```\n\n' "$file" "$(shown "$file")"
    done
    cat <<'END'
## To repeat it

```sh
bash benches/peers.sh                                      # half an hour on two cores, and writes this file
REPORT=/tmp/short.md bash benches/peers.sh --seconds 2 --rounds 1
PEERS="nginx shadowsocks-rust" bash benches/peers.sh
cargo bench -p xllm-proxy --bench relay -- --help          # ours alone, single measures, two builds side by side
```

On Debian as root it installs nginx, HAProxy, stunnel and shadowsocks-libev, and builds shadowsocks-rust from crates.io (three
minutes, once). On a machine that does nothing else the figures are worth most.
END
} >"$folder/benchmark.md"
mv "$folder/benchmark.md" "$report"
echo "peers: wrote $report" >&2
