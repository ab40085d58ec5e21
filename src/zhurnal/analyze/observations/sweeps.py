"""What several values of one setting, or of several, show: the best learning rate, what batch size does, which factors of a grid play a role."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from ...core.text import count, duration, percent, show
from .. import table
from ..comparing import POINTS, difference
from ..effective import NOT_A_CAUSE
from ..observation import CLAIMED, Observation, Strength
from ..settled import mean_settled, noise_of, series, settled_all, unit
from ..stats import pairs
from ..summary import Summary, median
from .known import Known, places

FEWEST_RATES = 5  # learning rates, over a factor of ten, before an optimum is named
TARGET = 0.95  # of the worst plateau: the accuracy that progress is measured to


def groups(told: Sequence[Summary], key: str) -> list[list[Summary]]:
    """Return experiments that differ in `key` alone, in the order of its value: groups with at least two values."""
    found: dict[str, list[tuple[Any, Summary]]] = {}
    ran = [s for s in told if s.counted and all(r.finished for r in s.counted)]
    for s, facts in zip(ran, table.comparable(ran) if ran else [], strict=True):
        if facts.get(key) is not None:
            rest = {k: v for k, v in facts.items() if k != key and k not in NOT_A_CAUSE}
            found.setdefault(repr(sorted(rest.items())), []).append((facts[key], s))
    kept = []
    for members in found.values():
        values = dict(reversed(members))
        if len(values) > 1:
            kept.append([values[v] for v in sorted(values)])
    return kept


# --- the learning rate ---


def learning_rate(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say which tested learning rate did best, which cannot be told from it, and whether the best lies between those tested."""
    for members in groups(told, "optimizer.lr"):
        if len(members) >= 3:
            yield _rates(members, told, known)


def _rates(members: Sequence[Summary], told: Sequence[Summary], known: Known) -> Observation:
    rates = [float(s.facts["optimizer.lr"]) for s in members]
    accuracies = [mean_settled(s) for s in members]
    at = max(range(len(members)), key=lambda i: accuracies[i])
    best, n = members[at], min(len(s.counted) for s in members)
    everything = (*known.others, *told)
    labs = [noise_of(everything, best, without=(best.name, s.name)) for s in members]
    gaps = [difference(best, s, (best.name, s.name), smallest=known.smallest, lab=lab) for s, lab in zip(members, labs, strict=True)]
    # a claim against one of several others: Bonferroni
    told_apart = [
        i != at and g.estimate is not None and g.estimate < 0 and g.p is not None and g.p * (len(members) - 1) < 0.05
        and (g.strength == "suggestive" or g.strength in CLAIMED) for i, g in enumerate(gaps)
    ]  # fmt: skip
    alike = [i for i in range(len(members)) if not told_apart[i]]
    span = max(rates) / min(rates)
    text = f"Of {len(rates)} learning rates from {show(rates[0])} to {show(rates[-1])}, {show(rates[at])} did best ({percent(accuracies[at])} %"
    text += f", {unit(best)})"
    others = [show(rates[i]) for i in alike if i != at]
    text += f"; {', '.join(others)} cannot be told from it" if others else ""
    strength: Strength
    estimate, interval, caveats = rates[at], None, []
    edges = [i for i in (0, len(rates) - 1) if i in alike]
    if at in (0, len(rates) - 1):
        text += f". It is the {'largest' if at else 'smallest'} that was tried: the best is not bracketed."
        strength = "cannot tell"
    elif edges:
        text += f". The {'largest' if edges[-1] else 'smallest'} is among these, so the best is not bracketed."
        strength = "cannot tell"
    else:
        strength = "supported" if n >= 3 else "suggestive"
        text += ". Smaller and larger ones do worse"
        if (
            len(rates) >= FEWEST_RATES
            and span >= 10
            and (vertex := _vertex(rates, accuracies, at, [g.interval for i, g in enumerate(gaps) if i != at])) is not None
        ):
            estimate, interval = vertex[0], (vertex[1], vertex[2])
            text += f", and a parabola puts the best near {vertex[0]:.2g}"
        text += "."
        caveats.append(f"for runs of {count(best.counted[0].num_epochs, 'epoch')}: longer training usually prefers smaller rates")
    if len(rates) < FEWEST_RATES or span < 10:
        caveats.append("an optimum needs at least five rates over a factor of ten")
    test = "each against the best, Bonferroni" + ("; parabola in log10 of the rate, interval from the noise of the accuracies" if interval else "")
    runs = [r for s in members for r in s.counted]
    return Observation(
        "learning_rate", text, strength, tuple(s.name for s in members), estimate, interval, "learning rate",
        tuple(len(s.counted) for s in members), test, evidence=places(runs, "last epochs"), caveats=tuple(caveats),
    )  # fmt: skip


def _vertex(
    rates: Sequence[float], accuracies: Sequence[float], at: int, intervals: Sequence[tuple[float, float] | None]
) -> tuple[float, float, float] | None:
    """Return the top of a parabola in log10 of the rate through up to five points around the best, with a 95 % interval; none where it has no top."""
    low = max(0, min(at - 2, len(rates) - 5))
    x, y = np.log10(rates[low : low + 5]), np.array(accuracies[low : low + 5])
    widths = [(i[1] - i[0]) / 200 / pairs.Z95 / math.sqrt(2) for i in intervals if i is not None and math.isfinite(i[1] - i[0])]
    sigma = float(np.median(widths)) if widths else 0.0
    random = np.random.default_rng(0)
    drawn = y + sigma * random.standard_normal((400, len(y)))
    curves = np.polyfit(x - x.mean(), np.vstack([y, drawn]).T, 2)
    tops = np.where(curves[0] < 0, -curves[1] / np.where(curves[0] < 0, 2 * curves[0], -1.0), np.nan)
    if not np.isfinite(tops[0]) or not x[0] <= tops[0] + x.mean() <= x[-1] or np.isfinite(tops).mean() < 0.95:
        return None
    inside = np.quantile(tops[np.isfinite(tops)], (0.025, 0.975))
    return tuple(float(10 ** (t + x.mean())) for t in (tops[0], *inside))  # type: ignore[return-value]


# --- batch size ---


def batch_size(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say for several batch sizes, apart: how fast images go through, how much an epoch brings, how much a second brings."""
    for members in groups(told, "train.batch_size"):
        yield from _throughput(members)
        yield from _progress(members)


def _throughput(members: Sequence[Summary]) -> Iterator[Observation]:
    sizes = [int(s.facts["train.batch_size"]) for s in members]
    speeds = [[v for r in s.counted for v in (r.images_per_second[1:] or r.images_per_second)] for s in members]
    if not all(speeds) or len({str(s.effective.get("device")) for s in members}) > 1:
        return
    middles = [median(v) or 0.0 for v in speeds]
    fastest, slowest = (pick(range(len(middles)), key=lambda i: middles[i]) for pick in (max, min))
    intervals = [_median_interval(v) for v in speeds]
    apart = intervals[fastest][0] > intervals[slowest][1]
    told = ", ".join(f"{m:,.0f} with {b}" for m, b in zip(middles, sizes, strict=True))
    text = f"Images per second over batch sizes: {told}"
    text += "." if apart else "; these do not differ by more than epochs do."
    yield Observation(
        "throughput", text, "observed", tuple(s.name for s in members), middles[fastest] / middles[slowest], None,
        "times as fast, fastest to slowest", tuple(len(s.counted) for s in members),
        "medians over epochs but the first, exact 95 % intervals of the median",
        evidence=places([r for s in members for r in s.counted], "times of epochs"), caveats=("what else the machine did at the time is not known",),
    )  # fmt: skip


def _median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return an exact 95 % interval of a median from order statistics (the whole range for fewer than six values)."""
    from scipy.special import bdtr

    ordered, n = sorted(values), len(values)
    k = 0
    while k + 1 <= n // 2 and 2 * float(bdtr(k, n, 0.5)) <= 0.05:
        k += 1
    return ordered[max(k - 1, 0)], ordered[n - 1 - max(k - 1, 0)]


def _progress(members: Sequence[Summary]) -> Iterator[Observation]:
    sizes = [int(s.facts["train.batch_size"]) for s in members]
    target = TARGET * min(mean_settled(s) for s in members)
    needed, spent = [], []
    for s in members:
        first = [next((i + 1 for i, x in enumerate(series(r)) if x >= target), r.num_epochs) for r in s.counted]
        needed.append(sum(first) / len(first))
        middle = median(v for r in s.counted for v in r.seconds)
        spent.append(None if middle is None else middle * needed[-1])
    epochs = ", ".join(f"{e:.0f} with {b}" for e, b in zip(needed, sizes, strict=True))
    seconds = ", ".join(f"{duration(t)} with {b}" for t, b in zip(spent, sizes, strict=True))
    text = f"To reach {percent(target, 1)} %, batch sizes need epochs: {epochs}" + (
        f"; and time: {seconds}." if all(t is not None for t in spent) else "."
    )
    factor = sizes[-1] / sizes[0]
    caveat = f"an epoch with {sizes[-1]} makes {factor:g} times fewer steps than with {sizes[0]}, at the same learning rate"
    yield Observation(
        "progress", text, "observed", tuple(s.name for s in members), needed[-1] - needed[0], None, "epochs more with the largest batch",
        tuple(len(s.counted) for s in members), "first epoch at 95 % of the lowest final accuracy",
        evidence=places([r for s in members for r in s.counted]), caveats=(caveat,),
    )  # fmt: skip


# --- several factors ---


def plays_a_role(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say for each factor of a complete grid whether its values differ, over all values of the other factors."""
    ran = [s for s in told if s.counted and all(r.finished for r in s.counted)]
    if len(ran) < 4:
        return
    facts = table.comparable(ran)
    keys = [k for k in dict.fromkeys(k for f in facts for k in f) if k not in NOT_A_CAUSE and len({repr(f.get(k)) for f in facts}) > 1]
    values = {k: list(dict.fromkeys(repr(f.get(k)) for f in facts)) for k in keys}
    cells = [tuple(repr(f.get(k)) for k in keys) for f in facts]
    if len(keys) < 2 or len(keys) > 4 or sorted(set(cells)) != sorted(product(*values.values())) or len(set(cells)) < len(cells):
        return
    rows = [(f, x) for s, f in zip(ran, facts, strict=True) for x in settled_all(s)]
    accuracies = np.array([x for _, x in rows])
    columns = {k: _indicators([repr(f.get(k)) for f, _ in rows], values[k]) for k in keys}
    full, df = _residual(accuracies, [columns[k] for k in keys])
    if df < 1 or not np.isfinite(accuracies).all():
        return
    for k in keys:
        without, _ = _residual(accuracies, [columns[o] for o in keys if o != k])
        yield _role(k, keys, facts, ran, rows, (without - full, len(values[k]) - 1, full, df), known)


def _indicators(labels: Sequence[str], known: Sequence[str]) -> np.ndarray:
    return np.array([[float(x == v) for v in known[1:]] for x in labels])


def _residual(y: np.ndarray, columns: Sequence[np.ndarray]) -> tuple[float, int]:
    """Return the sum of squares that an additive model leaves, and its degrees of freedom."""
    design = np.hstack([np.ones((len(y), 1)), *columns])
    rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    return float(rest @ rest), len(y) - design.shape[1]


def _role(
    key: str, keys: Sequence[str], facts: Sequence[Mapping[str, Any]], ran: Sequence[Summary], rows: Sequence[tuple[Mapping[str, Any], float]],
    squares: tuple[float, int, float, int], known: Known,
) -> Observation:  # fmt: skip
    from scipy.special import fdtrc

    gained, df_1, left, df_2 = squares
    p = float(fdtrc(df_1, df_2, max(gained, 0.0) / df_1 / (left / df_2))) if left > 0 else float(gained <= 0)
    by_value: dict[str, list[float]] = {}
    for f, x in rows:
        by_value.setdefault(show(f.get(key)), []).append(x)
    means = {v: sum(xs) / len(xs) for v, xs in by_value.items()}
    top, bottom = (pick(means, key=lambda v: means[v]) for pick in (max, min))
    gap = 100 * (means[top] - means[bottom])
    word, others = key.rpartition(".")[2] if not key.endswith(".name") else key.partition(".")[0], len(keys) - 1
    enough = min(map(len, by_value.values())) >= 3 and df_2 >= 4
    over = "the other" if others == 1 else f"the {others} other factors"
    strength: Strength
    if p < 0.05:
        strength = "supported" if enough and gap >= known.smallest else "suggestive"
        text = f"{word} plays a role: over all values of {over}, {top} is {gap:.1f} points better than {bottom} in the mean."
    else:
        strength = "cannot tell"
        text = f"Whether {word} plays a role cannot be told: over all values of {over}, {top} is {gap:.1f} points better than {bottom},"
        text += " no more than noise explains."
    return Observation(
        "plays_a_role", text, strength, tuple(s.name for s in ran), gap, None, f"{POINTS}, {unit(ran[0])}", tuple(len(s.counted) for s in ran),
        f"F test of one factor in an additive model of {count(len(keys), 'factor')} ({df_1} and {df_2} degrees of freedom)", p, None,
        places([r for s in ran for r in s.counted], "last epochs"), ("what the factors do to each other counts as noise here",),
    )  # fmt: skip
