"""HAProxy, with the configuration that a competent operator would write for this."""

from typing import ClassVar

from fingerpost.bench.needs import descriptor_limit
from fingerpost.bench.peers.installed import Installed, find_program
from fingerpost.bench.peers.peer import Plan

# One backend for all, told where to by the map. A backend for each app does nothing better, and with 7,000 of them
# HAProxy holds 117 MiB and not 17. Idle connections are kept by where they lead.
_HAPROXY = """\
global
  nbthread {threads}
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
{capture}  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-var(txn.port) req.hdr(host),lower,map_str_int({folder}/hosts.map)
  http-request return status 404 unless {{ var(txn.port) -m found }}
  default_backend apps
backend apps
  http-request set-dst ipv4(127.0.0.1)
  http-request set-dst-port var(txn.port)
  server app 0.0.0.0:0
"""

_MOST_PIPES = 64  # for splicing; as many as a worker of fingerpost has
_BESIDES = 120  # descriptors for HAProxy itself: it refuses to start with fewer than it thinks it needs

_HAPROXY_LOG = """\
  log stdout format raw daemon info
  log-format '{"time":"%T","client":"%ci","host":"%[capture.req.hdr(0)]","method":"%HM","path":"%HU",'\
'"status":%ST,"bytes":%B,"ms":%Ta,"upstream":"127.0.0.1:%[var(txn.port)]"}'
"""


class HAProxy(Installed):
    """One process that has the threads, told to move bodies and tunnels inside the kernel (splice)."""

    name = program = "haproxy"
    splice: ClassVar[bool] = True

    def command(self, plan: Plan) -> list[str]:
        """In the foreground, without a master process."""
        config = plan.folder / "haproxy.cfg"
        config.write_text(haproxy_config(plan, splice=self.splice))
        (plan.folder / "hosts.map").write_text(haproxy_map(plan))
        return [find_program(self.program) or self.program, "-db", "-f", str(config)]

    def logs_to_stdout(self) -> bool:
        """It can write its log to a descriptor, not to a file."""
        return True


class HAProxyPlain(HAProxy):
    """HAProxy without being told to splice, which is its default: a second yardstick for bulk."""

    name = "haproxy-plain"
    splice: ClassVar[bool] = False
    only_for: ClassVar[frozenset[str]] = frozenset({"bulk", "messages"})


def haproxy_config(plan: Plan, *, splice: bool) -> str:
    """The text of haproxy.cfg. Its log goes to standard output."""
    logged = plan.access_log is not None
    pipes = min(_MOST_PIPES, descriptor_limit() // 50)
    return _HAPROXY.format(
        threads=plan.workers,
        # Two descriptors for each connection and each pipe.
        connections=max(1, (descriptor_limit() - _BESIDES) // 2 - pipes),
        pipes=pipes,
        folder=plan.folder,
        port=plan.port,
        # Not "splice-auto": that needed three times the CPU in the bulk work, and no less anywhere else.
        splice="  option splice-request\n  option splice-response\n" if splice else "",
        log=_HAPROXY_LOG if logged else "",
        capture="  http-request capture req.hdr(host) len 80\n" if logged else "",
    )


def haproxy_map(plan: Plan) -> str:
    """The text of hosts.map."""
    return "".join(f"{host} {port}\n" for host, port in plan.ports_by_host.items())
