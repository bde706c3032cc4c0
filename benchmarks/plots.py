"""Draws the curves of benchmarks/results/growth.json as docs/pictures/growth-NAME.svg and .png.

python benchmarks/plots.py [--results DIR] [--output DIR]    (extra "plot": matplotlib)"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COLORS = ("#0b6e99", "#c4561b", "#6b6b6b")
INK, FAINT = "#333333", "#d8d8d8"
KIB = 1024


def label(value: float, x: str) -> str:
    if x != "bytes":
        return f"{value:,.0f}"
    for size, unit in ((KIB * KIB, "M"), (KIB, "K")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def axes_of(axes: Any, ticker: Any, curve: dict[str, Any]) -> None:
    """Scales, ticks and words."""
    points = [point for series in curve["series"].values() for point in series]
    places = sorted({point[0] for point in points})
    top = max(point[1] for point in points)
    if curve["x"].startswith("%"):
        axes.set_xticks(range(0, 121, 20))
        axes.set_ylim(0, 1.3 * top)
    else:
        axes.set_xscale("log", base=2 if places[1] < 10 * places[0] else 10)
        step = -(-len(places) // 8)
        axes.set_xticks(places[::step], [label(place, curve["x"]) for place in places[::step]])
        axes.xaxis.minorticks_off()
        if top > 5 * min(point[1] for point in points):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(ticker.NullFormatter())
            axes.yaxis.minorticks_off()
        else:
            axes.set_ylim(0, 1.3 * top)
    axes.set_xlabel(curve["x"], color=INK)
    axes.set_ylabel(curve["y"], color=INK)
    axes.set_title(curve["title"], loc="left", fontsize=10, color=INK)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def draw(pyplot: Any, curve: dict[str, Any], path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(4.8, 2.8), layout="constrained")
    for color, (name, points) in zip(COLORS, curve["series"].items(), strict=False):
        places, middle, low, high = zip(*points, strict=True)
        axes.fill_between(places, low, high, color=color, alpha=0.12, linewidth=0)
        axes.plot(places, middle, color=color, label=name, marker="o", markersize=3, linewidth=1.4)
    axes_of(axes, importlib.import_module("matplotlib.ticker"), curve)
    if len(curve["series"]) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=140)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "pictures")
    options = parser.parse_args()
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError:
        print("plots: matplotlib is not installed (extra 'plot': pip install 'matplotlib>=3.8')")
        return 1
    matplotlib.use("agg")
    matplotlib.rcParams.update({"font.size": 8, "svg.hashsalt": "rchan", "svg.fonttype": "none"})
    curves = json.loads((options.results / "growth.json").read_text("utf-8"))["figures"]
    for name, curve in curves.items():
        draw(importlib.import_module("matplotlib.pyplot"), curve, options.output / f"growth-{name}")
        print(f"growth-{name}.svg, .png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
