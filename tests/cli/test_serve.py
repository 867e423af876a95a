"""`serve` and `check` as real processes: what they print, what they refuse, and how they end."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from child import Child, clean_environment, until
from fingerpost import Keyring
from fingerpost.label.legacy import seal_legacy
from relay import DOMAIN, FINGERPOST, Relay
from upstreams import http_echo

LEGACY_KEY = b"thisissecretkey"
Serve = Callable[..., Child]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a key file, ``keys``."""
    write_keys(tmp_path / "keys")
    return tmp_path


def write_keys(path: Path, mode: int = 0o600) -> Keyring:
    keyring = Keyring.generate()
    path.touch(mode)
    path.write_text(keyring.dump())
    path.chmod(mode)
    return keyring


@pytest.fixture
def serve(directory: Path) -> Iterator[Serve]:
    """Starts `fingerpost serve` with given flags and environment in ``directory``; stops it after the test."""
    started: list[Child] = []

    def start(*flags: str, **environment: str) -> Child:
        command = [*FINGERPOST, "serve", *flags]
        child = Child(command, environment=clean_environment() | environment, directory=directory)
        started.append(child)
        return child

    yield start
    for child in started:
        child.stop()
        assert "Traceback" not in child.output(), child.output()


def run(
    directory: Path, command: str, *flags: str, status: int, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    ended = subprocess.run(
        [*FINGERPOST, command, *flags],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=directory,
        env=clean_environment() | {"HOME": str(directory)} | environment,
        check=False,
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def error_lines(ended: "subprocess.CompletedProcess[str]") -> list[str]:
    """What was said besides the log."""
    return [line for line in ended.stderr.splitlines() if " WARNING: " not in line]


# --- ready --------------------------------------------------------------------------------------------------------


def test_port_0_prints_the_real_port_and_every_domain(serve: Serve) -> None:
    child = serve("--key-file", "keys", "--listen", "127.0.0.1:0", "--domain", "a.example", "--domain", "*.b.example")
    line = child.wait_for_line("listening on")
    match = re.fullmatch(
        r"fingerpost: listening on http://127\.0\.0\.1:(\d+) for \*\.a\.example, \*\.b\.example", line.string
    )
    assert match, line.string
    socket.create_connection(("127.0.0.1", int(match[1])), timeout=5).close()


def test_an_ipv6_listener_serves(serve: Serve) -> None:
    child = serve("--key-file", "keys", "--listen", "[::1]:0")
    port = int(child.wait_for_line(r"listening on http://\[::1\]:(\d+) for \*\.localhost$")[1])
    with socket.create_connection(("::1", port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: nothing.localhost\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 404 ")


def test_several_listeners_print_a_line_each_and_all_of_them_serve(serve: Serve) -> None:
    child = serve("--key-file", "keys", "--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", "localhost:0")
    child.wait_for(lambda: sum("listening on" in line for line in child.stdout) == 3, "three listeners")
    for line in child.stdout:
        host, port = re.findall(r"http://(\S+):(\d+) ", line)[0]
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 421 ")


def test_flags_go_before_environment_and_that_before_the_file(serve: Serve, directory: Path) -> None:
    (directory / "fingerpost.toml").write_text(
        'listen = ["127.0.0.1:1"]\ndomain = ["file.example"]\nkey_file = "keys"\nlog_level = "nonsense"\n'
    )
    child = serve(
        "--config", "fingerpost.toml", "--listen", "127.0.0.1:0",
        FINGERPOST_DOMAIN="one.example,two.example", FINGERPOST_LISTEN="127.0.0.1:2", FINGERPOST_LOG_LEVEL="warning",
    )  # fmt: skip
    line = child.wait_for_line("listening on").string
    assert line.endswith(" for *.one.example, *.two.example")
    assert not line.endswith(":2 for *.one.example, *.two.example")


def test_the_file_can_be_named_by_the_environment(serve: Serve, directory: Path) -> None:
    (directory / "here.toml").write_text('listen = ["127.0.0.1:0"]\ndomain = ["file.example"]\nkey_file = "keys"\n')
    child = serve(FINGERPOST_CONFIG="here.toml")
    assert child.wait_for_line("listening on").string.endswith(" for *.file.example")


def test_the_pid_file_holds_the_supervisors_number_while_it_runs(serve: Serve, directory: Path) -> None:
    child = serve("--key-file", "keys", "--listen", "127.0.0.1:0", "--pid-file", "pid")
    child.wait_for_line("listening on")
    assert (directory / "pid").read_text() == f"{child.process.pid}\n"

    second = run(directory, "serve", "--key-file", "keys", "--listen", "127.0.0.1:0", "--pid-file", "pid", status=2)
    assert f"process {child.process.pid} holds it" in second.stderr
    assert second.stdout == ""

    assert child.stop(signal.SIGINT) == 0
    assert not (directory / "pid").exists()


def test_a_stale_pid_file_is_replaced(serve: Serve, directory: Path) -> None:
    (directory / "pid").write_text("1\n")
    child = serve("--key-file", "keys", "--listen", "127.0.0.1:0", "--pid-file", "pid")
    child.wait_for_line("listening on")
    assert (directory / "pid").read_text() == f"{child.process.pid}\n"


def test_a_key_file_that_others_may_read_is_a_warning(serve: Serve, directory: Path) -> None:
    (directory / "keys").chmod(0o644)
    child = serve("--key-file", "keys", "--listen", "127.0.0.1:0")
    child.wait_for_line("listening on")
    child.wait_for_line(r"WARNING: key_file: keys: others than its owner may read it; chmod 600 it")


def test_the_access_log_goes_to_a_file_for_its_owner_and_group(serve: Serve, directory: Path) -> None:
    child = serve("--key-file", "keys", "--listen", "127.0.0.1:0", "--access-log", "log")
    port = int(child.wait_for_line(r"listening on http://127\.0\.0\.1:(\d+)")[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /?secret HTTP/1.1\r\nHost: nothing.localhost\r\n\r\n")
        client.recv(1000)
    until(lambda: (directory / "log").read_text().endswith("}\n"), "the line")
    record = json.loads((directory / "log").read_text())
    assert (record["status"], record["path"]) == (404, "/")
    assert (directory / "log").stat().st_mode & 0o007 == 0


def test_no_key_and_no_password_shows_in_any_output_or_command_line(serve: Serve, directory: Path) -> None:
    secret = (directory / "keys").read_text().split()[1]
    child = serve("--key-file", "keys", "--listen", "127.0.0.1:0", "--log-level", "debug")
    child.wait_for_line("listening on")
    child.wait_for_line("counters")
    assert child.stop() == 0
    assert secret not in child.output()


# --- refused ------------------------------------------------------------------------------------------------------


REFUSED = [
    # flags, key, value, a part of the accepted form
    (("--listen", "8080"), "listen", "8080", "ADDR:PORT"),
    (("--listen", "127.0.0.1:99999"), "listen", "127.0.0.1:99999", "a port from 0 to 65535"),
    (("--listen", "::1:80"), "listen", "::1:80", "[::1]:8080"),
    (("--listen", "example.com:80"), "listen", "example.com:80", "an IP address or localhost"),
    (("--listen", "192.0.2.1:0"), "listen", "192.0.2.1:0", "an address of this machine"),
    (("--listen", "127.0.0.1:7", "--listen", "localhost:7"), "listen", "127.0.0.1:7", "each entry once"),
    (("--domain", "10.0.0.1"), "domain", "10.0.0.1", "a DNS name such as apps.example.com"),
    (("--domain", "a b"), "domain", "a b", "a DNS name such as apps.example.com"),
    (("--public-url", "http://other.example"), "public_url", "http://other.example", "a URL of a served domain"),
    (("--key-file", "nowhere"), "key_file", "nowhere", "make one: fingerpost keygen --key-file nowhere"),
    (("--key-file", "."), "key_file", ".", "a readable file (Is a directory)"),
    (("--key-file", "empty"), "key_file", "empty", "at least one key"),
    (("--key-file", "garbage"), "key_file", "garbage, line 1", "64 random bytes as base64url or hex"),
    (("--key-file", "binary"), "key_file", "binary", "a text file"),
    (("--legacy-key-file", "nowhere"), "legacy_key_file", "nowhere", "a file whose text is the key"),
    (("--legacy-key-file", "empty"), "legacy_key_file", "empty", "4 to 56 bytes"),
    (("--legacy-key-file", "binary"), "legacy_key_file", "binary", "4 to 56 bytes"),
    (("--allow", "everything"), "allow", "everything", "CIDR[:PORTS]"),
    (("--allow", "10.0.0.0/8:0"), "allow", "10.0.0.0/8:0", "ports from 1 to 65535"),
    (("--upstream-ca", "nowhere"), "upstream_ca", "nowhere", "a PEM file of certificates"),
    (("--upstream-ca", "garbage"), "upstream_ca", "garbage", "a PEM file of certificates"),
    (("--trusted-proxies", "10.0.0.1/8"), "trusted_proxies", "10.0.0.1/8", "10.0.0.0/8 or 10.0.0.1"),
    (("--cdn-loop-id", "a,b"), "cdn_loop_id", "a,b", "a token"),
    (("--workers", "0"), "workers", "0", "a whole number from 1 to 256"),
    (("--access-log", "/nowhere/log"), "access_log", "/nowhere/log", "there is no directory /nowhere"),
    (("--access-log", "."), "access_log", ".", "it is a directory"),
    (("--pid-file", "nowhere/pid"), "pid_file", "nowhere/pid", "there is no directory nowhere"),
    (("--log-level", "loud"), "log_level", "loud", "debug, info, warning or error"),
    (("--max-head-bytes", "10"), "max_head_bytes", "10", "a whole number from 1024 to 262144"),
    (("--max-connections", "many"), "max_connections", "many", "a whole number from 1 to 1000000"),
    (("--head-timeout-s", "0"), "head_timeout_s", "0", "a number of seconds from 0.01 to 86400"),
    (("--drain-timeout-s", "inf"), "drain_timeout_s", "inf", "a number of seconds from 0 to 86400"),
    (("--config", "nowhere"), "config", "nowhere", "a readable TOML file"),
    (("--config", "garbage"), "config", "garbage", "a TOML file"),
]


@pytest.fixture
def odd_files(directory: Path) -> None:
    (directory / "empty").touch(0o600)
    (directory / "garbage").write_text("= what is this\n")
    (directory / "binary").write_bytes(b"\xff\xfe" * 40)


@pytest.mark.usefixtures("odd_files")
@pytest.mark.parametrize(("flags", "key", "value", "accepted"), REFUSED, ids=lambda part: str(part)[:40])
def test_serve_refuses_with_one_line_that_names_key_value_and_accepted_form(
    directory: Path, flags: tuple[str, ...], key: str, value: str, accepted: str
) -> None:
    ended = run(directory, "serve", *flags, status=2, FINGERPOST_KEY_FILE="keys", FINGERPOST_LISTEN="127.0.0.1:0")
    assert ended.stdout == ""
    (line,) = error_lines(ended)
    assert line.startswith(f"fingerpost: {key}")
    assert value in line
    assert f"expected {accepted}" in line or accepted in line.partition("expected ")[2]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--nonsense",), "No such option '--nonsense'"),
        (("--listen",), "Option '--listen' requires an argument"),
        (("extra",), "unexpected extra argument (extra)"),
    ],
)
def test_flags_that_do_not_exist_are_named(directory: Path, flags: tuple[str, ...], said: str) -> None:
    ended = run(directory, "serve", *flags, status=2)
    assert said in ended.stderr


def test_a_port_in_use_is_named_with_what_to_do(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        ended = run(directory, "serve", "--key-file", "keys", "--listen", "127.0.0.1:0", "--listen", address, status=2)
    (line,) = error_lines(ended)
    assert line.startswith(f"fingerpost: listen: {address}: expected an address that nothing else listens on")
    assert ended.stdout == ""


def test_a_port_that_only_root_may_bind_is_named_with_what_to_do(directory: Path) -> None:
    from_here_on_free = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if not from_here_on_free:
        return  # here nobody needs a privilege for any port
    port = from_here_on_free - 1
    ended = run_unprivileged(directory, "serve", "--key-file", "keys", "--listen", f"127.0.0.1:{port}")
    assert ended.returncode == 2
    (line,) = error_lines(ended)
    assert "expected an address this user may bind" in line
    assert "CAP_NET_BIND_SERVICE" in line


def test_a_second_proxy_can_not_share_the_port_of_the_first(relay: Relay, directory: Path) -> None:
    address = f"127.0.0.1:{relay.port}"
    ended = run(directory, "serve", "--key-file", "keys", "--listen", address, status=2)
    assert f"listen: {address}: expected" in ended.stderr


def test_every_problem_is_reported_at_once_and_says_where_it_stands(directory: Path) -> None:
    (directory / "bad.toml").write_text('domain = "one.example"\nmax_feilds = 3\nkey = "sesame"\n')
    ended = run(
        directory, "serve", "--config", "bad.toml", "--listen", "nowhere", status=2, FINGERPOST_LOG_LEVEL="loud"
    )
    lines = error_lines(ended)
    assert len(lines) == 5
    text = "\n".join(lines)
    for part in ("domain (bad.toml)", "max_feilds", "did you mean max_fields?", "listen (--listen): nowhere"):
        assert part in text
    assert "log_level (FINGERPOST_LOG_LEVEL): loud" in text
    assert "sesame" not in text


def test_no_key_file_at_the_default_place_says_how_to_make_one(directory: Path) -> None:
    home = directory / "home"
    home.mkdir()
    ended = run(directory, "serve", "--listen", "127.0.0.1:0", status=2, HOME=str(home), XDG_CONFIG_HOME="")
    (line,) = error_lines(ended)
    assert "fingerpost keygen --key-file" in line
    assert str(home) in line


def test_an_unreadable_key_file_is_named(directory: Path) -> None:
    """Root, as which tests may run, is refused by no mode: so the command runs without its privileges."""
    (directory / "keys").chmod(0)
    ended = run_unprivileged(directory, "serve", "--key-file", "keys", "--listen", "127.0.0.1:0")
    assert ended.returncode == 2
    assert "key_file (--key-file): keys: expected a readable file (Permission denied)" in ended.stderr


def run_unprivileged(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run without what lets root read every file and bind every port."""
    without = "--bounding-set=-dac_override,-dac_read_search,-net_bind_service"
    prefix = ["setpriv", without] if os.geteuid() == 0 else []
    return subprocess.run(
        [*prefix, *FINGERPOST, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=directory,
        env=clean_environment(),
        check=False,
    )


# --- check --------------------------------------------------------------------------------------------------------


def test_check_prints_every_setting_with_its_value_and_source(directory: Path) -> None:
    (directory / "fingerpost.toml").write_text('domain = ["apps.example.com"]\n')
    ended = run(
        directory, "check", "--config", "fingerpost.toml", "--listen", "127.0.0.1:0", status=0,
        FINGERPOST_KEY_FILE="keys", COLUMNS="120",
    )  # fmt: skip
    rows = {words[0]: words[1:] for line in ended.stdout.splitlines() if (words := line.strip("│ ").split("│"))}
    rows = {name.strip(): [cell.strip() for cell in cells] for name, cells in rows.items()}
    assert rows["domain"] == ["apps.example.com", "file fingerpost.toml"]
    assert rows["listen"] == ["127.0.0.1:0", "flag --listen"]
    assert rows["key_file"] == ["keys", "env FINGERPOST_KEY_FILE"]
    assert rows["tunnel_idle_timeout_s"] == ["300", "default"]


def test_check_as_json_is_complete(directory: Path) -> None:
    ended = run(directory, "check", "--json", "--key-file", "keys", "--listen", "127.0.0.1:0", status=0)
    report = json.loads(ended.stdout)
    assert report["ok"] is True
    assert report["settings"]["listen"] == {"value": ["127.0.0.1:0"], "from": "flag", "place": "--listen"}
    assert report["settings"]["max_fields"] == {"value": 128, "from": "default", "place": None}
    assert set(report["settings"]) >= {"domain", "allow", "access_log", "drain_timeout_s"}


def test_check_refuses_what_serve_would_refuse_and_tells_all_of_it_as_json(directory: Path) -> None:
    flags = ("--key-file", "nowhere", "--access-log", "/nowhere/log", "--listen", "127.0.0.1:0")
    plain = run(directory, "check", *flags, status=2)
    assert len(error_lines(plain)) == 2
    report = json.loads(run(directory, "check", "--json", *flags, status=2).stdout)
    assert report["ok"] is False
    problems = {problem["key"]: problem for problem in report["problems"]}
    assert set(problems) == {"key_file", "access_log"}
    assert problems["access_log"]["value"] == "/nowhere/log"
    assert problems["access_log"]["from"] == "--access-log"
    assert "there is no directory" in problems["access_log"]["expected"]


def test_check_warns_of_a_port_in_use_and_a_readable_key_but_is_content(directory: Path) -> None:
    (directory / "keys").chmod(0o640)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        ended = run(directory, "check", "--key-file", "keys", "--listen", address, status=0)
    warnings = [line for line in ended.stderr.splitlines() if line.startswith("warning: ")]
    assert any(address in line for line in warnings)
    assert any("chmod 600" in line for line in warnings)


def test_check_leaves_nothing_behind(directory: Path) -> None:
    before = set(os.listdir(directory))
    flags = ("--access-log", "log", "--pid-file", "pid", "--listen", "127.0.0.1:0")
    run(directory, "check", "--key-file", "keys", *flags, status=0)
    assert set(os.listdir(directory)) == before


# --- legacy labels ------------------------------------------------------------------------------------------------


@pytest.fixture
def legacy_relay(new_relay: Callable[..., Relay], tmp_path: Path) -> Relay:
    key_file = tmp_path / "legacy"
    key_file.touch(0o600)
    key_file.write_bytes(LEGACY_KEY + b"\n")
    return new_relay("--legacy-key-file", str(key_file))


def test_a_legacy_label_leads_to_its_app(legacy_relay: Relay) -> None:
    with http_echo() as target:
        url = f"http://{seal_legacy(target, LEGACY_KEY)}.{DOMAIN}:{legacy_relay.port}/seen"
        response = legacy_relay.http().get(url)
        assert response.status_code == 200
        assert response.json()["path"] == "/seen"
        everywhere = target.replace("127.0.0.1", "0.0.0.0")
        url = f"http://{seal_legacy(everywhere, LEGACY_KEY)}.{DOMAIN}:{legacy_relay.port}/seen"
        assert legacy_relay.http().get(url.upper().replace("HTTP", "http").replace("SEEN", "seen")).status_code == 200
        sealed = legacy_relay.http().get(legacy_relay.url(target, "/seen"))
        assert sealed.status_code == 200
    record = legacy_relay.wait_for_record(lambda record: record["label_kind"] == "legacy")
    assert record["target"] == f"http://{target}"


@pytest.mark.parametrize(
    ("label", "target"),
    [
        ("3fafc4c50e97eba68130981c7e0fe481", "http://127.0.0.1:13001"),
        ("7a4fe220e12bb0c312a47e3885990a10", "http://0.0.0.0:8080"),
    ],
)
def test_labels_of_the_predecessor_open(legacy_relay: Relay, label: str, target: str) -> None:
    legacy_relay.http().head(f"http://{label}.{DOMAIN}:{legacy_relay.port}/")  # whatever listens there, or nothing
    record = legacy_relay.wait_for_record(lambda record: record["label_kind"] == "legacy")
    assert record["target"] == target


def test_legacy_labels_pass_the_destination_policy(legacy_relay: Relay) -> None:
    label = seal_legacy("169.254.169.254:80", LEGACY_KEY)
    assert legacy_relay.http().get(f"http://{label}.{DOMAIN}:{legacy_relay.port}/").status_code == 403


def test_without_the_flag_a_legacy_label_is_unknown(relay: Relay) -> None:
    with http_echo() as target:
        label = seal_legacy(target, LEGACY_KEY)
        assert relay.http().get(f"http://{label}.{DOMAIN}:{relay.port}/seen").status_code == 404


def test_a_legacy_key_alone_needs_no_key_file(serve: Serve, directory: Path) -> None:
    (directory / "legacy").write_bytes(LEGACY_KEY)
    home = directory / "home"
    home.mkdir()
    child = serve("--legacy-key-file", "legacy", "--listen", "127.0.0.1:0", HOME=str(home), XDG_CONFIG_HOME=str(home))
    port = int(child.wait_for_line(r"listening on http://127\.0\.0\.1:(\d+)")[1])
    with http_echo() as target, socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        host = f"{seal_legacy(target, LEGACY_KEY)}.localhost".encode()
        client.sendall(b"GET /seen HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
