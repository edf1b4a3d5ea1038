# shellcheck shell=bash disable=SC2154
# A pair of stunnels: plain TCP at either end, TLS 1.3 between them.

need stunnel stunnel4 || return 0
port near
port far
common='foreground = yes
syslog = no
debug = warning
pid =
sslVersionMin = TLSv1.3
ciphersuites = TLS_AES_256_GCM_SHA384
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1'
cat >"$folder/stunnel-server.conf" <<END
$common
[server]
accept = 127.0.0.1:$far
connect = 127.0.0.1:$upstream
cert = $folder/certificate.pem
key = $folder/key.pem
END
cat >"$folder/stunnel-client.conf" <<END
$common
[client]
client = yes
accept = 127.0.0.1:$near
connect = 127.0.0.1:$far
CAfile = $folder/certificate.pem
verifyPeer = yes
END
start stunnel_server "$far" stunnel "$folder/stunnel-server.conf"
start stunnel_client "$near" stunnel "$folder/stunnel-client.conf"
pair stunnel "$near" "$stunnel_server" "$stunnel_client"
versions+=("$(stunnel -version 2>&1 | sed -nE 's/^(stunnel [^ ]+) .*/\1/p')")
configurations+=(stunnel-server.conf stunnel-client.conf)
