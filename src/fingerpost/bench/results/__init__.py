"""Everything that is made from a `fingerpost.bench.run.Run`; nothing here measures.

- `summary`: samples become rows (median, lowest, highest) and ratios within a round. `bars`: what must be reached.
- `sheets`: rows become tables of cells, with the sentences that belong under them (`notes`), for every form of output.
- `tables` prints them on a terminal, `markdown` writes them for a page, `report` for a browser, beside the `plots`.
- `files` writes a run's folder; `compare` holds two runs against each other.
- `published`: the figures of the experiment that this one reproduces.
"""
