# shellcheck shell=bash
# What the scripts here share. `bin` is the folder of the binaries, `folder` an empty one that goes at the end, as do the processes in
# `children`.
set -euo pipefail
name=$(basename "$0")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$(cd "${1:-$root/target/release}" && pwd)
folder=$(mktemp -d)
umask 077
children=()

finish() {
    status=$?
    for child in "${children[@]}"; do
        kill "$child" 2>/dev/null || true
    done
    if ((status != 0)); then
        tail -n 20 "$folder"/*.log >&2 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT

fail() {
    echo "$name: $*" >&2
    exit 1
}

# await LOG PATTERN CHILD: prints the line of LOG that matches, within 20 s and the life of CHILD.
await() {
    for _ in {1..200}; do
        grep -sEm1 "$2" "$folder/$1.log" && return
        kill -0 "$3" 2>/dev/null || fail "$1 ended before it was ready"
        sleep 0.1
    done
    fail "$1 was not ready in time"
}

# address_of LOG CHILD: prints where a server listens that has just been started.
address_of() {
    await "$1" 'serving.* listen=' "$2" | sed -E 's/.* listen=([^ ]+).*/\1/'
}

# Starts mock-llm; its URL is in `api`.
start_mock() {
    "$bin/mock-llm" --listen 127.0.0.1:0 >"$folder/mock.log" 2>&1 &
    children+=("$!")
    api=$(await mock '^mock-llm listens on http://' "$!")
    api=${api##* }
}

# chat PROXY CREDENTIAL: an answer of the mock through the proxy, by the user's command with nothing of this machine's in its environment.
chat() {
    mkdir -p "$folder/user"
    cat >"$folder/user/config.toml" <<END
[global]
proxy = true
proxy_url = "http://$1"
proxy_key = "$2"

[models.openai]
openai_api_key = "sk-deploy"
url = "$api"
END
    (cd "$folder/user" && env -i PATH="$PATH" HOME="$folder/user" timeout 30 "$bin/xllm" -m openai 'Hello world' </dev/null)
}
