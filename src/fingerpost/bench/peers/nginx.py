"""nginx, with the configuration that a competent operator would write for this."""

import os

from fingerpost.bench.peers.installed import Installed, descriptors, find_program
from fingerpost.bench.peers.peer import Plan

_NGINX = """\
{user}worker_processes {workers};
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


class Nginx(Installed):
    """One master that only watches, and the workers."""

    name = program = "nginx"

    def command(self, plan: Plan) -> list[str]:
        """With its own prefix, so that nothing of an installed nginx is read or touched."""
        config = plan.folder / "nginx.conf"
        config.write_text(nginx_config(plan))
        errors = str(plan.folder / "error.log")
        program = find_program(self.program) or self.program
        return [program, "-p", str(plan.folder), "-e", errors, "-c", str(config), "-g", "daemon off;"]


def nginx_config(plan: Plan) -> str:
    """The text of nginx.conf."""
    names = {host: f"u{upstream}" for host, upstream in plan.ports_by_host.items()}
    return _NGINX.format(
        # As root, nginx would give its worker to "nobody", who may not enter this folder.
        user="user root;\n" if os.geteuid() == 0 else "",
        workers=plan.workers,
        descriptors=descriptors(),
        folder=plan.folder,
        port=plan.port,
        access_log="off" if plan.access_log is None else f"{plan.access_log} json buffer=64k flush=1s",
        map="\n".join(f"    {host} {name};" for host, name in names.items()),
        upstreams="\n".join(
            _NGINX_UPSTREAM.format(name=name, port=plan.ports_by_host[host]) for host, name in names.items()
        ),
    )
