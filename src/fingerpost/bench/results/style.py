"""How every plot looks: one colour and one mark for each peer, chosen for eyes that don't tell red from green."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fingerpost.bench.run import ALL, NOT_MEASURED, RELAY_FAILED, SOME_LOST

INK = "#2b2d33"
"""Text, axes and whatever has no colour of its own; the report turns it into the reader's text colour."""

GRID = "#c9ccd3"

# Okabe and Ito's palette, which stays apart in all common kinds of colour blindness; marks differ as well.
_BLUE, _ORANGE, _GREEN, _VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
_PURPLE, _SKY, _BROWN, _GREY, _RUST, _PINK = "#cc79a7", "#56b4e9", "#8c6d31", "#7f8590", "#8f3f00", "#8e4585"


@dataclass(frozen=True, slots=True)
class Look:
    """How a peer is drawn."""

    colour: str
    mark: str


_KNOWN = {
    "fingerpost": Look(_BLUE, "o"),
    "go": Look(_ORANGE, "s"),
    "node": Look(_GREEN, "^"),
    "nginx": Look(_PURPLE, "D"),
    "haproxy": Look(_VERMILION, "v"),
    "direct": Look(INK, "x"),
    "fingerpost-2": Look(_SKY, "P"),
    "go-reverseproxy": Look(_BROWN, "X"),
    "chp": Look(_GREY, "<"),
    "haproxy-plain": Look(_RUST, ">"),
    "nginx-64k": Look(_PINK, "d"),
}
_OTHERS = tuple(
    Look(colour, mark) for mark in ("h", "p", "*", "d") for colour in (_SKY, _BROWN, _GREY, _RUST, _PURPLE, _ORANGE)
)

VERDICT_COLOURS = {ALL: _GREEN, SOME_LOST: _ORANGE, RELAY_FAILED: _VERMILION, NOT_MEASURED: _GREY}
VERDICT_HATCHES = {ALL: "", SOME_LOST: "///", RELAY_FAILED: "xxx", NOT_MEASURED: "..."}


def looks(peers: Sequence[str]) -> dict[str, Look]:
    """A look for each peer of a run; the well-known ones look the same in every run."""
    others = iter(_OTHERS * (len(peers) // len(_OTHERS) + 1))
    return {peer: _KNOWN.get(peer) or next(others) for peer in peers}


RC: dict[Any, Any] = {  # matplotlib types the keys as literals, and is only imported where it is used
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "text.color": INK,
    "text.parse_math": False,  # a peer's name is text, whatever stands in it
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: smaller, searchable, and read aloud
    "svg.hashsalt": "fingerpost",  # the same run gives the same file
}
"""matplotlib's settings, to be in force while a figure is made and while it is saved."""
