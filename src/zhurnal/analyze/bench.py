"""The figure of `zhurnal bench`: training steps beside the machine's peak, and where the time of an epoch goes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.text import count, duration, percent
from . import drawing, figures

# Part of the loop -> color: what prepares images, what computes, what is around it.
PARTS = {
    "waiting for data": "#E69F00", "augmentation": "#F0C75E",
    "forward": "#56B4E9", "backward": "#0072B2", "optimizer": "#003B5C",
    "metrics and records": "#999999", "validation": "#009E73", "checkpoints": "#CC79A7",
}  # fmt: skip
SMALLEST_NAMED = 0.03  # of an epoch: a narrower piece of the bar has no room for its figure


def draw(folder: Path, stem: str, found: Mapping[str, Any]) -> list[Path]:
    """Draw what was measured into `folder` as `stem.png` and `stem.svg` and return these, none where there is nothing to show.

    Args:
        folder: made if it is not there.
        stem: name of the files.
        found: the measurement as plain values (`train.machine.Bench.to_dict`).
    """
    if not found["speeds"] and not found["epoch"]:
        return []
    return drawing.put(folder, stem, _render(found))


def _render(found: Mapping[str, Any]) -> dict[str, bytes]:
    with drawing.matplotlib():
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        speeds, epoch = found["speeds"], found["epoch"]
        models = list(dict.fromkeys(s["model"] for s in speeds))
        heights = [0.24 * len(speeds) + 0.14 * len(models) + 0.8] * bool(speeds) + [1.9] * bool(epoch)
        figure = Figure(figsize=(7.4, sum(heights) + 0.25), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
        panels = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
        if speeds:
            _steps(panels.pop(0).add_subplot(), speeds, found)
        if epoch:
            _epoch(panels.pop(0), epoch)
        machine = found["machine"]
        what = machine["device"] if machine["device"] != "cpu" else f"{machine['processor']}, {count(found['cores'], 'core')}"
        busy = f", load {found['load']:.1f}: busy" if found["load"] is not None and found["load"] > found["cores"] else ""
        figure.supxlabel(f"{what}{busy}, PyTorch {machine['torch']}", fontsize=7.5, color="#777777")
        return drawing.encode(figure)


def _steps(axes: Any, speeds: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> None:
    """Draw a bar for each network, number of threads and layout, and the peaks as lines."""
    y, ticks, names = 0.0, [], []
    model = speeds[0]["model"]
    threads = sorted({s["step"]["threads"] for s in speeds})
    for speed in speeds:
        step = speed["step"]
        y += 0.6 * (speed["model"] != model)
        model = speed["model"]
        color = figures.COLORS[threads.index(step["threads"])]
        axes.barh(y, speed["gflops"], height=0.8, color=color, alpha=1.0 if step["channels_last"] else 0.55)
        images = step["batch"] / step["seconds"]
        share = f", {percent(speed['of_peak'], 0)} %" if speed["of_peak"] is not None else ""
        axes.annotate(f"{images:,.0f} images/s{share}", (speed["gflops"], y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5,
                      bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6})  # fmt: skip
        ticks.append(y)
        low = ", bfloat16" if step["precision"] == "bfloat16" else ""
        names.append(f"{model}, {count(step['threads'], 'thread')}, {'channels last' if step['channels_last'] else 'NCHW'}{low}")
        y += 1
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set_ylim(y - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    top = max(s["gflops"] for s in speeds)
    shown = {(s["step"]["threads"], s["step"]["precision"]) for s in speeds}
    peaks = [p for p in found["peaks"] if p["device"] == found["device"] and (p["threads"], p["precision"]) in shown]
    peaks.sort(key=lambda p: float(p["gflops"]))
    for peak in peaks:  # the name of all but the highest stands on the left of its line: they may be close
        color = figures.COLORS[threads.index(peak["threads"])]
        dashes = (4, 2) if peak["precision"] == "float32" else (1, 1.5)
        axes.axvline(peak["gflops"], color=color, linewidth=1.2, linestyle=(0, dashes), zorder=1)
        low = ", bfloat16" if peak["precision"] == "bfloat16" else ""
        text = f"peak, {count(peak['threads'], 'thread')}{low}" if found["device"] == "cpu" else f"peak{low}"
        axes.annotate(text, (peak["gflops"], 1), xycoords=("data", "axes fraction"), xytext=(0, 2), textcoords="offset points", fontsize=7,
                      color=color, ha="right" if peak is not peaks[-1] else "left", va="bottom")  # fmt: skip
        top = max(top, peak["gflops"])
    axes.set_xlim(0, 1.32 * top)
    axes.set_title("Training step", pad=14)
    axes.set_xlabel("GFLOP/s; share of the peak of a product or convolution on as many threads", fontsize=8)


def _epoch(panel: Any, epoch: Mapping[str, Any]) -> None:
    """Draw an epoch as one bar of its parts."""
    axes = panel.add_subplot()
    left = 0.0
    for part in epoch["parts"]:
        color = PARTS.get(part["name"], "#DDDDDD")
        width = 100 * part["share"]
        label = f"{part['name']} {percent(part['share'], 1)} %"
        axes.barh(0, width, left=left, height=0.7, color=color, edgecolor="white", linewidth=0.8, label=label)
        if part["share"] >= SMALLEST_NAMED:
            dark = part["name"] in ("backward", "optimizer", "validation")
            axes.text(left + width / 2, 0, f"{width:.0f}", ha="center", va="center", fontsize=8, color="white" if dark else "#222222")
        left += width
    axes.set_yticks([])
    axes.set_ylim(-0.5, 0.5)
    axes.set_xlim(0, 100)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_title("Where the time of an epoch goes")
    what = f"{epoch['model']}, {count(epoch['threads'], 'thread')}, batches of {epoch['batch']}"
    axes.set_xlabel(f"% of the time, {duration(epoch['seconds'])} ({what})", fontsize=8)
    panel.legend(loc="outside lower left", ncols=4, handlelength=1.0, columnspacing=1.4, handletextpad=0.5, borderpad=0.1)
