import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fingerpost import __version__
from fingerpost.cli import COMMANDS, main
from fingerpost.label.expiry import EPOCH_S
from fingerpost.label.keyring import Keyring, create_key_file
from fingerpost.label.sealed import open_label, seal

DOMAIN = "apps.example.com"


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key file at the default place, which is below the test's own folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "fingerpost" / "keys"
    create_key_file(path)
    return path


def run(*arguments: str | Path, status: int = 0, stdin: str = "") -> Result:
    result = CliRunner().invoke(main, list(map(str, arguments)), input=stdin, prog_name="fingerpost")
    assert result.exit_code == status, result.output
    return result


def in_a_process(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fingerpost", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_keygen_writes_a_key_that_only_the_owner_reads_and_prints_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    result = run("keygen")
    path = tmp_path / "fingerpost" / "keys"
    assert result.stdout == "k0\n"
    assert str(path) in result.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().split()[1] not in result.output
    assert Keyring.load(path).newest_id == 0


def test_keygen_refuses_to_overwrite_and_says_how_to_add(key_file: Path) -> None:
    before = key_file.read_bytes()
    result = run("keygen", status=2)
    assert result.stderr.startswith(f"fingerpost: key_file: {key_file}: expected ")
    assert "--rotate" in result.stderr
    assert result.stderr.count("\n") == 1
    assert key_file.read_bytes() == before


def test_keygen_rotates(key_file: Path) -> None:
    url = run("seal", "a:1").stdout
    assert json.loads(run("keygen", "--rotate", "--json").stdout) == {"key_id": "k1", "key_file": str(key_file)}
    assert [key_id for key_id, _ in Keyring.load(key_file).keys] == [1, 0]
    assert "k0" in run("open", url).stdout
    assert "k1" in run("open", run("seal", "a:1").stdout).stdout


def test_keygen_rotates_no_missing_file(tmp_path: Path) -> None:
    assert "fingerpost keygen" in run("keygen", "--rotate", "--key-file", tmp_path / "keys", status=2).stderr


def test_seal_prints_the_url_of_a_proxy_on_this_machine(key_file: Path) -> None:
    url = run("seal", "10.0.3.17:8888").stdout
    label = seal("10.0.3.17:8888", Keyring.load(key_file), domain="localhost")
    assert url == f"http://{label}.localhost:8080\n"


@pytest.mark.usefixtures("key_file")
def test_seal_prints_the_url_of_a_domain() -> None:
    assert re.fullmatch(
        r"https://[a-z2-7]{44}\.apps\.example\.com\n", run("seal", "10.0.0.1:1", "--domain", DOMAIN).stdout
    )
    url = run("seal", "10.0.0.1:1", "--domain", DOMAIN, "--public-url", f"http://{DOMAIN}:81").stdout
    assert url.startswith("http://")
    assert url.endswith(f".{DOMAIN}:81\n")


def test_seal_prints_the_label_alone(key_file: Path) -> None:
    label = run("seal", "tcp://[fd00::1]:22", "--label-only", "--ttl", "8h").stdout.strip()
    opened = open_label(label, Keyring.load(key_file), domain="localhost")
    assert str(opened.target) == "tcp://[fd00::1]:22"
    assert opened.expires_at is not None


def test_seal_prints_json(key_file: Path) -> None:
    facts = json.loads(run("seal", "A:1", "--domain", DOMAIN, "--json").stdout)
    label = seal("a:1", Keyring.load(key_file), domain=DOMAIN)
    assert facts == {
        "url": f"https://{label}.{DOMAIN}",
        "label": label,
        "domain": DOMAIN,
        "target": "http://a:1",
        "expires_at": None,
        "key_id": "k0",
    }


@pytest.mark.usefixtures("key_file")
def test_seal_takes_several_targets_and_standard_input() -> None:
    result = run("seal", "a:1", "-", "b:2", "--label-only", stdin="c:3\n\n  d:4\n")
    assert result.stdout == "".join(
        run("seal", target, "--label-only").stdout for target in ("a:1", "c:3", "d:4", "b:2")
    )


@pytest.mark.usefixtures("key_file")
@pytest.mark.parametrize(
    ("arguments", "stderr"),
    [
        (["nonsense"], "fingerpost: 'nonsense': no port; expected [scheme://]host:port"),
        (["a" * 17 + ":1"], "room for a host name of 16 characters"),
        (["a:1", "--ttl", "soon"], "fingerpost: ttl: soon: expected a time such as 90s"),
        (["a:1", "--domain", "10.0.0.1"], "fingerpost: domain: 10.0.0.1: expected a DNS name"),
        (["a:1", "--public-url", "x"], "fingerpost: public_url: x: expected http[s]://"),
        (["a:1", "--key-file", "/nowhere/keys"], "fingerpost: key_file: /nowhere/keys: expected an existing key file"),
        (["a:1", "--config", "/nowhere/toml"], "fingerpost: config: /nowhere/toml: expected a readable TOML file"),
    ],
)
def test_seal_names_a_problem_in_one_line(arguments: list[str], stderr: str) -> None:
    result = run("seal", *arguments, status=2)
    assert stderr in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.usefixtures("key_file")
def test_open_takes_a_label_a_host_and_a_url() -> None:
    label = run("seal", "10.0.3.17:8888", "--domain", DOMAIN, "--label-only").stdout.strip()
    told = "target   http://10.0.3.17:8888\nexpires  never\nkey      k0\ndomain   apps.example.com\n"
    assert run("open", label, "--domain", DOMAIN).stdout == told
    for text in (f"{label}.{DOMAIN}", f"{label.upper()}.{DOMAIN}:443", f"https://{label}.{DOMAIN}./lab?a=b#c"):
        assert run("open", text).stdout == told
    assert run("open", "-", stdin=f"{label}.{DOMAIN}\n").stdout == told


@pytest.mark.usefixtures("key_file")
def test_open_prints_json() -> None:
    url = run("seal", "a:1", "--domain", DOMAIN, "--ttl", "1h").stdout
    facts = json.loads(run("open", url, "--json").stdout)
    assert facts.pop("expires_at") % 60 == 0
    assert facts == {"target": "http://a:1", "expired": False, "key_id": "k0", "domain": DOMAIN}


def test_open_tells_what_an_expired_label_said_and_exits_with_1(key_file: Path) -> None:
    label = seal("a:1", Keyring.load(key_file), domain="localhost", expires_at=EPOCH_S + 60)
    result = run("open", label, status=1)
    assert "target   http://a:1\n" in result.stdout
    assert "expires  2024-01-01 00:01 UTC (expired)\n" in result.stdout


@pytest.mark.usefixtures("key_file")
def test_open_says_why_a_label_does_not_open() -> None:
    label = run("seal", "a:1", "--label-only").stdout.strip()
    result = run("open", label, "--domain", DOMAIN, status=2)
    assert result.stderr == f"fingerpost: {label}: not sealed with key k0 for this domain ({DOMAIN})\n"
    assert run("open", "nonsense", status=2).stderr.startswith("fingerpost: nonsense: not base32")


def test_settings_come_from_flags_then_environment_then_file_then_defaults(
    tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "fingerpost.toml"
    config.write_text(f'domain = ["file.example"]\nkey_file = "{key_file}"\npublic_url = "http://file.example:81"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    assert "/nowhere" in run("seal", "a:1", status=2).stderr
    assert run("seal", "a:1", "--config", config).stdout.endswith(".file.example:81\n")
    monkeypatch.setenv("FINGERPOST_CONFIG", str(config))
    assert run("seal", "a:1").stdout.endswith(".file.example:81\n")
    monkeypatch.setenv("FINGERPOST_DOMAIN", "env.example,other.example")
    monkeypatch.setenv("FINGERPOST_PUBLIC_URL", "http://env.example:82")
    assert run("seal", "a:1").stdout.endswith(".env.example:82\n")
    flags = ("--domain", "flag.example", "--public-url", "https://flag.example")
    assert run("seal", "a:1", *flags).stdout.endswith(".flag.example\n")
    monkeypatch.setenv("FINGERPOST_KEY_FILE", "/nowhere/else")
    assert "/nowhere/else" in run("seal", "a:1", status=2).stderr
    assert run("seal", "a:1", "--key-file", key_file).stdout


@pytest.mark.usefixtures("key_file")
def test_under_localhost_the_port_is_that_of_the_first_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINGERPOST_LISTEN", "[::1]:9000,127.0.0.1:9001")
    assert run("seal", "a:1").stdout.endswith(".localhost:9000\n")
    assert run("seal", "a:1", "--domain", "dev.localhost").stdout.endswith(".dev.localhost:9000\n")


@pytest.mark.parametrize("text", ["domain = ", "domain = 1", "\xff"])
def test_a_config_file_of_another_form_is_named(tmp_path: Path, text: str) -> None:
    config = tmp_path / "fingerpost.toml"
    config.write_bytes(text.encode("latin-1"))
    result = run("seal", "a:1", "--config", config, status=2)
    assert str(config) in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_lists_the_commands_without_importing_them() -> None:
    code = "import sys; from fingerpost.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    for name, source in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(source.help)}$", done.stdout, re.MULTILINE)
    loaded = set(done.stdout.split())
    assert not loaded & ({source.module for source in COMMANDS.values()} | {"cryptography", "pydantic", "rich"})


@pytest.mark.usefixtures("key_file")
def test_sealing_imports_no_framework() -> None:
    code = "import sys; from fingerpost.cli import main\ntry: main(['seal', 'a:1'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "fingerpost.label.sealed" in loaded
    assert not loaded & {"pydantic", "rich", "ssl", "asyncio", "socket", "fingerpost.config", "tomllib"}


@pytest.mark.parametrize("name", ["keygen", "seal", "open"])
def test_every_command_has_help_with_examples(name: str) -> None:
    text = run(name, "--help").stdout
    assert f"\n    fingerpost {name} " in text or f"\n    fingerpost {name}\n" in text
    assert "\b" not in text


def test_python_m_is_the_same_program() -> None:
    assert in_a_process("--version").stdout == f"fingerpost {__version__}\n"
    failed = in_a_process("seal", "nonsense", "--key-file", os.devnull)
    assert failed.returncode == 2
    assert failed.stderr == (
        f"fingerpost: key_file: {os.devnull}: expected at least one key, each an id from k0 to k31, a space, "
        "and 64 random bytes as base64url or hex\n"
    )


def test_an_unknown_command_is_a_usage_error() -> None:
    assert "No such command 'sael'" in run("sael", status=2).stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    assert "_FINGERPOST_COMPLETE" in run("completion", shell).stdout


def test_completion_completes_commands_and_flags() -> None:
    def completed(words: str, index: int) -> list[str]:
        variables = {"_FINGERPOST_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(index)}
        done = subprocess.run(
            [sys.executable, "-m", "fingerpost"],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("fingerpost se", 1) == ["serve", "seal"]
    assert completed("fingerpost seal --l", 2) == ["--label-only"]
