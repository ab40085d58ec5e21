"""Figures of what a network said: confusion matrix, accuracy for each class, calibration, and sheets of images. K classes, N images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ZhurnalError
from ..core.text import did_you_mean, list_names, percent, printable
from . import drawing, predictions
from .predictions import Predictions

SHOWN_CLASSES = 40  # of more, a matrix shows its numbers by color alone and names no class


def draw(found: Predictions, kinds: Sequence[str], folder: Path) -> list[Path]:
    """Draw figures of `KINDS` into `folder` as `e0038_confusion.png` and `.svg`; return their files.

    Raises:
        ZhurnalError: there is no such kind.
    """
    written = []
    for kind in kinds:
        if kind not in KINDS:
            raise ZhurnalError(f"figure '{printable(kind, 60)}' is unknown{did_you_mean(kind, KINDS) or ';'} figures are {list_names(KINDS)}")
        with drawing.matplotlib():
            rendered = drawing.encode(KINDS[kind](found))
        written += drawing.put(folder, stem(found.experiment, kind), rendered, source(found, kind))
    return written


def source(found: Predictions, kind: str) -> str:
    """Return a digest of what a figure shows."""
    told = [kind, found.experiment, str(found.seed), str(found.epoch), *found.classes]
    arrays = [found.label_N.astype("<i8"), found.predicted_N.astype("<i8"), found.confidence_N.astype("<f4")]
    return drawing.digest(*(t.encode() for t in told), *(a.tobytes() for a in arrays))


def stem(experiment: str, kind: str) -> str:
    """Return the name of a figure's files without ending: `e0038_confusion`."""
    return f"{experiment}_{kind}"


def _title(found: Predictions, what: str) -> str:
    return f"{what}, {found.experiment} (seed {found.seed}, epoch {found.epoch}, {len(found.label_N):,} validation images)"


def _confusion(found: Predictions) -> Any:
    from matplotlib.figure import Figure

    counts_KK = predictions.confusion(found)
    size = len(found.classes)
    shares_KK = counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    side = min(11.0, 2.6 + 0.42 * size) if size <= SHOWN_CLASSES else 8.0
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(shares_KK, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set_title(_title(found, "Confusion"))
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    if size <= SHOWN_CLASSES:
        names = [printable(c, 18) for c in found.classes]
        axes.set_xticks(range(size), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(size), names)
        for i, j in zip(*np.nonzero(counts_KK), strict=True):
            color = "white" if shares_KK[i, j] > 0.55 else "#222222"
            axes.text(j, i, f"{counts_KK[i, j]}", ha="center", va="center", fontsize=7 if size <= 20 else 5, color=color)
    bar = figure.colorbar(picture, ax=axes, shrink=0.8, format=lambda v, _: f"{100 * v:.0f}")
    bar.set_label("% of the true class")
    bar.outline.set_visible(False)
    return figure


def _classes(found: Predictions) -> Any:
    from matplotlib.figure import Figure

    rows = sorted((r for r in predictions.by_class(found) if r.num), key=lambda r: r.accuracy)
    figure = Figure(figsize=(7.4, 1.2 + 0.24 * min(len(rows), 60)), layout="constrained")
    axes = figure.add_subplot()
    y = np.arange(len(rows))
    values = np.array([100 * r.accuracy for r in rows])
    errors = np.abs(np.array([[100 * r.low, 100 * r.high] for r in rows]).T - values)
    axes.barh(y, values, color="#0072B2", height=0.7)
    axes.errorbar(values, y, xerr=errors, fmt="none", ecolor="#222222", elinewidth=1, capsize=2)
    if len(rows) <= 60:
        axes.set_yticks(y, [printable(r.name, 24) for r in rows])
    axes.axvline(100 * found.accuracy, color="#D55E00", linewidth=1.2)
    axes.annotate(f"all {percent(found.accuracy)}", (100 * found.accuracy, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -8),
                  textcoords="offset points", fontsize=7.5, color="#D55E00")  # fmt: skip
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_xlim(0, 100)
    axes.set_xlabel("validation accuracy, %, with a 95 % interval for the share")
    axes.set_title(_title(found, "Accuracy by class"))
    return figure


def _calibration(found: Predictions) -> Any:
    from matplotlib.figure import Figure

    bins, error = predictions.calibration(found)
    figure = Figure(figsize=(7.4, 4.6), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 100], [0, 100], color="#888888", linewidth=1, linestyle=(0, (4, 2)))
    full = [b for b in bins if b.num]
    axes.plot(
        [100 * b.confidence for b in full], [100 * b.accuracy for b in full], color="#0072B2", marker="o", markersize=4, linewidth=1.6, clip_on=False
    )
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(0, 100)
    axes.set_title(_title(found, "Calibration"))
    axes.annotate(f"expected calibration error {percent(error)} points", (0.03, 0.92), xycoords="axes fraction", fontsize=8)
    below.bar([50 * (b.low + b.high) for b in bins], [b.num for b in bins], width=90 / len(bins), color="#56B4E9")
    below.set_ylabel("images")
    below.set_xlabel("confidence, %")
    below.set_xlim(0, 100)
    return figure


KINDS = {"confusion": _confusion, "classes": _classes, "calibration": _calibration}


def sheet(images_NHWC: np.ndarray, captions: Sequence[str], title: str) -> dict[str, bytes]:
    """Return a sheet of images with a caption each, as PNG.

    Args:
        images_NHWC: uint8, one or three channels.
        captions: one for each image.
        title: of the sheet.
    """
    from matplotlib.figure import Figure

    columns = min(8, len(images_NHWC))
    rows = math.ceil(len(images_NHWC) / columns)
    lines = max(c.count("\n") + 1 for c in captions)
    with drawing.matplotlib():
        figure = Figure(figsize=(1.15 * columns + 0.2, (1.12 + 0.17 * lines) * rows + 0.45), layout="constrained")
        figure.suptitle(title, fontsize=10, x=0.01, ha="left", fontweight="bold")
        all_axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for axes in all_axes:
            axes.axis("off")
        for axes, image_HWC, caption in zip(all_axes, images_NHWC, captions, strict=False):
            gray = image_HWC.shape[-1] == 1
            axes.imshow(image_HWC[..., 0] if gray else image_HWC, cmap="gray" if gray else None, vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(caption, fontsize=6.5, fontweight="normal", loc="center", pad=2)
        return drawing.encode(figure, ("png",))
