"""The look of the report: for a phone as for a desk, by day and by night."""

CSS = """
:root { --ink: #22242a; --paper: #ffffff; --soft: #f3f4f6; --line: #c9ccd3; --dim: #60656f;
  --good: #00694d; --warn: #8a5a00; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e7ea; --paper: #16181c; --soft: #22252b; --line: #454a54; --dim: #a3a8b2;
    --good: #4fd1a5; --warn: #f0b84a; --bad: #ff8a7a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
.wide { overflow-x: auto; margin: 1rem 0 .3rem; }
table { border-collapse: collapse; font-size: .88rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .7rem .25rem 0; vertical-align: top; text-align: right; font-variant-numeric: tabular-nums; }
th { font-weight: 600; }
tbody tr { border-top: 1px solid var(--line); }
thead th { vertical-align: bottom; color: var(--dim); }
tbody th, thead th:first-child, .text th, .text td, .context th, .context td { text-align: left; }
.figures tbody th { white-space: nowrap; }
.context th { font-weight: 400; color: var(--dim); white-space: nowrap; }
.context td { overflow-wrap: anywhere; }
small, .dim { color: var(--dim); }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
pre { background: var(--soft); padding: .6rem .8rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  font-size: .85rem; }
figure { margin: 1.2rem 0; overflow-x: auto; }
figure svg { display: block; width: 100%; max-width: 50rem; height: auto; min-width: 32rem; }
"""
