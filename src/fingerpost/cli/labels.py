"""The commands `keygen`, `seal` and `open`: they need no proxy and answer at once, so they import little."""

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from fingerpost.cli.lookup import Lookup
from fingerpost.errors import LabelError

_key_file = click.option(
    "--key-file",
    metavar="FILE",
    help="The keys, newest first.  [FINGERPOST_KEY_FILE; ~/.config/fingerpost/keys]",
)
_domain = click.option("--domain", metavar="DOMAIN", help="The served domain.  [FINGERPOST_DOMAIN; localhost]")
_config = click.option(
    "--config", metavar="FILE", help="A TOML file with key_file, domain, public_url.  [FINGERPOST_CONFIG]"
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


@click.command()
@_key_file
@click.option("--rotate", is_flag=True, help="Add a newest key to the file; the others still open labels.")
@_config
@_json
def keygen(key_file: str | None, rotate: bool, config: str | None, as_json: bool) -> None:
    """Make a key file that only you can read, and print the key's id.

    Refuses to overwrite a file: labels sealed with its keys would never open again.

    \b
    To replace a key:
      1. fingerpost keygen --rotate, and give the new file to each proxy
      2. wait until no label sealed with the old key is in use
      3. delete the old key's line, the last one, everywhere
    A running proxy notices a changed file within a second.

    \b
    Examples:
      fingerpost keygen
      fingerpost keygen --key-file /etc/fingerpost/keys
      fingerpost keygen --rotate
    """  # noqa: D301 (\b is for click)
    from fingerpost.label.keyring import create_key_file, rotate_key_file, show_id

    path = key_file or Lookup(config).key_file
    key_id = show_id(rotate_key_file(path) if rotate else create_key_file(path))
    if as_json:
        click.echo(json.dumps({"key_id": key_id, "key_file": path}))
        return
    click.echo(key_id)
    what = f"{key_id} is the newest key in" if rotate else "wrote"
    click.echo(f"fingerpost: {what} {path}; keep it secret, and give it to every proxy", err=True)


@click.command("seal")
@click.argument("targets", metavar="TARGET…", nargs=-1, required=True)
@_domain
@_key_file
@click.option("--ttl", metavar="TIME", help="For how long it opens: 90s, 15m, 8h, 30d, 1h30m.  [for ever]")
@click.option(
    "--public-url",
    metavar="URL",
    help="Where clients reach the proxy, for scheme and port.  [FINGERPOST_PUBLIC_URL; https]",
)
@click.option("--label-only", is_flag=True, help="Print the label instead of the URL.")
@_config
@_json
def seal_command(
    targets: tuple[str, ...],
    domain: str | None,
    key_file: str | None,
    ttl: str | None,
    public_url: str | None,
    label_only: bool,
    config: str | None,
    as_json: bool,
) -> None:
    """Print the URL that leads to a target, one line for each; nothing is stored.

    TARGET is [scheme://]host:port with scheme http, https or tcp; - reads one from each line of standard
    input. The same target, key and domain make the same URL again.

    \b
    Examples:
      fingerpost seal 127.0.0.1:8888
      fingerpost seal 10.0.3.17:8888 --domain apps.example.com --ttl 8h
      fingerpost seal https://[fd00::17]:8443 tcp://10.0.3.17:22 --label-only
      generate-targets | fingerpost seal -
    """  # noqa: D301 (\b is for click)
    from fingerpost.label.host import canonical_domain
    from fingerpost.label.keyring import Keyring, show_id
    from fingerpost.label.sealed import label_url, seal, unseal

    lookup = Lookup(config)
    domain = canonical_domain(domain or lookup.domain)
    public_url = public_url or lookup.public_url(domain)
    keyring = Keyring.load(key_file or lookup.key_file)
    for target in _each_line(targets):
        label = seal(target, keyring, domain=domain, ttl=ttl)
        url = label_url(label, domain, public_url)
        if as_json:
            opened = unseal(label, keyring, domain=domain)
            facts: dict[str, Any] = {
                "url": url,
                "label": label,
                "domain": domain,
                "target": str(opened.target),
            }
            facts |= {"expires_at": opened.expires_at, "key_id": show_id(opened.key_id)}
            click.echo(json.dumps(facts))
        else:
            click.echo(label if label_only else url)


@click.command("open")
@click.argument("labels", metavar="LABEL|HOST|URL…", nargs=-1, required=True)
@_domain
@_key_file
@_config
@_json
def open_command(
    labels: tuple[str, ...], domain: str | None, key_file: str | None, config: str | None, as_json: bool
) -> None:
    """Print what a sealed label says: its target, when it expires and the key that sealed it.

    The domain is a HOST's or URL's own; a LABEL alone needs it. Exits with 1 if a label has expired, with 2
    if one doesn't open.

    \b
    Examples:
      fingerpost open https://eyiy…q.apps.example.com/lab
      fingerpost open eyiy…q --domain apps.example.com --json
    """  # noqa: D301 (\b is for click)
    from fingerpost.label.host import canonical_domain
    from fingerpost.label.keyring import Keyring, show_id
    from fingerpost.label.sealed import unseal

    lookup = Lookup(config)
    keyring = Keyring.load(key_file or lookup.key_file)
    now = time.time()
    status = 0
    for text in _each_line(labels):
        label, own_domain = _split(text)
        served = canonical_domain(own_domain or domain or lookup.domain)
        try:
            opened = unseal(label, keyring, domain=served)
        except LabelError as error:
            raise LabelError(f"{text}: {error} ({served})") from None
        expired = opened.expires_at is not None and opened.expires_at <= now
        status = 1 if expired else status
        facts: dict[str, Any] = {"target": str(opened.target), "expires_at": opened.expires_at}
        facts |= {"expired": expired, "key_id": show_id(opened.key_id), "domain": served}
        if as_json:
            click.echo(json.dumps(facts))
        else:
            _print_facts(facts)
    sys.exit(status)


def _print_facts(facts: dict[str, Any]) -> None:
    expiry = "never"
    if facts["expires_at"] is not None:
        moment = datetime.fromtimestamp(facts["expires_at"], UTC)
        expiry = f"{moment:%Y-%m-%d %H:%M} UTC{' (expired)' if facts['expired'] else ''}"
    click.echo(f"target   {facts['target']}")
    click.echo(f"expires  {expiry}")
    click.echo(f"key      {facts['key_id']}")
    click.echo(f"domain   {facts['domain']}")


def _each_line(texts: tuple[str, ...]) -> Iterator[str]:
    """The texts, those of standard input in the place of ``-``."""
    for text in texts:
        if text != "-":
            yield text
            continue
        yield from filter(None, map(str.strip, sys.stdin))


def _split(text: str) -> tuple[str, str | None]:
    """A label, and the domain if the text is a host or URL."""
    authority = text.strip().rpartition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    host = authority.partition(":")[0].lower().removesuffix(".")
    label, separator, domain = host.partition(".")
    return label, domain if separator else None
