"""The configuration that nginx and HAProxy are measured with: as a competent operator would write it.

Both get one thread, room for every descriptor that the process may have, keep-alive on both sides, a map from
host name to upstream, WebSocket upgrades, the X-Forwarded-* fields that fingerpost sets, and no time-out that
a measurement could meet. What was chosen between by measuring is said where it is written.
"""

import os
import resource
from pathlib import Path

_NGINX = """\
{user}worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {folder}/nginx.pid;
events {{
  use epoll;
  worker_connections {descriptors};
  multi_accept on;
}}
http {{
  log_format json escape=json '{{"time":"$time_iso8601","client":"$remote_addr","host":"$host",'
    '"request":"$request","status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,'
    '"upstream":"$upstream_addr"}}';
  access_log {access_log};
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  map_hash_max_size 4096;
  map_hash_bucket_size 256;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  map $host $target {{
{map}
  }}
{upstreams}
  server {{
    listen 127.0.0.1:{port} backlog=65535 reuseport;
    location / {{
      proxy_pass http://$target;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Port $server_port;
      # Buffering stays on (off, every read is a write of one 4 KiB buffer), but never by way of the disk.
      proxy_buffering on;
      proxy_max_temp_file_size 0;
      proxy_connect_timeout 60s;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }}
  }}
}}
"""

_NGINX_UPSTREAM = """\
  upstream {name} {{
    server 127.0.0.1:{port} max_fails=0;
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}"""

_HAPROXY = """\
global
  nbthread 1
  maxconn {connections}
  maxpipes {pipes}
defaults
  mode http
  timeout connect 60s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  timeout http-keep-alive 1h
  option http-keep-alive
  http-reuse always
{splice}{log}
frontend public
  bind 127.0.0.1:{port} backlog 65535
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
{capture}  use_backend %[req.hdr(host),lower,map({folder}/hosts.map)]
{backends}
"""

_HAPROXY_PIPES = 500  # for splicing: far more than one bulk transfer needs

_HAPROXY_LOG = """\
  log stdout format raw daemon info
  log-format '{"time":"%T","client":"%ci","host":"%[capture.req.hdr(0)]","method":"%HM","path":"%HU",'\
'"status":%ST,"bytes":%B,"ms":%Ta,"upstream":"%b"}'
"""


def descriptors() -> int:
    """How many descriptors a process may have here; the leash raises the soft limit to the hard one."""
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1_000_000)


def nginx_config(folder: Path, port: int, ports_by_host: dict[str, int], access_log: Path | None) -> str:
    """The text of nginx.conf.

    Args:
        folder: Where its files go.
        port: Where it listens, on 127.0.0.1.
        ports_by_host: Host name to the port of its upstream.
        access_log: None for no access log.
    """
    names = {host: f"u{upstream}" for host, upstream in ports_by_host.items()}
    return _NGINX.format(
        # As root, nginx would give its worker to "nobody", who may not enter this folder.
        user="user root;\n" if os.geteuid() == 0 else "",
        descriptors=descriptors(),
        folder=folder,
        port=port,
        access_log="off" if access_log is None else f"{access_log} json buffer=64k flush=1s",
        map="\n".join(f"    {host} {name};" for host, name in names.items()),
        upstreams="\n".join(
            _NGINX_UPSTREAM.format(name=name, port=ports_by_host[host]) for host, name in names.items()
        ),
    )


def haproxy_config(folder: Path, port: int, ports_by_host: dict[str, int], *, logged: bool, splice: bool) -> str:
    """The text of haproxy.cfg; arguments as for `nginx_config`. Its log goes to standard output."""
    return _HAPROXY.format(
        # Two descriptors a connection and a pipe, and some for HAProxy itself: it refuses to start with less.
        connections=(descriptors() - 200) // 2 - _HAPROXY_PIPES,
        pipes=_HAPROXY_PIPES,
        folder=folder,
        port=port,
        # Not "splice-auto": that needed three times the CPU in the bulk work, and no less anywhere else.
        splice="  option splice-request\n  option splice-response\n" if splice else "",
        log=_HAPROXY_LOG if logged else "",
        capture="  http-request capture req.hdr(host) len 80\n" if logged else "",
        backends="\n".join(
            f"backend u{upstream}\n  server app 127.0.0.1:{upstream}" for upstream in ports_by_host.values()
        ),
    )


def haproxy_map(ports_by_host: dict[str, int]) -> str:
    """The text of hosts.map."""
    return "".join(f"{host} u{upstream}\n" for host, upstream in ports_by_host.items())
