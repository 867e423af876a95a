"""The benchmark tells the truth: a relay that loses or alters bytes, or does less, is said to."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fingerpost.bench.peers import Direct, HAProxy, Nginx, Peer, Plan
from fingerpost.bench.rounds import Sample, Step, take
from fingerpost.bench.stage import Cpus
from fingerpost.bench.summary import rows, verdicts
from fingerpost.bench.works import WORKS, Conditions, Scale

_TINY = Scale(ping_tunnels=20, messages=400, connections=20, requests=400, tunnels=60, bulk_bytes=2_000_000, seals=1)
_WORKS = {work.name: work for work in WORKS}
_RELAYED = ("messages", "requests", "tunnels", "bulk")


@dataclass
class Faulty(Peer):
    """The relay of `faulty_relay` as a peer that passes for fingerpost, so that verdicts are about it."""

    misdeed: str
    name = "fingerpost"

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return self.misdeed

    def command(self, plan: Plan) -> list[str]:
        program = str(Path(__file__).with_name("faulty_relay.py"))
        app_port = next(iter(plan.ports_by_host.values()))
        return [sys.executable, program, str(plan.port), str(app_port), self.misdeed]


def sample(peer: Peer, work: str, variant: str | None = None, scale: Scale = _TINY) -> Sample:
    """One sample of one work."""
    found = _WORKS[work]
    step = Step(found, found.variants[0] if variant is None else variant, 1, peer)
    return take(step, Conditions(scale, Cpus(), access_log=False, deadline_s=5.0))


@pytest.mark.parametrize("work", [*_RELAYED, "memory"])
def test_a_relay_that_does_nothing_wrong_has_no_faults_and_a_figure(work: str) -> None:
    found = sample(Faulty("none"), work)
    assert found.sound, found
    assert found.value is not None
    assert found.value >= 0 if work == "memory" else found.value > 0


@pytest.mark.parametrize("work", _RELAYED)
def test_an_altered_byte_is_found(work: str) -> None:
    scale = replace(_TINY, messages=4000, requests=4000, tunnels=600)
    assert any("altered" in kind for kind in sample(Faulty("alter"), work, scale=scale).faults)


@pytest.mark.parametrize("variant", ["tunnel", "body"])
def test_a_byte_lost_in_a_bulk_transfer_is_found(variant: str) -> None:
    found = sample(Faulty("lose"), "bulk", variant)
    assert "altered" in found.faults
    assert not found.sound


def test_cut_tunnels_are_counted_as_lost() -> None:
    found = sample(Faulty("cut"), "tunnels")
    assert found.details["lost"] == pytest.approx(_TINY.tunnels / 3, abs=5)
    assert sum(found.faults.values()) >= found.details["lost"]


def test_cut_requests_are_faults() -> None:
    assert not sample(Faulty("cut"), "requests").sound


def test_a_bar_is_not_met_by_speed_with_lost_tunnels() -> None:
    cut, whole = sample(Faulty("cut"), "tunnels"), sample(Direct(), "tunnels")
    base = replace(whole, peer="nginx", value=1000.0)
    (verdict,) = verdicts(rows([cut, base]))
    assert verdict.met is False
    assert verdict.aim_met is False


def test_a_relay_that_adds_no_forwarding_fields_is_not_measured() -> None:
    found = sample(Faulty("bare"), "messages")
    assert found.value is None
    assert found.failure is not None
    assert "x-forwarded-for" in found.failure


def test_a_relay_that_ends_at_once_is_reported_with_what_it_said() -> None:
    class Broken(Faulty):
        def command(self, plan: Plan) -> list[str]:
            return [sys.executable, "-c", "raise SystemExit('no such thing')"]

    found = sample(Broken(""), "messages")
    assert found.failure is not None
    assert "no such thing" in found.failure


@pytest.mark.parametrize("work", _RELAYED)
def test_without_a_relay_the_load_finds_nothing_wrong_with_itself(work: str) -> None:
    found = sample(Direct(), work)
    assert found.sound, found
    assert (found.value is None) == (work != "tunnels")


@pytest.mark.parametrize("peer", [Nginx(), HAProxy()], ids=lambda peer: peer.name)
@pytest.mark.parametrize(("work", "variant"), [("messages", ""), ("requests", "varied"), ("bulk", "tunnel")])
def test_the_configuration_of_a_peer_relays_every_byte(peer: Peer, work: str, variant: str) -> None:
    if reason := peer.missing():
        pytest.skip(reason)
    found = sample(peer, work, variant)
    assert found.sound, found
    assert found.value is not None
