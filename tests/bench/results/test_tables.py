"""What is printed at the end of a run."""

# ruff: noqa: RUF001 - these signs are in what is printed

import io
import re

import pytest
from rich.console import Console

from fingerpost.bench.results import tables
from fingerpost.bench.results.wording import number
from fingerpost.bench.run import Run, Sample

from .runs import CAPACITY, MESSAGES, SERVERS, degenerate, rounds, run, whole


def printed(of: Run, width: int = 100) -> str:
    out = io.StringIO()
    tables.print_run(Console(file=out, width=width), of)
    return out.getvalue()


def line_of(text: str, *words: str) -> str:
    """The one line that has all the words."""
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return line


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(width: int) -> None:
    text = printed(whole(), width)
    assert max(map(len, text.splitlines())) <= width
    for figure in ("2.20", "2.00–2.60", "3.30", "14.5", "33.5", "20,500", "×1.20", "12 lost"):
        assert figure in text
    assert "…" not in text


def test_median_range_ratio_and_load_stand_in_a_cell() -> None:
    text = printed(
        run([SERVERS], [s for s in whole().samples if s.experiment == "servers" and s.peer in ("fingerpost", "go")])
    )
    lines = text.splitlines()
    time = next(number for number, line in enumerate(lines) if line.startswith("50 "))
    # 2.4 to 2.0 is the same ratio in each round.
    assert re.split(r"\s{2,}", lines[time].strip())[:3] == ["50", "2.20", "2.64"]
    assert lines[time + 1].split()[:2] == ["2.00–2.60", "2.40–3.12"]
    assert lines[time + 2].split()[0] == "×1.20"
    assert "load 60%" in text


def test_what_went_wrong_stands_below_with_the_relays_own_words() -> None:
    text = printed(whole())
    assert "nginx at varied: 3 × altered, 1 × late; it ended at once: <b>port</b> in use" in text
    assert "<script>x</script>" in text
    assert "go at 1500: relay failed: 1,500 × closed early" in text
    assert "    accept4: too many open files\n" in re.sub(" +\n", "\n", text)


def test_a_missing_peer_is_said_to_be_missing() -> None:
    assert line_of(printed(whole()), "node is missing: no node on the PATH")


def test_where_the_load_was_the_bottleneck_cpu_is_the_figure_to_read() -> None:
    text = " ".join(printed(whole()).split())
    # nginx's load was busy at both points; direct has no relay that could have been waited for.
    assert "The load was the bottleneck for nginx: it kept its CPUs busy while the relay had time left." in text
    assert "There CPU per message is the figure to read, not the time." in text


def test_a_busy_relay_is_not_excused_by_a_busy_load() -> None:
    samples = rounds(SERVERS, "50", "go", {"seconds": [1.0], "load_busy": [0.95], "relay_busy": [0.93]})
    assert "bottleneck" not in printed(run([SERVERS], samples))
    two = {"servers": "0,1 for the relay, 2 for the load"}
    assert "bottleneck" in printed(run([SERVERS], samples, pinned=two))


@pytest.mark.parametrize(("load", "relay", "bound"), [(0.75, 0.4, True), (0.6, 0.4, False), (0.55, 0.95, False)])
def test_on_shared_cpus_load_and_relay_count_together(load: float, relay: float, bound: bool) -> None:
    samples = rounds(SERVERS, "50", "go", {"seconds": [1.0], "load_busy": [load], "relay_busy": [relay]})
    text = printed(run([SERVERS], samples, pinned={"servers": "any for all"}, cores=2))
    assert ("it kept the CPUs that it shares with the relay busy" in " ".join(text.split())) == bound


def test_capacity_tells_each_step_and_how_far_everyone_came() -> None:
    text = printed(Run(whole().context, [CAPACITY], whole().of("capacity")))
    assert line_of(text, "1500 ", "failed").split() == ["1500", "all", "failed"]
    assert line_of(text, "1000 ", "12 lost").split() == ["1000", "all", "12", "lost"]
    # All to 500, some lost from 1000, failed from 1500.
    assert line_of(text, "go ", "500", "1000", "1500")
    assert line_of(text, "Go, published").split()[2:] == ["5000", "5500", "6000"]


def test_a_verdict_of_some_rounds_says_of_how_many() -> None:
    samples = [
        Sample("capacity", "500", n, "go", {"lost": n % 2}, {}, None, ("all exchanged", "some lost")[n % 2])
        for n in (1, 2, 3)
    ]
    text = printed(run([CAPACITY], samples))
    assert line_of(text, "500 ", "1 lost")
    assert "2 of 3" in text


def test_bars_are_judged_at_the_end() -> None:
    text = printed(whole())
    assert "0.833 × go at 75" in text or "0.833 × go at 50" in text
    assert "≤ go: met" in text
    assert "≤ node: not measured" in text


SHOWN = {
    "nothing measured": "fingerpost against the bars",
    "every sample failed": "fingerpost at varied to identical: no",
    "every sample with faults": "go at 50: 2 × lost",
    "one point, one round": "servers: time (s)",
    "interrupted": "The run was interrupted",
    "no context": "direct",
}


def test_with_few_rounds_the_bars_say_that_they_say_little() -> None:
    few = "With fewer than 3 rounds of each this says little."
    assert few in printed(run([MESSAGES], rounds(MESSAGES, "", "fingerpost", {"cpu_us": [3.0, 3.0]})))
    assert few not in printed(run([MESSAGES], rounds(MESSAGES, "", "fingerpost", {"cpu_us": [3.0, 3.0, 3.0]})))


def test_what_should_be_nothing_has_a_column_only_if_it_is_something() -> None:
    samples = rounds(MESSAGES, "", "fingerpost", {"cpu_us": [3.0], "late": [0]})
    assert "late" not in printed(run([MESSAGES], samples))
    assert "late" in printed(run([MESSAGES], samples + rounds(MESSAGES, "", "go", {"cpu_us": [3.0], "late": [1]})))


SIZES = [(0, "0.00"), (0.0123, "0.0123"), (0.5, "0.500"), (3, "3.00"), (45.67, "45.7"), (999.6, "1,000")]
SIZES += [(123456, "123,456"), (2.5e6, "2.5 M"), (3.456e9, "3.46 G")]


@pytest.mark.parametrize(("value", "told"), SIZES)
def test_a_number_has_the_digits_that_count(value: float, told: str) -> None:
    assert number(value) == told


@pytest.mark.parametrize("name", list(degenerate()))
@pytest.mark.parametrize("width", [80, 100])
def test_a_run_that_came_to_little_is_shown_as_far_as_it_came(name: str, width: int) -> None:
    assert SHOWN[name] in printed(degenerate()[name], width)


def test_an_interrupted_run_says_what_it_has_nothing_of() -> None:
    text = printed(degenerate()["interrupted"])
    assert "The run was interrupted: nothing was measured at 75." in text
    assert "The run was interrupted before messages began." in text


def test_where_relay_and_load_ran_is_told_once() -> None:
    assert line_of(printed(whole()), "pinned").split(maxsplit=1)[1].strip() == "0 for the relay, 1 for the load"
    two = {"servers": "any for all", "messages": "0 for the relay, 1 for the load", "seal": "any for all"}
    assert line_of(printed(run([], [], pinned=two)), "any for all (servers, seal); 0 for")


def test_one_round_has_no_range() -> None:
    assert "–" not in printed(run([MESSAGES], rounds(MESSAGES, "", "go", {"cpu_us": [3.0]}))).partition("messages")[2]


def test_where_the_kernel_was_short_of_memory_for_tcp_it_is_said() -> None:
    pressed = [
        Sample("servers", "75", number, "go", {"seconds": 9.0, "tcp_pressure_s": 2.0 + number}) for number in (1, 2, 3)
    ]
    text = " ".join(printed(run([SERVERS], [*whole().samples, *pressed])).split())
    assert "The kernel was short of memory for TCP (net.ipv4.tcp_mem) with go (4.0 s" in text
    assert "short of memory" not in printed(whole())
