"""nginx, with the configuration that a competent operator would write for this."""

import os
from typing import ClassVar

from fingerpost.bench.needs import descriptor_limit
from fingerpost.bench.peers.installed import Installed, find_program
from fingerpost.bench.peers.peer import Plan

_NGINX = """\
{user}worker_processes {workers};
worker_rlimit_nofile {descriptors};
error_log stderr warn;
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
  map_hash_max_size {hash_size};
  map_hash_bucket_size 256;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  map $host $target {{
{map}
  }}
{upstreams}
  server {{
    listen 127.0.0.1:{port} backlog=65535 reuseport;
    if ($target = '') {{ return 404; }}
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
{buffers}      proxy_connect_timeout 60s;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }}
  }}
}}
"""

# nginx moves a tunnel's bytes through one buffer of 4 KiB each way, unless told otherwise.
_LARGE_BUFFERS = """\
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 64k;
"""

_NGINX_UPSTREAM = """\
  upstream {name} {{
    server 127.0.0.1:{port} max_fails=0;
    keepalive {idle};
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}"""

# With pools for requests to come a request needs 13 µs of CPU and not 32. But an upstream block for each of very many
# apps costs (7,000: 0.4 s to start and 157 MiB, 20,000: 4 s and 400 MiB), while going to the address in the map
# doesn't (0.1 s and 40 MiB for 20,000), and for tunnels, of which each has its connection, it makes no difference.
_MOST_POOLS = 512


class Nginx(Installed):
    """One master that only watches, and the workers."""

    name = program = "nginx"
    large_buffers: ClassVar[bool] = False

    def command(self, plan: Plan) -> list[str]:
        """With its own prefix, so that nothing of an installed nginx is read or touched; errors go where we read."""
        config = plan.folder / "nginx.conf"
        config.write_text(nginx_config(plan, large_buffers=self.large_buffers))
        program = find_program(self.program) or self.program
        return [program, "-p", str(plan.folder), "-e", "stderr", "-c", str(config), "-g", "daemon off;"]


class NginxLargeBuffers(Nginx):
    """nginx with buffers of 64 KiB: less CPU for what comes in bulk, more memory for every tunnel, idle ones too."""

    name = "nginx-64k"
    large_buffers: ClassVar[bool] = True
    only_for: ClassVar[frozenset[str]] = frozenset({"servers", "clients", "bulk", "memory"})


def nginx_config(plan: Plan, *, large_buffers: bool = False) -> str:
    """The text of nginx.conf."""
    targets = {host: f"127.0.0.1:{port}" for host, port in plan.ports_by_host.items()}
    upstreams: list[str] = []
    if len(targets) <= _MOST_POOLS:
        ports = set(plan.ports_by_host.values())
        # Each pool's memory is taken at the start; there can't be more idle connections than descriptors.
        idle = max(1, min(1024, descriptor_limit() // 2 // max(1, len(ports))))
        upstreams = [_NGINX_UPSTREAM.format(name=f"u{port}", port=port, idle=idle) for port in sorted(ports)]
        targets = {host: f"u{port}" for host, port in plan.ports_by_host.items()}
    return _NGINX.format(
        # As root, nginx would give its worker to "nobody", who may not enter this folder.
        user="user root;\n" if os.geteuid() == 0 else "",
        workers=plan.workers,
        buffers=_LARGE_BUFFERS if large_buffers else "",
        descriptors=descriptor_limit(),
        folder=plan.folder,
        port=plan.port,
        access_log="off" if plan.access_log is None else f"{plan.access_log} json buffer=64k flush=1s",
        hash_size=max(4096, 2 * len(targets)),
        map="\n".join(f"    {host} {target};" for host, target in targets.items()),
        upstreams="\n".join(upstreams),
    )
