"""How a report's page looks: one style sheet, in light and dark, for a phone's width and a desk's."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #5c6670; --paper: #ffffff; --panel: #f3f5f7;
  --rule: #d5dae0; --blue: #0060a8; --orange: #b34700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #a0a9b3; --paper: #14171a; --panel: #1e2328;
  --rule: #383f47; --blue: #6cb6f5; --orange: #ff9e57; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .4rem 0; max-width: 46rem; } .soft, figcaption { color: var(--soft); font-size: .9rem; }
nav a { margin-right: .9rem; } a { color: var(--blue); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.figures div { background: var(--panel); border-radius: .4rem; padding: .6rem .8rem; }
.figures b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; white-space: normal; }
td.meter { width: 9rem; min-width: 6rem; }
.meter i { display: block; height: .6rem; background: var(--orange); border-radius: .1rem; }
figure { margin: .8rem 0; }
svg { display: block; } svg.diagram { width: 100%; max-width: 36rem; } svg.matrix { width: 100%; min-width: 42rem; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg.matrix text { font-size: 9px; }
.right, .bar, .point { fill: var(--blue); } .wrong { fill: var(--orange); }
.frame, .grid, .line, .ideal, .median { fill: none; stroke: var(--soft); stroke-width: 1; }
.grid { stroke: var(--rule); } .line { stroke: var(--blue); stroke-width: 2; }
.ideal { stroke-dasharray: 4 4; } .median { stroke: var(--orange); stroke-width: 1.5; }
article { background: var(--panel); border-radius: .4rem; padding: .8rem; margin: .8rem 0; }
audio { width: 100%; height: 2.5rem; margin: .4rem 0; }
.pairs { display: flex; flex-wrap: wrap; font: .85rem/1.25 ui-monospace, monospace; }
.pairs span { display: inline-flex; flex-direction: column; align-items: center; padding: .15rem .25rem; }
.pairs .error { color: var(--orange); font-weight: 700; border-bottom: 2px solid var(--orange); }
summary { cursor: pointer; }
"""
