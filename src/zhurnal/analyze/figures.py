"""Figures of experiments, as PNG and SVG.

Promises: the same records give the same bytes; a file whose bytes would not change is left alone; an experiment has the same color and line in every
figure of a lab (from its number); a value that is missing is a gap; nothing covers a curve; a file says of what it was drawn (its stamp, see
`drawing.py`). matplotlib is imported when a figure is drawn.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core import numbers
from ..core.errors import ZhurnalError
from ..core.text import did_you_mean, list_names, printable
from ..store.lab import Lab
from . import curves, drawing, summary, table
from .curves import Curve
from .summary import Summary

# Okabe and Ito's colors, which people with color blindness can tell apart (https://jfly.uni-koeln.de/color/), their yellow left out for white paper.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
TRAIN_DASH = (0, (1.2, 1.2))
LONGEST_NAME = 200  # bytes of a file name
MANY, BEST = 12, 3  # of more experiments than MANY, the BEST at the end stand out and are named at their curves


@dataclass(frozen=True)
class Kind:
    """A kind of figure: which numbers over what."""

    title: str
    y_title: str
    keys: tuple[str, ...]  # of the rows; with two, the first is of validation, the second of training
    per_step: bool = False
    percent: bool = False


KINDS = {
    "val_acc_epoch": Kind("Validation accuracy", "validation accuracy, %", ("val_acc",), percent=True),
    "val_loss_epoch": Kind("Validation loss", "validation loss", ("val_loss",)),
    "train_acc_epoch": Kind("Training accuracy", "training accuracy, %", ("train_acc",), percent=True),
    "train_loss_epoch": Kind("Training loss", "training loss", ("train_loss",)),
    "train_loss_iter": Kind("Training loss", "training loss", ("loss",), per_step=True),
    "train_val_acc_epoch": Kind("Validation and training accuracy", "accuracy, %", ("val_acc", "train_acc"), percent=True),
    "train_val_loss_epoch": Kind("Validation and training loss", "loss", ("val_loss", "train_loss")),
    "lr_epoch": Kind("Learning rate", "learning rate", ("lr",)),
}


def check_kind(text: str) -> str:
    """Return a name in KINDS.

    Raises:
        ZhurnalError: there is no such kind of figure; names the nearest and all.
    """
    if text not in KINDS:
        raise ZhurnalError(f"figure '{printable(text, 60)}' is unknown{did_you_mean(text, KINDS) or ';'} figures are {list_names(KINDS)}")
    return text


def file_stem(names: Sequence[str], kind: str) -> str:
    """Return the name of a figure's files without ending: `e0038,e0039,e0040_val_acc_epoch`, or with ranges where that is too long."""
    for joined in (",".join(names), numbers.show(names)):
        if len(f"{joined}_{kind}.png".encode()) <= LONGEST_NAME:
            return f"{joined}_{kind}"
    return f"{names[0]}-and-{len(names) - 1}-more-{hashlib.sha256(numbers.show(names).encode()).hexdigest()[:8]}_{kind}"


def style(name: str) -> tuple[str, Any]:
    """Return the color and the dashes of an experiment: the same in all figures of a lab, different for neighbours (28 in a row)."""
    number = numbers.number(name) - 1
    return COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]


def draw(lab: Lab, names: Sequence[str], kinds: Sequence[str], folder: Path) -> list[Path]:
    """Draw figures of experiments into `folder` and return their files, a PNG and an SVG for each kind that has something to show.

    Raises:
        ZhurnalError: a kind or an experiment does not exist.
    """
    wanted = [check_kind(k) for k in kinds]
    return draw_all(summary.read_all(lab, names), wanted, folder)


def draw_all(summaries: Sequence[Summary], kinds: Sequence[str], folder: Path) -> list[Path]:
    """Draw figures of experiments that were read; see `draw`."""
    written = []
    for kind in kinds:
        rendered = render(summaries, kind)
        stem = file_stem([s.name for s in summaries], kind)
        written += drawing.put(folder, stem, rendered, source(summaries, kind))
    return written


def source(summaries: Sequence[Summary], kind: str) -> str:
    """Return a digest of what a figure shows: kind, experiments, their labels, curves and drops of the learning rate; empty without a curve."""
    what = KINDS[check_kind(kind)]
    shown = _shown(summaries, what)
    if not shown:
        return ""
    parts = [kind.encode()]
    for s, found in shown:
        parts += [s.name.encode(), _label(s).encode()]
        parts += [v.astype("<f4").tobytes() for c in found for v in (c.x, c.y, c.low, c.high)]
        parts += [f"{d.epoch} {d.step} {d.factor:.6g}".encode() for d in curves.drops(s.counted)]
    return drawing.digest(*parts)


def parse_stem(stem: str, kinds: Iterable[str]) -> tuple[list[str], str] | None:
    """Return experiments and kind of the figure whose files have this name; none where that is not the name of such a figure.

    >>> parse_stem("e0001,e0003_val_acc_epoch", KINDS), parse_stem("e0001_data", KINDS)
    ((['e0001', 'e0003'], 'val_acc_epoch'), None)
    """
    for kind in kinds:
        if stem.endswith(f"_{kind}"):
            try:
                return numbers.parse(stem.removesuffix(f"_{kind}")), kind
            except ZhurnalError:
                continue
    return None


def _shown(summaries: Sequence[Summary], kind: Kind) -> list[tuple[Summary, list[Curve]]]:
    """Return the experiments that have anything to show, with their curves."""
    return [(s, found) for s in table.with_diffs(summaries) if _anything(found := _curves(s, kind))]


def render(summaries: Sequence[Summary], kind: str, formats: Sequence[str] = ("png", "svg")) -> dict[str, bytes]:
    """Return a figure's bytes for each format; empty where no experiment has anything to show."""
    what = KINDS[check_kind(kind)]
    shown = _shown(summaries, what)
    if not shown:
        return {}
    with drawing.matplotlib():
        return drawing.encode(_figure([s for s, _ in shown], [c for _, c in shown], what), formats)


def has_something(summaries: Sequence[Summary], kind: str) -> bool:
    """Return whether a figure has anything to show, so that it is drawn."""
    return any(_anything(_curves(s, KINDS[check_kind(kind)])) for s in summaries)


def _anything(found: Sequence[Curve]) -> bool:
    return any(c.any for c in found)


def _curves(s: Summary, kind: Kind) -> list[Curve]:
    scale = 100.0 if kind.percent else 1.0
    found = [
        curves.reduce(curves.per_step(s.counted, k)) if kind.per_step else curves.reduce(curves.per_epoch(s.counted, k), 2000) for k in kind.keys
    ]
    return [Curve(c.x, c.y * scale, c.low * scale, c.high * scale) for c in found]


def _figure(summaries: Sequence[Summary], lines: Sequence[Sequence[Curve]], kind: Kind) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    labels = [_label(s) for s in summaries]
    if labels == [summaries[0].name]:
        labels = [""]  # the title names it
    longest = max(map(len, labels))
    beside = len(labels) <= 12 and longest <= 32
    columns = 1 if beside else max(1, min(len(labels), int(530 / (44 + 5.0 * longest))))
    legend_rows = 0 if beside else math.ceil((len(labels) + 2 * (len(kind.keys) == 2)) / columns)
    figure = Figure(figsize=(7.4, 3.7 + 0.155 * legend_rows), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    axes = figure.add_subplot()
    first = _best(lines, kind) if len(lines) > MANY else list(range(len(lines)))
    handles = []
    for index, (s, found) in enumerate(zip(summaries, lines, strict=True)):
        stands_out = index in first
        width = (1.8 if len(lines) <= 8 else 1.4) if stands_out else 0.8
        handles.append(_draw_one(axes, s, found, kind, width, 1.0 if stands_out else 0.5))
    if len(kind.keys) == 2:
        color, dashes = ("#777777", "solid") if len(lines) > 1 else style(summaries[0].name)
        handles += [axes.plot([], [], color=color, linewidth=w, linestyle=d)[0] for w, d in ((1.8, dashes), (1.4, TRAIN_DASH))]
        labels += ["validation", "training"]
    _scale(axes, [c for found in lines for c in found], kind)
    if len(lines) > MANY:
        _name_ends(axes, summaries, lines, first)
    if kind.keys != ("lr",):
        _mark_drops(axes, summaries, kind)
    shown = numbers.show(s.name for s in summaries)
    axes.set_title(f"{kind.title}, {shown if len(shown) <= 60 else f'{len(summaries)} experiments'}")
    axes.set_ylabel(kind.y_title)
    axes.set_xlabel("optimizer step" if kind.per_step else "epoch")
    entries = [(h, label) for h, label in zip(handles, labels, strict=True) if label]
    if entries:
        figure.legend(
            *zip(*entries, strict=True), loc="outside right upper" if beside else "outside lower left", ncols=columns, handlelength=2.6,
            columnspacing=1.6, labelspacing=0.35, borderpad=0.1, borderaxespad=0.3,
        )  # fmt: skip
    return figure


def _end(found: Sequence[Curve]) -> float:
    """Return the last value of an experiment's first curve."""
    return float(found[0].y[np.isfinite(found[0].y)][-1]) if found[0].any else math.nan


def _best(lines: Sequence[Sequence[Curve]], kind: Kind) -> list[int]:
    """Return which curves end best, best first: what a reader looks for among many."""
    if kind.keys == ("lr",):
        return []
    ends = [(_end(found) * (-1 if kind.percent else 1), i) for i, found in enumerate(lines) if found[0].any]
    return [i for _, i in sorted(ends)[:BEST]]


def _name_ends(axes: Any, summaries: Sequence[Summary], lines: Sequence[Sequence[Curve]], which: Sequence[int]) -> None:
    """Write experiments' names at the right ends of their curves, moved apart so that none covers another."""
    lowest, highest = axes.get_ylim()
    taken = math.inf
    for i in sorted(which, key=lambda i: -_end(lines[i])):
        height = 210 * (_end(lines[i]) - lowest) / (highest - lowest)  # points, about
        taken = min(height, taken - 9)
        x = lines[i][0].x[np.isfinite(lines[i][0].y)][-1]
        axes.annotate(summaries[i].name, (x, _end(lines[i])), xytext=(5, taken - height), textcoords="offset points", fontsize=7.5, va="center")


def _label(s: Summary) -> str:
    planned = s.experiment.settings.train.epochs
    states = list(dict.fromkeys(f"{r.status} after {r.num_epochs} of {planned} epochs" for r in s.counted if not r.finished))
    words = [s.name, s.diff if len(s.diff) <= 84 else s.diff[:83] + "…", f"(n={len(s.counted)})" if len(s.counted) > 1 else ""]
    return " ".join(w for w in (*words, f"({', '.join(states)})" if states else "") if w)


def _draw_one(axes: Any, s: Summary, found: Sequence[Curve], kind: Kind, width: float, alpha: float) -> Any:
    """Draw the curves of one experiment and return the line that stands for it in the legend."""
    color, dashes = style(s.name)
    handles = []
    for index, curve in enumerate(found):
        look = {"color": color, "linewidth": width, "linestyle": dashes, "alpha": alpha, "zorder": 2.0 + alpha}
        if index == 1:
            look |= {"linewidth": 0.8 * width, "linestyle": TRAIN_DASH, "zorder": 1.5 + alpha}
        if curve.has_range and index == 0:
            axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.14 if not kind.per_step else 0.10, linewidth=0, zorder=2)
        if kind.keys == ("lr",):
            look["drawstyle"] = "steps-mid"
        handles.append(axes.plot(curve.x, curve.y, **look)[0])
        alone = curves.isolated(curve.y)
        if alone.any():
            axes.plot(curve.x[alone], curve.y[alone], color=color, linestyle="none", marker="o" if index == 0 else "D", markersize=4.5, zorder=3)
        if index == 0 and not any(r.finished for r in s.counted) and curve.any:
            last = int(np.flatnonzero(np.isfinite(curve.y))[-1])
            axes.plot(curve.x[last], curve.y[last], color=color, linestyle="none", marker="x", markersize=6, markeredgewidth=1.5, zorder=4)
    return handles[0]


def _scale(axes: Any, every: Sequence[Curve], kind: Kind) -> None:
    """Choose scales and limits from what is there."""
    x = np.concatenate([c.x[np.isfinite(c.y)] for c in every])
    y = np.concatenate([c.y[np.isfinite(c.y)] for c in every])
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    if x.max() > x.min():
        axes.set_xlim(x.min() - 0.012 * (x.max() - x.min()), x.max() + 0.012 * (x.max() - x.min()))
    else:
        axes.set_xlim(x.min() - 1, x.max() + 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if kind.per_step:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
    positive = y[y > 0]
    wide = y.max() > 5 * y.min() if kind.keys == ("lr",) else y.max() > 20 * np.median(y)
    if wide and not kind.percent and len(positive) == len(y):
        axes.set_yscale("log")
    elif kind.percent:
        axes.set_ylim(top=min(100.6, axes.get_ylim()[1]), bottom=max(-0.6, axes.get_ylim()[0]))
    if axes.get_yscale() == "log":
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def _mark_drops(axes: Any, summaries: Sequence[Summary], kind: Kind) -> None:
    """Mark where learning rates fall, when these are few places."""
    found = {(d.step if kind.per_step else d.epoch): d for s in summaries for d in curves.drops(s.counted)}
    if len(found) > 3:
        return
    for at, drop in sorted(found.items()):
        axes.axvline(at if kind.per_step else at - 0.5, color="#999999", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        text = f"lr × {drop.factor:.2g}"
        axes.annotate(text, (at - 0.5 * (not kind.per_step), 1.0), xycoords=("data", "axes fraction"), xytext=(3, -1), textcoords="offset points",
                      fontsize=7, color="#888888", va="bottom")  # fmt: skip
