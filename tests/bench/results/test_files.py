"""A run's folder: everything there, for whole runs and for those that came to little."""

import csv
import itertools
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import pytest

from fingerpost.bench.results import files
from fingerpost.bench.run import FIGURES, load

from .runs import degenerate, whole

PLOTS = {
    "capacity-bands",
    "servers-seconds",
    "servers-cpu_us",
    "servers-peak_rss_mib",
    "messages-cpu_us",
    "messages-latency",
    "requests-cpu_us",
}

_VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """What a page is made of; fails if its elements aren't closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                self.addresses.append(value or "")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run."""
    folder = tmp_path_factory.mktemp("run") / "results" / "new"
    written = files.write(whole(), folder)
    assert sorted(written) == sorted(file for file in folder.rglob("*") if file.is_file())
    return folder


def test_the_run_itself_can_be_read_back(folder: Path) -> None:
    assert load(folder) == whole()


def test_samples_survive_the_way_through_csv(folder: Path) -> None:
    with (folder / "samples.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert len(rows) == len(whole().samples)
    for row, sample in zip(rows, whole().samples, strict=True):
        assert (row["experiment"], row["point"], int(row["round"]), row["peer"]) == (
            sample.experiment,
            sample.point,
            sample.round,
            sample.peer,
        )
        figures = [*FIGURES, "noted_kib_0"]
        assert {name: float(row[name]) for name in figures if row[name]} == sample.figures
        faults = dict(part.split("=") for part in row["faults"].split(";") if part)
        assert {kind: int(count) for kind, count in faults.items()} == sample.faults
        assert (row["said"], row["failure"] or None) == (sample.said, sample.failure)
        assert bool(int(row["sound"])) == sample.sound


def test_rows_hold_medians_and_ranges(folder: Path) -> None:
    with (folder / "rows.csv").open(newline="") as text:
        rows = {(row["experiment"], row["point"], row["peer"]): row for row in csv.DictReader(text)}
    row = rows["servers", "50", "fingerpost"]
    assert [float(row[f"seconds_{part}"]) for part in ("median", "lowest", "highest")] == [2.2, 2.0, 2.6]
    assert rows["requests", "varied", "nginx"]["faults"] == "altered=3;late=1"
    assert rows["requests", "varied", "nginx"]["cpu_us_median"] == ""


def test_there_is_a_plot_of_everything_that_was_measured(folder: Path) -> None:
    assert {file.stem for file in (folder / "plots").glob("*.png")} == PLOTS
    assert {file.stem for file in (folder / "plots").glob("*.svg")} == PLOTS


@pytest.mark.parametrize("name", sorted(PLOTS))
def test_a_plot_shows_something(folder: Path, name: str) -> None:
    picture = matplotlib.image.imread(folder / "plots" / f"{name}.png")
    assert picture.shape[0] > 200
    assert picture.shape[1] > 800
    coloured = picture[..., :3].max(axis=2) - picture[..., :3].min(axis=2) > 0.2
    assert coloured.mean() > 0.001, "nothing is drawn but axes"
    drawing = ElementTree.parse(folder / "plots" / f"{name}.svg").getroot()
    text = " ".join(drawing.itertext())
    assert "is better)" in text
    assert "fingerpost" in text


def test_peers_look_the_same_in_every_plot(folder: Path) -> None:
    for name in PLOTS - {"capacity-bands"}:
        assert "#0072b2" in (folder / "plots" / f"{name}.svg").read_text(), name


def test_the_published_curves_are_labelled_as_another_machines(folder: Path) -> None:
    assert "(other machine)" in (folder / "plots" / "servers-seconds.svg").read_text()
    assert "(other machine)" not in (folder / "plots" / "servers-cpu_us.svg").read_text()


def test_the_same_run_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    files.write(whole(), tmp_path)
    compared = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
    assert len(compared) == 4 + 2 * len(PLOTS)
    assert [file for file in compared if (folder / file).read_bytes() != (tmp_path / file).read_bytes()] == []


def test_the_report_needs_nothing_else(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert page.tags.count("svg") == len(PLOTS)
    assert [address for address in page.addresses if not address.startswith("#")] == []
    assert "@import" not in text
    assert "url(http" not in text
    assert {"script", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert len(page.ids) == len(set(page.ids))


def test_the_report_escapes_what_a_relay_said(folder: Path) -> None:
    page = Page((folder / "report.html").read_text())
    assert "<script>x</script>" in page.text
    assert "it ended at once: <b>port</b> in use" in page.text
    assert "b" not in page.tags[page.tags.index("section") :]


def test_the_report_begins_with_the_caveats_and_ends_with_the_command(folder: Path) -> None:
    text = Page((folder / "report.html").read_text()).text
    order = [
        "Only ratios within one run",
        "a processor",
        "no node on the PATH",
        "1 client per server",
        "2.20",
        "fingerpost bench all",
    ]
    places = [text.index(words) for words in order[:-1]] + [text.rindex(order[-1])]
    assert places == sorted(places)


def test_the_report_can_be_read_by_ear(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert text.count("<figure role='img' aria-label='") == len(PLOTS)
    assert "Fingerpost" not in text
    assert "servers: time" in page.text
    assert page.tags.count("caption") == page.tags.count("table") - 1  # the context's heading is its caption
    assert 'lang="en"' in text


@pytest.mark.parametrize("name", list(degenerate()))
def test_a_run_that_came_to_little_is_written_as_far_as_it_came(name: str, tmp_path: Path) -> None:
    of = degenerate()[name]
    written = files.write(of, tmp_path)
    assert {file.name for file in written} >= {"run.json", "samples.csv", "rows.csv", "report.html"}
    assert load(tmp_path) == of
    assert Page((tmp_path / "report.html").read_text()).text.strip()
    for file in written:
        assert file.stat().st_size > 0
        if file.suffix == ".svg":
            ElementTree.parse(file)


def test_one_point_of_one_round_is_drawn(tmp_path: Path) -> None:
    files.write(degenerate()["one point, one round"], tmp_path)
    assert (tmp_path / "plots" / "servers-seconds.png").stat().st_size > 5000


def test_plots_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    files.write(degenerate()["one point, one round"], tmp_path)
    files.write(degenerate()["nothing measured"], tmp_path)
    assert list((tmp_path / "plots").iterdir()) == []


def test_looks_stay_apart() -> None:
    from fingerpost.bench.results.style import looks

    known = ["fingerpost", "go", "node", "nginx", "haproxy", "direct", "fingerpost-2", "chp", "go-reverseproxy"]
    names = [*known, "haproxy-plain", "own", "another"]
    found = looks(names)
    assert all(a != b for a, b in itertools.combinations(found.values(), 2))
