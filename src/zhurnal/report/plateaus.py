"""Sentences about where a curve saturates or a loss begins to rise, held against the curves.

A person who reads an epoch off a curve may be off by some: only what is far off is reported, and only where it is far off for every experiment that
the sentence may be about.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ..analyze import curves
from ..analyze.summary import Summary
from . import reading

SHORTEST = 5  # epochs; shorter curves are left alone
LAST = 5
SHOWN = 3
NEAR, SHARE = 3, 0.35  # epochs, and part of the epoch, by which a sentence may be off
RISES = 0.02  # a loss that ends less than this part above its lowest is not said to rise


def judge(claim: reading.Saturates, told: Sequence[Summary], smallest: float) -> Iterator[tuple[str, str, str, str]]:
    """Give what does not hold: kind of problem, text, evidence, strength. `smallest` is the difference that matters, in points."""
    found = []
    for s in told:
        curve = curves.per_epoch(s.counted, "val_loss" if claim.loss_rises else "val_acc")
        if len(curve.y) < SHORTEST or not np.isfinite(curve.y).all():
            return  # one that cannot be judged may be the one that is meant
        why = _loss(s, curve, claim.epoch) if claim.loss_rises else _accuracy(s, curve, claim.epoch, smallest / 100)
        if why is None:
            return
        found.append(why)
    if found:
        what = "is not where the validation loss begins to rise" if claim.loss_rises else "is not where the curves become flat"
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield "claim", f"epoch {claim.epoch} {what}", "; ".join(found[:SHOWN]) + more, "observed"


def _smooth(y: curves.Floats) -> curves.Floats:
    """Return medians of three neighbours."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(y, 1, mode="edge"), 3)
    smooth: curves.Floats = np.median(windows, axis=1)
    return smooth


def _accuracy(s: Summary, curve: curves.Curve, epoch: int, margin: float) -> str | None:
    """Return why an epoch is far from where accuracy comes to its plateau, the mean of the last epochs; none where it is not."""
    first, last = int(curve.x[0]), int(curve.x[-1])
    if epoch > last:
        return f"{s.name} ran {last} epochs"
    smooth = _smooth(curve.y)
    plateau = float(curve.y[-LAST:].mean())
    far = np.flatnonzero(smooth < plateau - margin)
    reached = first + (int(far[-1]) + 1 if len(far) else 0)  # from here on it stays near
    allowed = max(NEAR, SHARE * epoch)
    if reached - epoch > allowed and smooth[max(0, epoch - first)] < plateau - 2 * margin:
        return f"{s.name} still rises by {100 * (plateau - smooth[max(0, epoch - first)]):.1f} points after it"
    if epoch - reached > allowed:
        return f"{s.name} is within {100 * margin:g} points of its end ({100 * plateau:.2f} %) from epoch {reached} on"
    return None


def _loss(s: Summary, curve: curves.Curve, epoch: int) -> str | None:
    """Return why an epoch is far from where the loss is lowest; none where it is not."""
    first, last = int(curve.x[0]), int(curve.x[-1])
    smooth = _smooth(curve.y)
    lowest = first + int(smooth.argmin())
    low, end = float(smooth.min()), float(curve.y[-min(LAST, last) :].mean())
    if end < (1 + RISES) * low:
        return f"the loss of {s.name} does not rise: lowest at epoch {lowest} ({low:.3f}), {end:.3f} at its end"
    if abs(lowest - epoch) > max(NEAR, SHARE * lowest):
        return f"the loss of {s.name} is lowest at epoch {lowest} ({low:.3f}; {end:.3f} at its end)"
    return None
