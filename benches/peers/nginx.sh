# shellcheck shell=bash disable=SC2154
# nginx in front of the upstream: TLS 1.3, no buffering, connections to the upstream kept. Without buffering it reads into one
# buffer, of 4 KiB unless told otherwise: large answers would come in small pieces, for nearly twice the CPU. What a larger one
# costs, its memory shows. `proxy_buffers` is there because nginx refuses a first buffer larger than the rest allow.

need nginx nginx || return 0
port near
cat >"$folder/nginx.conf" <<END
daemon off;
worker_processes auto;
pid nginx.pid;
error_log stderr warn;
events {
    worker_connections 16384;
}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    tcp_nodelay on;
    keepalive_requests 1000000;
    upstream llm {
        server 127.0.0.1:$upstream;
        keepalive 512;
    }
    server {
        listen 127.0.0.1:$near ssl reuseport backlog=4096;
        ssl_certificate $folder/certificate.pem;
        ssl_certificate_key $folder/key.pem;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;
        location / {
            proxy_pass http://llm;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size 32k;
            proxy_buffers 8 32k;
            proxy_read_timeout 20m;
        }
    }
}
END
start nginx "$near" nginx -p "$folder" -c "$folder/nginx.conf"
terminator nginx "$near" "$nginx"
versions+=("$(nginx -v 2>&1 | sed 's/nginx version: //')")
configurations+=(nginx.conf)
