"""The benchmark tells the truth: a relay that loses or alters bytes, hangs, dies or does less, is said to, exactly."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.faulty_relay import DIES_AFTER, LAST_WORDS, LATE_S, is_chosen
from fingerpost.bench.errors import BenchError
from fingerpost.bench.experiments import http, published, websockets
from fingerpost.bench.experiments.experiment import Experiment
from fingerpost.bench.experiments.published import Traffic
from fingerpost.bench.load import ledger
from fingerpost.bench.peers import Direct, HAProxy, Nginx, Peer, Plan
from fingerpost.bench.rounds import Step, take
from fingerpost.bench.run import ALL, RELAY_FAILED, SOME_LOST, Sample
from fingerpost.bench.stage import Conditions, Cpus

CONDITIONS = Conditions(cpus=Cpus(), deadline_s=30.0, silence_s=3.0, late_s=LATE_S * 0.75)

SERVERS, CLIENTS, MESSAGES = 2, 5, 400
TUNNELS = SERVERS * CLIENTS
SENT = TUNNELS * MESSAGES
WRONG = sum(is_chosen(tunnel, index) for tunnel in range(TUNNELS) for index in range(MESSAGES))

EXCHANGES: dict[str, Callable[[], Experiment]] = {
    "capacity": lambda: published.capacity([SERVERS], CLIENTS, Traffic(MESSAGES, 20)),
    "servers": lambda: published.by_servers([SERVERS], CLIENTS, Traffic(MESSAGES, 1024)),
    "clients": lambda: published.by_clients(SERVERS, [CLIENTS], Traffic(MESSAGES, 1024, messages_per_write=1)),
}
OTHERS: dict[str, Callable[[], Experiment]] = {
    "messages": lambda: websockets.messages(20, 2000, 1024),
    "connects": lambda: websockets.connects(60, 20, 64),
    "tunnels": lambda: websockets.tunnels(60),
    "requests": lambda: http.requests(20, 2000),
    "bulk": lambda: http.bulk(2_000_000),
}


@dataclass
class Faulty(Peer):
    """The relay of `faulty_relay` as a peer."""

    misdeed: str
    name = "faulty"

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return self.misdeed

    def command(self, plan: Plan) -> list[str]:
        program = str(Path(__file__).with_name("faulty_relay.py"))
        app_port = next(iter(plan.ports_by_host.values()))
        return [sys.executable, program, str(plan.port), str(app_port), self.misdeed]


def sample(peer: Peer, experiment: Experiment, point: int = 0) -> Sample:
    """One sample, of the first point unless another is asked for."""
    return take(Step(experiment, experiment.asked.points[point], 1, peer), CONDITIONS)


@pytest.mark.parametrize("name", [*EXCHANGES, *OTHERS])
def test_a_relay_that_does_nothing_wrong_has_no_faults_and_figures(name: str) -> None:
    experiment = {**EXCHANGES, **OTHERS}[name]()
    found = sample(Faulty("none"), experiment)
    assert found.sound, found
    assert found.figures["done"] == found.figures["expected"] > 0
    assert found.figures["relay_cpu_s"] > 0
    assert found.figures["load_cpu_s"] > 0
    assert experiment.asked.main in found.figures


def test_the_misdeeds_fall_where_they_can_be_told_apart() -> None:
    assert WRONG >= 3
    assert not any(is_chosen(tunnel, MESSAGES - 1) for tunnel in range(TUNNELS)), "a held message needs a next one"


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize(
    ("misdeed", "fault"),
    [
        ("drop", ledger.LOST),
        ("duplicate", ledger.DUPLICATED),
        ("alter", ledger.ALTERED),
        ("hold", ledger.REORDERED),
    ],
)
def test_one_message_in_a_thousand_is_reported_as_what_was_done_to_it(name: str, misdeed: str, fault: str) -> None:
    found = sample(Faulty(misdeed), EXCHANGES[name]())
    assert found.faults == {fault: WRONG}
    assert found.figures["done"] == SENT - (WRONG if misdeed in ("drop", "alter") else 0)
    assert not found.sound
    assert found.verdict == (SOME_LOST if name == "capacity" else "")


def test_late_answers_are_counted_and_are_the_longest() -> None:
    tunnels, messages = 4, 2000
    first = max(1, messages // tunnels // 10)  # those of the warm-up aren't counted
    late = sum(is_chosen(tunnel, index) for tunnel in range(tunnels) for index in range(first, first + 500))
    assert late
    found = sample(Faulty("late"), websockets.messages(tunnels, messages, 64))
    assert found.sound, found
    assert found.figures["late"] == late
    assert found.figures["max_us"] >= LATE_S * 1e6
    assert found.figures["p50_us"] < LATE_S * 1e6 / 2


def test_a_message_lost_in_a_ping_pong_stops_its_tunnel_and_is_one_message_lost() -> None:
    tunnels, messages = 4, 2000
    sent = range(messages // tunnels * 11 // 10)  # with the warm-up
    hit = sum(any(is_chosen(tunnel, index) for index in sent) for tunnel in range(tunnels))
    assert hit
    found = sample(Faulty("drop"), websockets.messages(tunnels, messages, 64))
    assert found.faults[ledger.LOST] == hit
    assert found.faults["no answer"] == hit


@pytest.mark.parametrize("name", ["capacity", "servers"])
def test_a_relay_that_dies_halfway_is_reported_with_how_and_its_last_words(name: str) -> None:
    found = sample(Faulty("die"), EXCHANGES[name]())
    assert found.failure is not None
    assert "exit status 3" in found.failure
    assert LAST_WORDS in found.said
    assert 0 < found.figures["done"] < DIES_AFTER
    lost = found.faults.get(ledger.LOST, 0) + found.faults.get(ledger.NOT_SENT, 0)
    assert found.figures["done"] + lost == SENT
    assert found.verdict == (RELAY_FAILED if name == "capacity" else "")


def test_a_relay_that_hangs_is_given_up_after_a_silence() -> None:
    found = sample(Faulty("hang"), EXCHANGES["servers"]())
    assert found.faults["no answer"] == TUNNELS
    assert found.figures["seconds"] < CONDITIONS.silence_s + 10
    assert found.figures["done"] < DIES_AFTER


def test_what_is_not_done_by_the_deadline_is_lost() -> None:
    conditions = Conditions(cpus=Cpus(), deadline_s=1.0, silence_s=20.0)
    experiment = EXCHANGES["servers"]()
    found = take(Step(experiment, experiment.asked.points[0], 1, Faulty("hang")), conditions)
    assert found.faults["not done by the deadline"] == TUNNELS


@pytest.mark.parametrize(("point", "misdeed"), [(0, "alter"), (1, "alter"), (0, "drop"), (1, "drop")])
def test_a_wrong_byte_in_a_bulk_transfer_is_found(point: int, misdeed: str) -> None:
    found = sample(Faulty(misdeed), OTHERS["bulk"](), point)
    assert "altered" in found.faults


def test_altered_responses_are_found() -> None:
    assert "altered" in sample(Faulty("alter"), OTHERS["requests"]()).faults


def test_cut_tunnels_are_counted_as_lost() -> None:
    found = sample(Faulty("cut"), OTHERS["tunnels"]())
    assert found.figures["lost"] == pytest.approx(20, abs=5)
    assert not found.sound


def test_cut_connections_are_faults() -> None:
    assert not sample(Faulty("cut"), OTHERS["connects"]()).sound
    assert not sample(Faulty("cut"), OTHERS["requests"]()).sound


def test_a_relay_that_adds_no_forwarding_fields_is_not_measured() -> None:
    found = sample(Faulty("bare"), OTHERS["messages"]())
    assert not found.figures
    assert found.failure is not None
    assert "x-forwarded-for" in found.failure


def test_a_relay_that_ends_at_once_is_reported_with_what_it_said() -> None:
    class Broken(Faulty):
        def command(self, plan: Plan) -> list[str]:
            return [sys.executable, "-c", "raise SystemExit('no such thing')"]

    found = sample(Broken(""), EXCHANGES["capacity"]())
    assert found.failure is not None
    assert "no such thing" in found.failure
    assert found.verdict == RELAY_FAILED


def test_a_relay_that_cannot_be_prepared_for_a_plan_costs_one_sample() -> None:
    class Unbuilt(Faulty):
        def command(self, plan: Plan) -> list[str]:
            raise BenchError("it has not been built")

    assert sample(Unbuilt(""), OTHERS["messages"]()).failure == "it has not been built"


@pytest.mark.parametrize("name", [*EXCHANGES, *OTHERS])
def test_without_a_relay_the_load_finds_nothing_wrong_with_itself(name: str) -> None:
    found = sample(Direct(), {**EXCHANGES, **OTHERS}[name]())
    assert found.sound, found
    assert found.verdict == (ALL if name == "capacity" else "")
    assert "relay_cpu_s" not in found.figures


@pytest.mark.parametrize("peer", [Nginx(), HAProxy()], ids=lambda peer: peer.name)
@pytest.mark.parametrize("name", ["servers", "messages", "requests", "bulk"])
def test_the_configuration_of_a_peer_relays_every_byte(peer: Peer, name: str) -> None:
    if reason := peer.missing():
        pytest.skip(reason)
    found = sample(peer, {**EXCHANGES, **OTHERS}[name]())
    assert found.sound, found
