"""The figure of a range test: loss over learning rate, with the learning rates it speaks for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.text import show
from . import drawing, figures


def draw(
    folder: Path, name: str, lrs: Sequence[float], losses: Sequence[float], smooth: Sequence[float], *, steepest: float | None, tenth: float | None
) -> list[Path]:
    """Draw `e0001_lr_find.png` and `.svg` into `folder` and return them, none where no loss is finite; a file that would not change is left alone.

    Args:
        folder: made if it is not there.
        name: the experiment.
        lrs: learning rate of each step, rising.
        losses: of each step's mini-batch; one that is not finite is a gap.
        smooth: their moving average.
        steepest: learning rate where the loss falls the fastest, or none.
        tenth: a tenth of the learning rate where the average is lowest, or none.
    """
    if not np.isfinite(losses).any():
        return []
    return drawing.put(
        folder, f"{name}_lr_find", _render(name, np.asarray(lrs), np.asarray(losses, float), np.asarray(smooth, float), steepest, tenth)
    )


def _render(name: str, lrs: np.ndarray, losses: np.ndarray, smooth: np.ndarray, steepest: float | None, tenth: float | None) -> dict[str, bytes]:
    with drawing.matplotlib():
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
        from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

        figure = Figure(figsize=(7.4, 3.7), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
        axes = figure.add_subplot()
        color, _ = figures.style(name)
        axes.plot(lrs, losses, color=color, linewidth=0.8, alpha=0.4, label="a batch's loss")
        axes.plot(lrs, smooth, color=color, linewidth=1.8, label="smoothed")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=12))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        _limit(axes, losses, smooth)
        for lr, text, mark in ((steepest, "steepest descent", "o"), (tenth, "a tenth of the minimum's", "D")):
            if lr is not None:
                axes.axvline(lr, color="#999999", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
                height = float(np.interp(np.log(lr), np.log(lrs), np.nan_to_num(smooth, nan=np.nanmax(smooth))))
                axes.plot(lr, height, marker=mark, color=color, markersize=5, linestyle="none", label=f"{text}: {show(float(f'{lr:.2g}'))}", zorder=4)
        axes.set_title(f"Range test of the learning rate, {name}")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        figure.legend(loc="outside lower left", ncols=4, handlelength=1.6, columnspacing=1.6, borderpad=0.1, borderaxespad=0.3)
        return drawing.encode(figure)


def _limit(axes: object, losses: np.ndarray, smooth: np.ndarray) -> None:
    """Leave what comes after divergence out of sight, so that the fall before it can be seen."""
    lowest = int(np.nanargmin(np.where(np.isfinite(smooth), smooth, np.nan)))
    shown = losses[: max(lowest + 1, 5)]
    high = float(shown[np.isfinite(shown)].max())
    low = float(min(losses[np.isfinite(losses)].min(), smooth[np.isfinite(smooth)].min()))
    room = max(high - low, 1e-3 * abs(high), 1e-9)
    axes.set_ylim(low - 0.06 * room, high + 0.25 * room)  # type: ignore[attr-defined]
