"""How the world card looks, in light and in dark."""

STYLE = """
:root { color-scheme: light dark; --paper: #f7f7f5; --card: #fff; --ink: #1b1d23;
  --muted: #5d6371; --line: #e0e2e8; --accent: #c93f22; --tint: #fdf1ec;
  --good: #1d7044; --fair: #8a5a00; --poor: #b3261e; --bar0: #5d6371; --bar1: #c93f22;
  --bar2: #e3a08e; }
@media (prefers-color-scheme: dark) { :root { --paper: #14161a; --card: #1c1f25;
  --ink: #e9eaee; --muted: #a2a8b5; --line: #343943; --accent: #ff8264; --tint: #33231f;
  --good: #6fce9a; --fair: #ffd479; --poor: #ff9a8f; --bar0: #a2a8b5; --bar1: #ff8264;
  --bar2: #8a4a3c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 44px 0 8px; }
h3 { font-size: 1rem; margin: 18px 0 6px; }
p { margin: 4px 0 10px; max-width: 96ch; }
.muted, .note, figcaption { color: var(--muted); }
.note, figcaption { font-size: .88rem; }
.findings { list-style: none; margin: 0; padding: 0; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
.findings li { display: grid; grid-template-columns: 84px 1fr; gap: 14px; padding: 12px 16px;
  margin: 0; max-width: none; border-top: 1px solid var(--line); }
.findings li:first-child { border-top: 0; }
.findings p { margin: 2px 0 0; color: var(--muted); }
.tone { font-size: .8rem; font-weight: 650; padding-top: 3px; }
.good .tone { color: var(--good); } .fair .tone { color: var(--fair); }
.poor .tone { color: var(--poor); } .open .tone { color: var(--muted); }
.tone::before { content: "\\25CF\\00a0"; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--muted); font-weight: 600; font-size: .8rem; white-space: normal;
  vertical-align: bottom; min-width: 64px; }
th:first-child, td:first-child { text-align: left; }
td:first-child { white-space: normal; min-width: 96px; }
tr:last-child td { border-bottom: 0; }
tr.first td { background: var(--tint); font-weight: 600; }
td small { color: var(--muted); margin-left: 5px; font-weight: 400; }
.grid { display: grid; gap: 8px 32px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); }
@media (min-width: 900px) { .grid.judged { grid-template-columns: 330px 1fr; } }
figure { margin: 0; min-width: 0; } .grid > div { min-width: 0; }
details { margin: 0 0 10px; } summary { cursor: pointer; padding: 4px 0; font-weight: 550; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--muted); font-size: 12px; }
svg.strip { width: 130px; margin-left: auto; }
path.grid { stroke: var(--line); fill: none; }
path.ideal { stroke: var(--muted); stroke-dasharray: 4 3; fill: none; }
path.whisker { stroke: var(--accent); stroke-width: 1.6; fill: none; opacity: .7; }
circle.dot { fill: var(--accent); }
rect.bar0 { fill: var(--bar0); } rect.bar1 { fill: var(--bar1); } rect.bar2 { fill: var(--bar2); }
.bias { border-left: 3px solid var(--accent); padding: 4px 0 4px 14px; }
ul { margin: 6px 0; padding-left: 1.3em; } li { margin: 3px 0; max-width: 96ch; }
"""
