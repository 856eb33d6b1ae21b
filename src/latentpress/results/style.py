"""How a report's page looks, in light and dark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2125; --paper: #fff; --dim: #667; --line: #ccd; --bad: #b00020; --good: #17702c;
  --open: #8a5a00; --panel: #f3f4f6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --paper: #16181c; --dim: #9aa2ad; --line: #3a3f47;
  --bad: #ff8088; --good: #7ed492; --open: #f0b95a; --panel: #22262c; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; } p { margin: .5rem 0; }
.big { font-size: 1.15rem; font-weight: 600; } .bad { color: var(--bad); } .good { color: var(--good); }
.open { color: var(--open); } .dim { color: var(--dim); font-size: .9em; } a { color: inherit; }
ul { margin: .5rem 0; padding-left: 1.2rem; } code { background: var(--panel); padding: .1rem .3rem; border-radius: 3px; }
.figures { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0; }
.figures div { background: var(--panel); border-radius: 6px; padding: .4rem .9rem; }
.figures dt { color: var(--dim); font-size: .85em; } .figures dd { margin: 0; font-size: 1.2rem; font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; margin: .5rem 0; }
td, th { padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  unicode-bidi: isolate; }
td { min-width: 8rem; overflow-wrap: break-word; } td.n { min-width: 3.5rem; }
th { color: var(--dim); font-weight: 600; font-size: .9em; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.t { white-space: nowrap; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: .75rem; }
.pictures a { font-size: .8em; color: var(--dim); text-decoration: none; } .pictures img { display: block; max-width: 100%; }
img.sheet { max-width: 100%; height: auto; }
"""
