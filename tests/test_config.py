"""Settings: precedence, forms, and what is said about mistakes."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from fingerpost.config import Configuration, catalogue, load
from fingerpost.errors import ConfigError, ConfigProblemsError


def read(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Configuration:
    return load(flags or {}, environ or {}, str(file) if file else None)


def problems(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> list[ConfigError]:
    with pytest.raises(ConfigProblemsError) as caught:
        read(flags, environ, file)
    assert str(caught.value).splitlines() == [str(error) for error in caught.value.errors]
    return list(caught.value.errors)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fingerpost.toml"


def test_flags_go_before_environment_before_file_before_defaults(file: Path) -> None:
    file.write_text("max_fields = 10\nmax_head_bytes = 2000\npool_max_idle = 30\n")
    environ = {"FINGERPOST_MAX_FIELDS": "11", "FINGERPOST_MAX_HEAD_BYTES": "2001"}
    settings, origins = read({"max_fields": "12"}, environ, file)
    assert (settings.max_fields, settings.max_head_bytes, settings.pool_max_idle) == (12, 2001, 30)
    assert settings.max_connections == 16384
    kinds = [origins[n].kind for n in ("max_fields", "max_head_bytes", "pool_max_idle", "max_connections")]
    assert kinds == ["flag", "env", "file", "default"]
    assert origins["max_fields"].place == "--max-fields"
    assert origins["max_head_bytes"].place == "FINGERPOST_MAX_HEAD_BYTES"
    assert origins["pool_max_idle"].place == str(file)


def test_every_setting_can_come_from_flag_environment_and_file(file: Path) -> None:
    valid: dict[str, object] = {
        "public_url": "http://localhost",
        "listen": ["127.0.0.1:1"],
        "domain": ["localhost"],
    }
    valid |= {
        "allow": ["10.0.0.0/8"],
        "trusted_proxies": ["10.0.0.1/32"],
        "log_level": "debug",
        "cdn_loop_id": "x",
        "user": "root",
    }
    for setting in catalogue().values():
        default = 3 if setting.name == "workers" else 2048
        value = valid.get(setting.name, f"/{setting.name}" if "FILE" in setting.metavar else default)
        words = [str(word) for word in value] if isinstance(value, list) else str(value)
        flag = tuple(words) if isinstance(words, list) else words
        in_environment = ",".join(words) if isinstance(words, list) else words
        file.write_text(f"{setting.name} = {value!r}\n")
        seen = [
            getattr(read({setting.name: flag}).settings, setting.name),
            getattr(
                read(environ={setting.environment: in_environment}).settings,
                setting.name,
            ),
            getattr(read(file=file).settings, setting.name),
        ]
        expected = tuple(value) if isinstance(value, list) else value
        assert seen == [expected] * 3, setting.name


def test_a_list_in_the_environment_is_separated_by_commas_and_replaces_the_default() -> None:
    settings = read(environ={"FINGERPOST_DOMAIN": "a.example, b.example,", "FINGERPOST_ALLOW": "10.0.0.0/8"}).settings
    assert settings.domain == ("a.example", "b.example")
    assert settings.allow == ("10.0.0.0/8",)


def test_ports_of_a_destination_keep_their_commas_in_the_environment() -> None:
    settings = read(environ={"FINGERPOST_ALLOW": "10.0.0.0/8:80,443,8000-8999,fd00::/8"}).settings
    assert settings.allow == ("10.0.0.0/8:80,443,8000-8999", "fd00::/8")


def test_an_empty_variable_counts_as_not_set() -> None:
    settings, origins = read(environ={"FINGERPOST_LISTEN": "", "FINGERPOST_ACCESS_LOG": ""})
    assert settings.listen == ("127.0.0.1:8080",)
    assert settings.access_log is None
    assert origins["listen"].kind == "default"


def test_the_file_can_be_named_by_the_environment(file: Path) -> None:
    file.write_text('domain = ["from.example"]\n')
    assert read(environ={"FINGERPOST_CONFIG": str(file)}).settings.domain == ("from.example",)


@pytest.mark.parametrize(
    ("name", "text", "canonical"),
    [
        ("listen", "localhost:80", "127.0.0.1:80"),
        ("listen", "[0:0::1]:8080", "[::1]:8080"),
        ("listen", "0.0.0.0:0", "0.0.0.0:0"),
        ("domain", "*.Apps.Example.COM.", "apps.example.com"),
        ("domain", ".apps.example.com", "apps.example.com"),
        ("trusted_proxies", "10.1.2.3", "10.1.2.3/32"),
        ("trusted_proxies", "FD00::/8", "fd00::/8"),
    ],
)
def test_list_entries_are_brought_into_canonical_form(name: str, text: str, canonical: str) -> None:
    assert getattr(read({name: (text,)}).settings, name) == (canonical,)


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("listen", ("8080",), "ADDR:PORT"),
        ("listen", ("::1:8080",), "ADDR:PORT"),
        ("listen", ("[127.0.0.1]:8080",), "ADDR:PORT"),
        ("listen", ("example.com:80",), "ADDR:PORT"),
        ("listen", ("127.0.0.1:65536",), "a port from 0 to 65535"),
        ("listen", ("127.0.0.1:80", "localhost:80"), "127.0.0.1:80 is there twice"),
        ("domain", ("10.0.0.1",), "an IP address has no subdomains"),
        ("domain", ("bücher.example",), "xn--"),
        ("domain", ("a" * 63 + ("." + "a" * 63) * 2,), "so that a label fits in front"),
        ("trusted_proxies", ("10.0.0.1/8",), "10.0.0.0/8 or 10.0.0.1"),
        ("trusted_proxies", ("example.com",), "an address or a network"),
        ("allow", ("everything",), "CIDR"),
        ("public_url", "https://localhost/path", "http:// or https://"),
        ("public_url", "localhost", "http:// or https://"),
        ("public_url", "https://other.example", "a URL of a served domain (localhost)"),
        ("cdn_loop_id", "two words", "RFC 9110"),
        ("workers", "0", "a whole number from 1 to 256"),
        ("max_head_bytes", "1023", "a whole number from 1024 to 262144"),
        ("max_head_bytes", "64k", "a whole number from 1024 to 262144"),
        ("head_timeout_s", "nan", "a number of seconds from 0.01 to 86400"),
        ("head_timeout_s", "15s", "a number of seconds from 0.01 to 86400"),
        ("log_level", "loud", "debug, info, warning or error"),
    ],
)
def test_a_problem_names_key_value_and_accepted_form(name: str, value: object, accepted: str) -> None:
    (error,) = problems({name: value})
    assert error.key == name
    assert error.origin == catalogue()[name].flag
    assert str(error.value) in str(value) or str(error.value).split(", ")[0] in value  # type: ignore[operator]
    assert accepted in error.accepted


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ('listen = "127.0.0.1:80"', "a list, each entry ADDR:PORT"),
        ("listen = [8080]", "ADDR:PORT"),
        ("listen = []", "at least one entry"),
        ("workers = true", "a whole number from 1 to 256"),
        ("max_fields = 10.5", "a whole number"),
        ("log_level = 3", "debug, info, warning or error"),
    ],
)
def test_wrong_toml_types_are_problems(file: Path, line: str, accepted: str) -> None:
    file.write_text(line)
    (error,) = problems(file=file)
    assert error.key == line.split(" ")[0]
    assert error.origin == str(file)
    assert accepted in error.accepted


def test_all_problems_of_all_sources_are_reported_together(file: Path) -> None:
    file.write_text('max_field = 1\nlisten = ["nowhere", "127.0.0.1:80", "elsewhere"]\n')
    found = problems({"max_fields": "many"}, {"FINGERPOST_WORKER": "4", "FINGERPOST_LOG_LEVEL": "x"}, file)
    assert sorted(error.key for error in found) == [
        "FINGERPOST_WORKER", "listen", "listen", "log_level", "max_field", "max_fields"
    ]  # fmt: skip


def test_unknown_names_are_problems_that_suggest_the_known_one_and_keep_the_value_to_themselves(
    file: Path,
) -> None:
    file.write_text('max-head-byte = "sesame-1"\nxyzzy = "sesame-2"\n[key_file]\nkey = "sesame-3"\n')
    found = problems({}, {"FINGERPOST_KEYFILE": "sesame-4"}, file)
    text = "\n".join(map(str, found))
    assert "did you mean max_head_bytes?" in text
    assert "did you mean FINGERPOST_KEY_FILE?" in text
    assert "xyzzy" in text
    assert "sesame-1" not in text
    assert "sesame-2" not in text
    assert "sesame-4" not in text


def test_a_password_in_a_url_is_not_shown() -> None:
    (error,) = problems({"public_url": "https://user:sesame@localhost"})
    assert "sesame" not in str(error)


def test_variables_that_kubernetes_sets_for_a_service_are_not_ours() -> None:
    settings = read(
        environ={
            "FINGERPOST_SERVICE_HOST": "10.96.0.7",
            "FINGERPOST_SERVICE_PORT": "80",
            "FINGERPOST_SERVICE_PORT_HTTP": "80",
            "FINGERPOST_PORT": "tcp://10.96.0.7:80",
            "FINGERPOST_PORT_80_TCP": "tcp://10.96.0.7:80",
            "FINGERPOST_PORT_80_TCP_ADDR": "10.96.0.7",
            "FINGERPOST_ADMIN_SERVICE_HOST": "10.96.0.8",
        }
    ).settings
    assert settings == read().settings


@pytest.mark.parametrize("content", [b"listen = [", b"\xff\xfe", None])
def test_an_unreadable_file_is_a_problem_of_config(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    (error,) = problems(file=file)
    assert error.key == "config"
    assert error.value == str(file)
    assert "TOML file" in error.accepted


def test_home_is_expanded_in_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert read({"access_log": "~/log"}).settings.access_log == "/home/somebody/log"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read().settings.workers = 2
