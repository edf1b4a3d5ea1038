# shellcheck shell=bash disable=SC2154
# HAProxy in front of the upstream: TLS 1.3, HTTP mode, small pieces sent at once, a caller's hang-up handed on. Its buffers are as
# large as nginx's, twice what they are by default: large answers cost it some percent less, a silent stream hardly more.

need haproxy haproxy || return 0
port near
cat >"$folder/haproxy.cfg" <<END
global
    maxconn 9000
    tune.bufsize 32768
    ssl-default-bind-ciphersuites TLS_AES_256_GCM_SHA384
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    option http-no-delay
    option abortonclose
    timeout connect 5s
    timeout client 20m
    timeout server 20m
frontend callers
    bind 127.0.0.1:$near ssl crt $folder/both.pem backlog 4096
    default_backend llm
backend llm
    http-reuse safe
    server upstream 127.0.0.1:$upstream
END
start haproxy "$near" haproxy -db -f "$folder/haproxy.cfg"
terminator haproxy "$near" "$haproxy"
versions+=("$(haproxy -v | sed -nE '1s/ version ([^ ]*).*/ \1/p')")
configurations+=(haproxy.cfg)
