"""Two experiments compared: which is better, by how much, and whether that can be said at all.

First what differs: more than one factor, and there is no verdict. Then the numbers: one run each by the images that each network gets right, behind
a gate that refuses where a run's own epochs differ more than the images explain; several seeds by a t test with the lab's pooled deviation; five and
more also by exact permutation. A difference that is too small to matter is called equivalent only where an interval shows it.

Accuracies are fractions here; what an Observation says of them is in points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..core.errors import LabError
from ..core.text import count
from ..store.runs import Run
from . import effective, predictions
from .observation import CLAIMED, Observation, Strength
from .settled import noise_of, series, settled_all, span, unit
from .stats import pairs, seeds, several
from .stats.seeds import Difference, Noise
from .summary import Summary

ALPHA = 0.05
FAR = 2.0  # times what noise explains: so large a difference is told even of unsteady runs
SMALLEST = 0.5  # points; a lab's own is in its zhurnal.yaml
NO_NOISE = Noise(math.nan, 0)
POINTS = "points of validation accuracy"


def compare_two(first: Summary, second: Summary, *, smallest: float = SMALLEST, lab: Noise = NO_NOISE) -> Observation:
    """Return what can be said of the second experiment against the first; the estimate is second minus first.

    Args:
        first: the reference.
        second: what is compared with it.
        smallest: the smallest difference that matters, in points.
        lab: what seeds do in other experiments of the same family (`settled.noise_of`).
    """
    if not first.counted or not second.counted:
        left = [s.name for s in (first, second) if not s.counted]
        text = f"{second.name} and {first.name} cannot be compared: {' and '.join(left)} {'has' if len(left) == 1 else 'have'} no finished epoch."
        return Observation("better", text, "cannot tell", (first.name, second.name), n=(len(first.counted), len(second.counted)))
    told = effective.factors(first, second)
    found = difference(first, second, effective.label(first, second, told), smallest=smallest, lab=lab)
    confounds = [f.both(first.name, second.name) for f in told[1:]]
    if effective.other_images(first, second):
        confounds.append("other validation images")
    if confounds:
        found = replace(found, strength="cannot tell", confounded_with=tuple(confounds), sentence=_confounded(found, first, second, told, confounds))
    elif not all(r.finished for s in (first, second) for r in s.counted):
        text = f"{found.sentence.rstrip('.')}; but these runs are not finished, so this is no verdict."
        found = replace(found, strength="cannot tell", sentence=text)
    return found


def difference(first: Summary, second: Summary, names: tuple[str, str], *, smallest: float = SMALLEST, lab: Noise = NO_NOISE) -> Observation:
    """Return what the numbers of two experiments say, whatever differs between them: for settings as a whole. Both have a finished epoch.

    `names` is what the sentence calls them.
    """
    several_seeds = max(len(first.counted), len(second.counted)) > 1
    found = _by_seeds(first, second, names, smallest / 100, lab) if several_seeds else _by_images(first, second, names, smallest / 100, lab)
    return replace(found, caveats=(*found.caveats, *_reservations(first, second)))


def compare_all(pairs_of: Sequence[tuple[Summary, Summary]], *, smallest: float = SMALLEST, others: Sequence[Summary] = ()) -> list[Observation]:
    """Return what can be said of each pair (first, second), corrected for being several; `others` are experiments that tell what seeds do."""
    known = {s.name: s for pair in pairs_of for s in pair} | {s.name: s for s in others}
    found = [compare_two(a, b, smallest=smallest, lab=noise_of(known.values(), b, without=(a.name, b.name))) for a, b in pairs_of]
    return corrected(found)


def corrected(found: Sequence[Observation]) -> list[Observation]:
    """Return observations with Holm's correction over all of them that carry a p-value; a claim that does not survive it becomes suggestive."""
    tested = [i for i, o in enumerate(found) if o.p is not None]
    new = list(found)
    for i, p in zip(tested, several.holm([found[i].p or 0.0 for i in tested]), strict=True):
        o = found[i]
        fallen = o.strength in CLAIMED and p >= ALPHA
        new[i] = replace(o, p_holm=p, strength="suggestive" if fallen else o.strength)
    return new


# --- one run each ---


@dataclass(frozen=True)
class _Gap:
    """A difference of two single runs, with what noise explains of it."""

    difference: float
    interval: tuple[float, float]
    half_90: float  # half of a 90 % interval, for equivalence
    p: float
    of_images: float  # deviation that the images let one accuracy have
    test: str
    caveats: tuple[str, ...] = ()
    quantile: float = pairs.Z95  # of `of_images`, for 95 %
    dependent: str = ""  # what speaks against independent errors, where something does


def _by_images(first: Summary, second: Summary, names: tuple[str, str], smallest: float, lab: Noise) -> Observation:
    a, b = first.counted[0], second.counted[0]
    gap = _gap(a, b)
    of_epochs = max((n for r in (a, b) if (n := pairs.epoch_noise(series(r))) is not None), default=None)
    sigma = max(gap.of_images, of_epochs or 0.0, lab.sd if lab.known else 0.0)
    explained = math.sqrt(2) * max(gap.quantile * gap.of_images, pairs.Z95 * (of_epochs or 0.0), lab.half() if lab.known else 0.0)
    steady = pairs.steady(gap.of_images, of_epochs, by_images=not gap.caveats)
    told = steady and (lab.known or not gap.dependent)
    size = abs(gap.difference)
    needed = seeds.seeds_needed(max(sigma, 1e-6), smallest) if math.isfinite(sigma) else None
    advice = f"about {count(max(3, needed), 'seed')} each would show a difference of {100 * smallest:g} points" if needed else ""
    text = _difference_text(names, gap.difference, "one run each")
    caveats = [
        f"chance moves one run by about ±{100 * sigma:.2f} points" + (f" ({_source(gap, of_epochs, lab, sigma)})" if sigma else ""),
        *gap.caveats,
    ]
    strength: Strength
    if not steady and size <= FAR * explained:
        strength = "cannot tell"
        text = (
            f"{text}, but the last epochs of a run differ by ±{100 * (of_epochs or 0):.1f} points among themselves: one run each does not decide it"
        )
        text += f"; {advice}." if advice else "."
        caveats.append(
            f"the images explain ±{100 * gap.of_images:.2f} points: the learning rate has not fallen far enough for single runs to be compared"
        )
    elif not told and explained < size <= FAR * explained:
        strength = "cannot tell"
        text = f"{text}, but {gap.dependent}: one run each does not decide it" + (f"; {advice}." if advice else ".")
        if gap.quantile != pairs.Z95:
            caveats.append("after a short training, seeds differ by more than single images tell")
    elif gap.p < ALPHA and size > explained:
        strength = "suggestive"
        text += ": more than noise explains."
        caveats.append("this compares two trained networks, not two methods")
    elif told and size + max(gap.half_90, pairs.Z90 * math.sqrt(2) * sigma) < smallest:
        strength = "equivalent"
        text = f"{names[1]} and {names[0]} end within {100 * smallest:g} points of each other, one run each."
        caveats.append("this compares two trained networks, not two methods")
    else:
        strength = "cannot tell"
        text = f"{text}: no more than noise explains" + (f"; {advice}." if advice else ".")
    interval = (100 * gap.interval[0], 100 * gap.interval[1])
    return Observation(
        "better", text, strength, (first.name, second.name), 100 * gap.difference, interval, f"{POINTS} after the last epoch", (1, 1),
        gap.test, gap.p, None, tuple(_records(r, 1) for r in (a, b)), tuple(caveats),
    )  # fmt: skip


def _gap(a: Run, b: Run) -> _Gap:
    """Return the difference of two runs after their last epoch: by images where both kept what they said of the same ones."""
    last = float(series(a)[-1]), float(series(b)[-1])
    try:
        said = predictions.read(a, a.num_epochs), predictions.read(b, b.num_epochs)
        if np.array_equal(said[0].number_N, said[1].number_N) and np.array_equal(said[0].label_N, said[1].label_N):
            found = pairs.mcnemar(said[0].right_N, said[1].right_N, said[0].label_N)
            alone = f"{found.only_first:,} right in the first alone, {found.only_second:,} in the second"
            how = "exact McNemar test" if found.independent else "t test with the deviation of classes"
            test = f"{how} on the same {found.num:,} images ({alone})"
            half_90 = found.quantile(pairs.Z90) * found.se
            return _Gap(found.difference, found.interval(), half_90, found.p, found.noise, test, (), found.quantile(), _dependence(found))
        why = "the two were validated on other images, so they are not compared image by image"
    except LabError:
        why = "no per-image results here, so the comparison sees less than one by images would"
    num = [int(r.last.get("num_val") or 0) for r in (a, b)]
    if not all(num) or not all(map(math.isfinite, last)):
        return _Gap(last[1] - last[0], (math.nan, math.nan), math.inf, 1.0, math.inf, "none: the number of validation images is not known", (why,))
    loose = pairs.two_proportions(last[0], num[0], last[1], num[1])
    of_images = max(pairs.binomial_noise(x, n) for x, n in zip(last, num, strict=True))
    return _Gap(loose.difference, loose.interval(), pairs.Z90 * loose.se, loose.p, of_images, "z test of two proportions", (why,))


def _dependence(found: pairs.Paired) -> str:
    """Return what speaks against errors that are independent from image to image, or an empty text."""
    if not found.independent:
        return f"whole classes moved together, {found.dispersion:.1f} times as much as single images do"
    return "" if found.by_class else f"fewer than {pairs.FEWEST_CLASSES} classes do not show whether the two err independently"


def _source(gap: _Gap, of_epochs: float | None, lab: Noise, sigma: float) -> str:
    if lab.known and sigma == lab.sd:
        return f"from {count(len(lab.experiments), 'experiment')} of the lab with several seeds"
    return (
        "from how much the last epochs differ"
        if sigma == of_epochs
        else "from how many images the two disagree on"
        if not gap.caveats
        else ("at most, from the number of images")
    )


# --- several seeds ---


def _by_seeds(first: Summary, second: Summary, names: tuple[str, str], smallest: float, lab: Noise) -> Observation:
    a, b = settled_all(first), settled_all(second)
    n = (len(a), len(b))
    where = unit(first) if unit(first) == unit(second) else "mean of the last epochs"
    base = Observation(
        "better", "", "cannot tell", (first.name, second.name), unit=f"{POINTS}, {where}", n=n,
        evidence=tuple(_records(r, span(r)) for s in (first, second) for r in s.counted),
    )  # fmt: skip
    if not all(map(math.isfinite, (*a, *b))):
        return replace(base, sentence=f"{names[1]} and {names[0]} cannot be compared: an accuracy is missing.")
    found, second_p, better, notes = _difference(first, second, lab)
    low, high = found.interval()
    strength: Strength = "cannot tell"
    text = _difference_text(names, found.estimate, f"{_seeds_text(n)}, {where}")
    needed = seeds.seeds_needed(max(found.se / math.sqrt(1 / n[0] + 1 / n[1]), 1e-6), smallest)
    advice = f"; about {count(needed, 'seed')} each would show a difference of {100 * smallest:g} points" if needed and needed > min(n) else ""
    if found.within(smallest):
        strength, text = "equivalent", f"{names[1]} and {names[0]} are within {100 * smallest:g} points of each other over {_seeds_text(n)}, {where}."
        notes = [*notes, f"90 % interval {_points(found.interval(0.90))} inside ±{100 * smallest:g} points (two one-sided tests)"]
    elif found.p >= ALPHA:
        text = f"{text}: too few to tell them apart{advice}."
    elif min(n) < 3 or abs(found.estimate) < smallest:
        strength = "suggestive"
        if abs(found.estimate) < smallest:
            notes = [*notes, f"smaller than the {100 * smallest:g} points that matter"]
        text += "."
    elif second_p is not None and second_p < ALPHA and better and better[0] >= 0.75 and better[1] > 0.5:
        strength, text = "strong", text + "."
    else:
        strength, text = "supported", text + "."
    if second_p is not None:
        notes = [*notes, f"exact permutation p {second_p:.3g}"]
    if better:
        notes = [*notes, f"a run of the better one is above a run of the other with probability {better[0]:.2f} ({better[1]:.2f} to {better[2]:.2f})"]
    return replace(
        base, sentence=text, strength=strength, estimate=100 * found.estimate, interval=(100 * low, 100 * high), test=found.method, p=found.p,
        caveats=tuple(notes),
    )  # fmt: skip


def _difference(first: Summary, second: Summary, lab: Noise) -> tuple[Difference, float | None, tuple[float, float, float] | None, list[str]]:
    """Return the t test that fits, and with five seeds each an exact p-value and the chance that the better one is better."""
    a, b = settled_all(first), settled_all(second)
    few = min(len(a), len(b)) < 5
    num = max((int(r.last.get("num_val") or 0) for s in (first, second) for r in s.counted), default=0)
    found = seeds.moderated(a, b, lab, least=0.5 / num if num else 0.0)
    if few:
        return found, None, None, []
    better = seeds.probability_of_better(a, b) if found.estimate >= 0 else seeds.probability_of_better(b, a)
    of = [{r.seed: x for r, x in zip(s.counted, values, strict=True)} for s, values in ((first, a), (second, b))]
    shared = sorted(of[0].keys() & of[1].keys())
    if len(shared) == len(a) == len(b) >= 6:
        x, y = [of[0][k] for k in shared], [of[1][k] for k in shared]
        if seeds.correlation_p(x, y) < ALPHA:
            return seeds.paired(x, y), seeds.sign_flip_p(x, y), better, ["the same seeds go up and down together in both, so they are paired"]
    return found, seeds.permutation_p(a, b), better, []


# --- words ---


def _difference_text(names: tuple[str, str], difference: float, how: str) -> str:
    size = f"{100 * abs(difference):.2f} points"
    if round(100 * abs(difference), 2) == 0:
        return f"{names[1]} and {names[0]} end level, {how}"
    return f"{names[1]} ends {size} {'above' if difference > 0 else 'below'} {names[0]}, {how}"


def _seeds_text(n: tuple[int, int]) -> str:
    return f"{count(n[0], 'seed')} each" if n[0] == n[1] else f"{n[1]} against {count(n[0], 'seed')}"


def _points(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}".replace("-", "−")


def _records(run: Run, last: int) -> str:
    """Return which rows of a run's record a number rests on."""
    epochs = f"epoch {run.num_epochs}" if last == 1 else f"epochs {run.num_epochs - last + 1}-{run.num_epochs}"
    return f"{run.experiment} seed {run.seed}, {epochs}"


def _confounded(found: Observation, first: Summary, second: Summary, told: Sequence[effective.Factor], confounds: Sequence[str]) -> str:
    if found.estimate is None:
        return f"{found.sentence.rstrip('.')}; and {told[0].text() if told else 'what was changed'} is confounded with {', '.join(confounds)}."
    is_level = round(abs(found.estimate), 2) == 0
    size = "level with" if is_level else f"{abs(found.estimate):.2f} points {'above' if found.estimate > 0 else 'below'}"
    real = found.strength in ("suggestive", *CLAIMED)
    cause = f"{told[0].text()}" if told else "what was changed"
    start = f"{second.name} ends {size} {first.name}" + (", more than noise explains" if real else "")
    return f"{start}; that is no verdict on {cause}: confounded with {', '.join(confounds)}."


def _reservations(first: Summary, second: Summary) -> list[str]:
    """Return what weakens any comparison of these two."""
    found = []
    on_test = [s.name for s in (first, second) if s.on_test]
    if on_test:
        found.append(f"{' and '.join(on_test)} validated on the test images: what is chosen by such numbers flatters itself")
    if any(s.facts.get("train.tta", "none") not in ("none", None) for s in (first, second)):
        found.append("accuracies without test-time augmentation are compared")
    if any(s.unfinished for s in (first, second)):
        found.append("not finished: " + "; ".join(f"{s.name} {s.unfinished}" for s in (first, second) if s.unfinished))
    return found
