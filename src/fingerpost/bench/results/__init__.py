"""Everything that is made from a `fingerpost.bench.run.Run`; nothing here measures.

- `summary`: samples become rows (median, lowest, highest) and ratios within a round. `capacity`: how far a peer came.
- `bars`: what fingerpost must reach. `published`: the figures of the experiment that this one reproduces.
- `sheets`: rows become tables of cells, and `notes` the sentences under them, in one `wording` for every output:
  `tables` prints them on a terminal, `markdown` writes them for a page, `report` (with `page_style`) for a browser.
- `plots`: which plots a run has; `drawing` draws them, in one `style`.
- `files` writes a run's folder; `compare` holds two runs against each other.
"""
