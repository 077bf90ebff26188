# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the page looks. Kin to localcloud's page; a colour has one meaning, and nothing is told by colour alone."""

from __future__ import annotations

STYLE = """
:root {
  --paper: #f6f7f9; --card: #fff; --ink: #16202c; --dim: #57616d; --line: #dde2e8; --empty: #e9edf1;
  --ok: #17795a; --warning: #b45309; --error: #b3261e; --info: #2160c4;
  --old: #b45309; --older: #6a5296; --oldest: #b01e5a; --none: #69727d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0e131a; --card: #161d27; --ink: #e6ebf1; --dim: #9aa6b4; --line: #2a3442; --empty: #232d3a;
    --ok: #3dbb8d; --warning: #eaa14a; --error: #ff8a80; --info: #6ea5f8;
    --old: #eaa14a; --older: #ab9bdc; --oldest: #f0719f; --none: #93a0af;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 66rem; padding: 1.2rem clamp(.8rem, 3vw, 2.4rem) 3rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
header { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1.2rem; margin-bottom: .8rem; color: var(--dim); font-size: .9rem; }
header p { margin: 0; } header b { color: var(--ink); margin-right: .5rem; }
main > section { margin-bottom: 2rem; }
h1 { font-size: clamp(1.4rem, 1rem + 1.9vw, 2.1rem); line-height: 1.2; letter-spacing: -.02em; margin: 0; text-wrap: balance; }
.id { white-space: nowrap; }
h2 { font-size: 1.3rem; letter-spacing: -.015em; margin: 0 0 .8rem; }
h3 { font-size: 1rem; line-height: 1.4; margin: 0; } h4 { font-size: .8rem; margin: 0; color: var(--dim); }
h2 small, h3 small { font-weight: 400; color: var(--dim); font-size: .9rem; letter-spacing: 0; margin-left: .4rem; }
p { margin: .3rem 0; }
small { font-size: .85rem; }
.dim, td small, th small, dt, caption, thead, footer, summary { color: var(--dim); }
code, pre { font: .88em/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { margin: .4rem 0 0; padding: .6rem .8rem; background: var(--empty); border-radius: .45rem; white-space: pre-wrap; }
a { color: inherit; } a:focus-visible, summary:focus-visible { outline: 3px solid var(--info); outline-offset: 2px; border-radius: .2rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.symbols { position: absolute; }
.card, .finding, .verdict { background: var(--card); border: 1px solid var(--line); border-radius: .8rem; padding: 1.2rem 1.4rem; }

.icon { fill: var(--ok); vertical-align: -.13em; flex: none; } .icon.error { fill: var(--error); } .icon.warning { fill: var(--warning); }
.icon.info { fill: var(--info); } .icon.skipped { fill: var(--dim); }
.icon .in { fill: none; stroke: var(--card); stroke-width: 1.9; stroke-linecap: round; stroke-linejoin: round; }

.verdict { display: grid; grid-template-columns: auto 1fr; gap: .35rem 1.1rem; padding: 1.6rem 1.7rem; border-top: .4rem solid var(--ok); }
.verdict.error { border-top-color: var(--error); } .verdict.warning { border-top-color: var(--warning); }
.verdict.info { border-top-color: var(--info); }
.verdict > .icon { width: 2.4rem; height: 2.4rem; }
.verdict > :not(.icon) { grid-column: 2; min-width: 0; } .verdict p { margin: 0; color: var(--dim); } .verdict h1 { align-self: center; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .4rem; margin: .7rem 0 0; padding: 0; }
nav a { display: block; position: relative; padding: .1rem .65rem .1rem .5rem; border: 1px solid var(--line);
  border-radius: 2rem; text-decoration: none; font-size: .9rem; }
nav a:hover { border-color: currentColor; }

.finding { position: relative; padding-left: 3.3rem; margin-bottom: .8rem; }
.finding > .icon { position: absolute; left: 1.3rem; top: 1.35rem; width: 1.2rem; height: 1.2rem; }
.finding > p { margin: .1rem 0 0; font-size: .9rem; } .finding > ul { margin: .4rem 0 0; padding-left: 1.1rem; }
.remedy { margin-top: .8rem; padding-left: .9rem; border-left: 3px solid var(--line); }
.remedy p { margin: 0; } .remedy pre + p { margin-top: .7rem; } .remedy code { user-select: all; -webkit-user-select: all; }
.remedy pre:hover { outline: 1px solid var(--dim); }
details { margin-top: .9rem; } summary { cursor: pointer; width: fit-content; font-size: .9rem; }

dl { display: flex; flex-wrap: wrap; gap: .7rem 1.7rem; margin: 1.2rem 0 0; } h2 + dl { margin-top: 0; }
dt { font-size: .85rem; } dd { margin: 0; }
.numbers { gap: .8rem 2.8rem; margin-bottom: 1.3rem; } .numbers div { display: flex; flex-direction: column-reverse; }
.numbers b { font-size: 2rem; line-height: 1.1; letter-spacing: -.03em; font-weight: 650; } .numbers dd small { color: var(--dim); }
.quiet { color: var(--dim); padding: 1.6rem; border: 1px dashed var(--dim); border-radius: .6rem; text-align: center; }

.blocks { display: flex; flex-wrap: wrap; gap: 1.3rem 2.2rem; align-items: flex-start; }
figure { margin: 0; max-width: 100%; } figure svg { display: block; max-width: 100%; height: auto; }
figcaption { margin-bottom: .4rem; line-height: 1.35; font-size: .95rem; } figcaption small { display: block; color: var(--dim); }
.wanted { fill: var(--ok); } .old { fill: var(--old); } .older { fill: var(--older); } .oldest { fill: var(--oldest); }
.gap { fill: var(--card); fill-opacity: .55; }
.none { fill: none; stroke: var(--none); stroke-width: 1.4; }
.missing { fill: none; stroke: var(--dim); stroke-width: 1; stroke-dasharray: 1.7 1.3; }
.mark { fill: var(--card); } .cross { fill: none; stroke: var(--card); stroke-width: 2; stroke-linecap: round; }
figure g:hover { opacity: .6; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; margin: 1rem 0 0; padding: 0; color: var(--dim); font-size: .9rem; }
.swatch { width: .95rem; height: .95rem; vertical-align: -.12em; margin-right: .4rem; }
.swatch.busy, .swatch.unhealthy { background: var(--dim); border-radius: .2rem; }

table { border-collapse: collapse; width: 100%; margin-top: .4rem; }
caption { text-align: left; font-size: .85rem; padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem 1rem .45rem 0; border-top: 1px solid var(--line); font-weight: 400; }
thead th { border: 0; font-size: .85rem; padding-top: 0; } td small, th small { display: block; }
td:last-child, th:last-child { padding-right: 0; }
.figures td, .figures thead th + th { text-align: right; width: 9rem; }
.checks th { width: 26%; } .checks th + th, .checks td:nth-child(2) { width: 7.5rem; white-space: nowrap; }
.checks thead, .checks caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.card h3 { margin-top: 1.3rem; } .card h2 + h3 { margin-top: 0; }
.instances { table-layout: fixed; } .instances th { width: 24%; }
.drains { table-layout: fixed; } .drains th { width: 13rem; } .drains th:nth-child(2) { width: auto; }
.drains td:last-child, .drains th:last-child { width: 15rem; }
.bar { display: block; width: 100%; height: .9rem; margin: .3rem 0 .15rem; background: var(--empty); border-radius: 3px; overflow: hidden; }
.within { fill: var(--ok); } .over { fill: var(--error); } .striped { fill: url(#stripes); }
.limit { stroke: var(--ink); stroke-width: 3px; }
footer { font-size: .85rem; }

@media (max-width: 46rem) {
  .verdict { grid-template-columns: 1fr; padding: 1.2rem; } .verdict > :not(.icon) { grid-column: 1; }
  .card, .finding { padding: 1rem; } .finding { padding-left: 2.9rem; } .finding > .icon { left: 1rem; top: 1.1rem; }
  .numbers { gap: .8rem 1.8rem; }
  table, thead, tbody, tr, th, td, caption { display: block; }
  table td, table th { width: auto !important; padding-right: 0; border: 0; padding-block: .1rem; text-align: left !important; white-space: normal !important; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { border-top: 1px solid var(--line); padding: .5rem 0; }
  .figures td[data-name]::before { content: attr(data-name) ": "; color: var(--dim); }
}
@media print {
  @page { size: A4; margin: 16mm 15mm; }
  :root { --paper: #fff; --card: #fff; --ink: #000; --dim: #444; --line: #bbb; --empty: #eee; --ok: #17795a; --warning: #b45309; --error: #b3261e;
    --info: #2160c4; --old: #b45309; --older: #6a5296; --oldest: #b01e5a; --none: #555; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; } svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .card, .finding { border-radius: 0; border-width: 1px 0 0; padding: .8rem 0; } .finding { padding-left: 2rem; }
  .finding > .icon { left: 0; top: .9rem; }
  .verdict { border-radius: 0; padding: 1rem 0; border-width: .4rem 0 0; } nav { display: none; }
  details::details-content { content-visibility: visible; height: auto; } summary { list-style: none; }
  .checks thead, .checks caption { display: none; }
  tr, li, h2, h3, h4, figure, .remedy, dl > div { break-inside: avoid; } h2, h3, h4, summary, caption, figcaption { break-after: avoid; }
  thead { display: table-header-group; }
}
"""
