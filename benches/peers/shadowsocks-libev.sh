# shellcheck shell=bash disable=SC2154
# The pair of shadowsocks-libev: a tunnel to the upstream, and a server, one thread each. AES-256-GCM.

need ss-tunnel shadowsocks-libev || return 0
port near
port far
shadowsocks ss-server.json ''
shadowsocks ss-tunnel.json ',
    "local_address": "127.0.0.1",
    "local_port": '"$near"',
    "tunnel_address": "127.0.0.1:'"$upstream"'"'
start ss_server "$far" ss-server -c "$folder/ss-server.json"
start ss_tunnel "$near" ss-tunnel -c "$folder/ss-tunnel.json"
pair shadowsocks-libev "$near" "$ss_server" "$ss_tunnel"
versions+=("$(ss-server -h 2>&1 | sed -nE 's/^(shadowsocks-libev .*)/\1/p')")
configurations+=(ss-server.json ss-tunnel.json)
