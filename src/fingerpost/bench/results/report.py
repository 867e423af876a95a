"""The report: one HTML page that needs nothing else, with the caveats before the figures.

Whatever comes from outside (a relay's last words, versions, names) is escaped; `_svg` takes only what `plots` drew.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from fingerpost.bench.results import notes, sheets
from fingerpost.bench.results.page_style import CSS
from fingerpost.bench.results.style import GRID, INK
from fingerpost.bench.results.summary import Summary, missing_peers
from fingerpost.bench.run import Asked

CAVEATS = (
    "Only ratios within one run mean anything. Two machines, or two runs on one virtual machine, differ by more than"
    " the relays do. Ratios here are taken within a round, where the peers had their turns one after the other; their"
    " median is shown.",
    "It is loopback: no network card, no loss, no latency. Part of what the kernel does for the receiver is charged to"
    " the sender, for all relays alike, which moves every ratio towards 1.",
    "The load runs on the same machine. Where it was the bottleneck it is said under the table, and CPU per unit is the"
    " figure to read there, not the time.",
    "CPU per unit depends on how busy a relay is kept: a busy one finds more to do at each wake-up and pays less for"
    " each.",
    "The relays don't do exactly the same work for a message or a request; the documentation says what each does.",
    "The published figures were made on another machine. They are for the shape of a curve.",
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot for the page.

    Attributes:
        experiment: What it belongs to.
        alt: What it shows, in words.
        svg: A whole SVG file's text, as `plots.save` writes it.
    """

    name: str
    experiment: str
    alt: str
    svg: str


def page(summary: Summary, pictures: Sequence[Picture]) -> str:
    """The whole page.

    Args:
        summary: The run.
        pictures: Its plots; without them there are just the tables.
    """
    run = summary.run
    title = f"Benchmark: {', '.join(asked.name for asked in run.asked) or 'nothing'}"
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            f"<p>{escape(str(run.context.get('date', '')))}</p>",
            *(
                ["<p class='warn'>The run was interrupted; this is what had been measured.</p>"]
                if run.interrupted
                else []
            ),
            "<h2>Before you read the figures</h2>",
            f"<ul>{''.join(f'<li>{escape(caveat)}</li>' for caveat in CAVEATS)}</ul>",
            _context(summary),
            _missing(summary),
            _bars(summary),
            *(_experiment(summary, asked, pictures) for asked in run.asked),
            _reproduce(summary),
        ]
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _context(summary: Summary) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(name.replace('_', ' '))}</th><td>{escape(value)}</td></tr>"
        for name, value in sheets.context_rows(summary)
    )
    return f"<h2>Where and how</h2>\n<div class='wide'><table class='context'>{rows}</table></div>"


def _missing(summary: Summary) -> str:
    gone = missing_peers(summary.run)
    if not gone:
        return ""
    items = "".join(f"<li><b>{escape(name)}</b>: {escape(why)}</li>" for name, why in gone.items())
    return f"<h2>Missing</h2>\n<p>These relays were asked for and could not be measured here.</p>\n<ul>{items}</ul>"


def _bars(summary: Summary) -> str:
    sheet = sheets.bars_sheet(summary)
    return f"<h2>Bars</h2>\n{_table(sheet)}" if sheet else ""


def _experiment(summary: Summary, asked: Asked, pictures: Sequence[Picture]) -> str:
    parts = [f"<section>\n<h2>{escape(asked.name)}</h2>", f"<p>{escape(asked.title)}.</p>"]
    if asked.parameters:
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in asked.parameters.items())
        parts.append(f"<p class='dim'>{escape(told)}</p>")
    parts += [_figure(picture) for picture in pictures if picture.experiment == asked.name]
    found = sheets.of(summary, asked, details=True)
    parts += [_table(sheet) for sheet in found] or ["<p class='warn'>Nothing was measured.</p>"]
    parts += [_note(note) for note in notes.of(summary, asked)]
    return "\n".join([*parts, "</section>"])


def _figure(picture: Picture) -> str:
    return f"<figure role='img' aria-label='{escape(picture.alt)}'>{_svg(picture)}</figure>"


def _svg(picture: Picture) -> str:
    """The drawing alone, in the reader's colours, with identifiers of its own among several on the page."""
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|url\(#|href="#)', lambda found: f"{found[1]}{picture.name}-", svg)
    svg = re.sub(r'(?<=<svg)([^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(?<=<svg)([^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg", "<svg aria-hidden='true'", 1)
    return svg.replace(INK, "currentColor").replace(GRID, "var(--line)").replace("fill: #000000", "fill: currentColor")


def _table(sheet: sheets.Sheet) -> str:
    head = "".join(f"<th scope='col'>{_lines(column.split(chr(10)))}</th>" for column in sheet.columns)
    rows = "".join(f"<tr>{''.join(_cells(sheet, row))}</tr>\n" for row in sheet.rows)
    note = f"<p class='dim'>{escape(sheet.note)}</p>" if sheet.note else ""
    kind = "text" if sheet.text else "figures"
    caption = f"<caption>{escape(sheet.title)}</caption>"
    parts = f"{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>"
    return f"<div class='wide' tabindex='0'><table class='{kind}'>{parts}</table></div>{note}"


def _cells(sheet: sheets.Sheet, row: Sequence[sheets.Cell]) -> Iterable[str]:
    for number, cell in enumerate(row):
        below = "".join(f"<br><small>{escape(line)}</small>" for line in (cell.spread, *cell.more) if line)
        tone = f" class='{cell.tone}'" if cell.tone else ""
        if number < sheet.labels:
            yield f"<th scope='row'{tone}>{escape(cell.text)}{below}</th>"
        else:
            yield f"<td{tone}>{escape(cell.text)}{below}</td>"


def _lines(lines: Iterable[str]) -> str:
    return "<br>".join(map(escape, lines))


def _note(note: notes.Note) -> str:
    said = f"<pre>{escape(note.said)}</pre>" if note.said else ""
    return f"<p class='{note.tone}'>{escape(note.text)}</p>{said}"


def _reproduce(summary: Summary) -> str:
    context = summary.run.context
    commit = f"<p>At commit {escape(str(context['commit']))}.</p>" if context.get("commit") else ""
    command = escape(str(context.get("command", "fingerpost bench")))
    return (
        f"<h2>To do it again</h2>\n<pre>{command}</pre>\n{commit}\n"
        "<p>Every sample is in <code>run.json</code> and <code>samples.csv</code> beside this page, and the medians in"
        " <code>rows.csv</code>. <code>fingerpost bench compare OLD NEW</code> holds two runs against each other.</p>"
    )
