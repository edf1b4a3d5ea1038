# shellcheck shell=bash disable=SC2154
# The pair of shadowsocks-rust: a local end that forwards to the upstream, and a server. AES-256-GCM.

shadowsocks=1.25.0
# Is there in this version, or can be built.
if [[ $("$tools/bin/ssserver" --version 2>/dev/null) != "shadowsocks $shadowsocks" ]]; then
    cargo install shadowsocks-rust --version "$shadowsocks" --locked --no-default-features \
        --features logging,local,local-tunnel,server,multi-threaded,aead-cipher \
        --bin sslocal --bin ssserver --root "$tools" --target-dir "$tools/build" || {
        echo 'peers: shadowsocks-rust cannot be built, so that route is left out' >&2
        return 0
    }
fi

port near
port far
shadowsocks ssserver.json ''
shadowsocks sslocal.json ',
    "locals": [{
        "protocol": "tunnel",
        "local_address": "127.0.0.1",
        "local_port": '"$near"',
        "forward_address": "127.0.0.1",
        "forward_port": '"$upstream"'
    }]'
start ssserver "$far" "$tools/bin/ssserver" -c "$folder/ssserver.json"
start sslocal "$near" "$tools/bin/sslocal" -c "$folder/sslocal.json"
pair shadowsocks-rust "$near" "$ssserver" "$sslocal"
versions+=("shadowsocks-rust $shadowsocks")
configurations+=(ssserver.json sslocal.json)
