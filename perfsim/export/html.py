"""A sweep as one HTML page: axes to choose, points to hover over; nothing is loaded from elsewhere."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

from perfsim.errors import InputError
from perfsim.export.plain import json_text

if TYPE_CHECKING:
    import xarray

__all__ = ["MOST_POINTS", "interactive_html"]

MOST_POINTS = 20_000
"""Points that a browser draws without effort; of larger sweeps an even sample is shown, and the page says so."""


def interactive_html(dataset: xarray.Dataset, *, x: str = "runtime", y: str = "energy", title: str = "sweep") -> str:
    """A self-contained page with a scatter plot of the points of a sweep.

    dataset: from :func:`perfsim.sweep`; x, y: metric or coordinate on each axis at first; points that do not fit are
    hollow.

    Raises
    ------
    InputError
        if the dataset has no such variable.
    """
    table = dataset.to_dataframe().reset_index()
    names = [name for name in table.columns if table[name].notna().any()]
    for name in (x, y):
        if name not in names:
            raise InputError(f'no "{name}" in the sweep; it has {", ".join(map(str, names))}')
    step = max(1, math.ceil(len(table) / MOST_POINTS))
    shown = table.iloc[::step]
    units = {name: str(dataset[name].attrs.get("units", "")) for name in names if name in dataset.variables}
    data = {
        "columns": {str(name): [_cell(value) for value in shown[name]] for name in names},
        "units": units, "x": x, "y": y, "points": len(table), "step": step,
    }  # fmt: skip
    text = json_text(data, indent=None).replace("</", "<\\/")
    return _PAGE.replace("TITLE", html.escape(title)).replace("DATA", text)


def _cell(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>TITLE</title><style>
body { font: 14px sans-serif; margin: 1.5em; color-scheme: light dark; }
svg { width: 100%; height: 75vh; border: 1px solid #8888; } circle { stroke: #0072b2; fill: #0072b2; fill-opacity: .6; }
circle.no { fill: none; stroke: #d55e00; } text { fill: currentColor; font-size: 12px; } line { stroke: #8886; }
pre { min-height: 3em; white-space: pre-wrap; } label { margin-right: 1.2em; }
</style></head><body><h1>TITLE</h1><p>
<label>x <select id="x"></select></label><label><input type="checkbox" id="lx"> log</label>
<label>y <select id="y"></select></label><label><input type="checkbox" id="ly"> log</label>
<span id="note"></span></p><svg id="plot"></svg>
<pre id="point">Point at a dot. Hollow ones do not fit the memory.</pre><script>
"use strict";
const data = DATA, columns = data.columns, names = Object.keys(columns), size = columns[names[0]].length;
const at = id => document.getElementById(id), plot = at("plot"), space = "http://www.w3.org/2000/svg";
const unit = name => data.units[name] && data.units[name] !== "1" ? ` [${data.units[name]}]` : "";
for (const id of ["x", "y"]) for (const name of names) at(id).add(new Option(name + unit(name), name));
at("x").value = data.x; at("y").value = data.y;
at("note").textContent = data.step > 1 ? `every ${data.step}th of ${data.points} points` : `${data.points} points`;
function scale(name, log, low, high) {
  const raw = columns[name], numeric = raw.every(v => v === null || typeof v === "number");
  const kinds = numeric ? [] : [...new Set(raw)], value = numeric ? raw : raw.map(v => kinds.indexOf(v));
  const ok = value.map(v => v !== null && Number.isFinite(v) && (!log || v > 0));
  const f = v => log && numeric ? Math.log10(v) : v, seen = value.filter((v, i) => ok[i]).map(f);
  let least = Math.min(...seen), most = Math.max(...seen);
  if (!(most > least)) { least -= 1; most += 1; }
  const ticks = numeric ? Array.from({length: 6}, (_, i) => least + (most - least) * i / 5) : kinds.map((_, i) => i);
  const label = t => numeric ? Number((log ? 10 ** t : t).toPrecision(3)).toString() : kinds[t];
  return {ok, place: i => low + (high - low) * (f(value[i]) - least) / (most - least),
          ticks: ticks.map(t => [low + (high - low) * (t - least) / (most - least), label(t)])};
}
function mark(kind, attributes, text) {
  const node = document.createElementNS(space, kind);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  plot.append(node); return node;
}
function draw() {
  plot.replaceChildren();
  const {width, height} = plot.getBoundingClientRect();
  const across = scale(at("x").value, at("lx").checked, 80, width - 20);
  const up = scale(at("y").value, at("ly").checked, height - 40, 30);
  for (const [where, label] of across.ticks) { mark("line", {x1: where, x2: where, y1: 30, y2: height - 40});
    mark("text", {x: where, y: height - 24, "text-anchor": "middle"}, label); }
  for (const [where, label] of up.ticks) { mark("line", {x1: 80, x2: width - 20, y1: where, y2: where});
    mark("text", {x: 74, y: where + 4, "text-anchor": "end"}, label); }
  mark("text", {x: width / 2, y: height - 6, "text-anchor": "middle"}, at("x").value + unit(at("x").value));
  mark("text", {x: 4, y: 12}, at("y").value + unit(at("y").value));
  for (let i = 0; i < size; i++) if (across.ok[i] && up.ok[i]) {
    const dot = mark("circle", {cx: across.place(i), cy: up.place(i), r: 4});
    if (columns.fits && columns.fits[i] === false) dot.classList.add("no");
    dot.onmouseenter = () => at("point").textContent = names.map(n => `${n} = ${columns[n][i]}${unit(n)}`).join("   ");
  }
}
for (const id of ["x", "y", "lx", "ly"]) at(id).onchange = draw;
addEventListener("resize", draw); draw();
</script></body></html>
"""
