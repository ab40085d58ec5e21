"""What can be said of one experiment by itself: it failed, is no better than guessing, memorises its images, went on exactly, how long it takes."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from ...core.errors import LabError
from ...core.records import Row
from ...core.text import count, duration, percent
from ...store.record import read
from ...store.runs import Run
from .. import predictions
from ..observation import Observation, Strength
from ..predictions import wilson
from ..settled import series
from ..summary import Summary
from .known import Known, places

TINY = 1000  # training images: of so few, a network should learn all by heart
COLLAPSED = 0.5  # of its best accuracy: a run that ends below did not only get worse


def failed(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say which runs failed, diverged or collapsed, and when; one run is enough to say that it can happen."""
    for s in told:
        bad = [(r, why) for r in s.runs if r.status != "waiting" and (why := _failure(r, s))]
        if not bad:
            continue
        num = sum(r.status != "waiting" for r in s.runs)
        text = f"{s.name} {bad[0][1]}, in {len(bad)} of {count(num, 'run')}."
        low, high = wilson(len(bad), num)
        often = f"how often it fails is known only as {percent(low, 0)} to {percent(high, 0)} % (Wilson)"
        caveats = (often if num > 1 else "one run shows that it happens, not how often",)
        yield Observation("failed", text, "observed", (s.name,), None, None, "", (num,), "", evidence=places([r for r, _ in bad]), caveats=caveats)


def _failure(run: Run, s: Summary) -> str:
    if run.not_finite_since is not None:
        return f"diverged: its loss is not finite from epoch {run.not_finite_since} on"
    if run.status == "failed":
        return f"failed in epoch {run.num_epochs + 1}"
    classes = len((s.effective.get("data") or {}).get("classes") or ())
    curve = series(run)
    if run.finished and run.best and classes > 1 and len(curve) >= 5:
        end, best = float(curve[-3:].mean()), run.best[1]
        chance = 1 / classes
        if best > chance + 0.1 and end - chance < (1 - COLLAPSED) * (best - chance):
            when = next(i + 1 for i in range(len(curve)) if all(curve[i:] - chance < (1 - COLLAPSED) * (best - chance)))
            return f"collapsed from epoch {when} on: its validation accuracy ends at {percent(end, 1)} % after a best of {percent(best, 1)} %"
    return ""


def chance(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say of experiments whose validation accuracy is below, or no different from, guessing among equally frequent classes."""
    for s in told:
        classes = len((s.effective.get("data") or {}).get("classes") or ())
        runs = [r for r in s.counted if r.finished and r.last.get("num_val")]
        if classes < 2 or not runs:
            continue
        accuracy, num = fmean(float(series(r)[-1]) for r in runs), int(runs[0].last["num_val"])
        most = _most_frequent(runs[0])
        guess = most or 1 / classes
        low, high = wilson(round(accuracy * num), num)
        if low > guess:
            continue
        worse = high < 1 / classes
        by_one = not worse and low > 1 / classes  # better than guessing among all, no better than always naming one
        p = _binomial_p(round(accuracy * num), num, guess if by_one else 1 / classes)
        what, against = f"guessing one of {classes} classes", f"1/{classes}"
        if by_one:
            against = f"{percent(guess)} %"
            what = f"always naming the most frequent class ({percent(guess)} % of the validation images)"
        text = f"{s.name} ends at {percent(accuracy)} %, {'worse' if worse else 'no better'} than {what}."
        word = f"the interval holds the share of {'the most frequent class' if most else 'each class'}"
        if worse:
            word = "a network that is reliably worse than chance has a fault in labels or training, not bad luck"
        elif not most:
            word += "; no per-image results here, so classes are taken as equally frequent"
        strength: Strength = "observed" if not worse else "suggestive" if len(runs) < 3 else "supported"
        yield Observation(
            "chance", text, strength, (s.name,), 100 * accuracy, (100 * low, 100 * high), "% validation accuracy", (len(runs),),
            f"exact binomial test against {against}, interval of Wilson", p, None, places(runs, "last epoch"), (word,),
        )  # fmt: skip


def _most_frequent(run: Run) -> float | None:
    """Return the share of the most frequent class among the validation images, where the labels are here."""
    import numpy as np

    try:
        labels = predictions.read(run, run.num_epochs).label_N
    except LabError:
        return None
    return float(np.bincount(labels).max() / len(labels))


def _binomial_p(right: int, num: int, share: float) -> float:
    """Return the two-sided p-value of a binomial test: twice the smaller tail."""
    from scipy.special import bdtr, bdtrc

    above = float(bdtrc(right - 1, num, share)) if right > 0 else 1.0
    return min(1.0, 2 * min(float(bdtr(right, num, share)), above))


def memorises(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say whether an experiment on a tiny set learns all of it by heart, as it should when nothing is broken."""
    for s in told:
        runs = [r for r in s.counted if r.finished]
        num = int(runs[0].last.get("num_train") or 0) if runs else 0
        if not 0 < num <= TINY:
            continue
        whole = [next((i + 1 for i, x in enumerate(series(r, "train_acc")) if x >= 1 - 0.5 / num), None) for r in runs]
        reached = [w for w in whole if w is not None]
        if len(reached) == len(runs):
            first = f"from epoch {min(reached)} on" if len(runs) == 1 else f"first in epochs {min(reached)} to {max(reached)}"
            text = f"{s.name} learns its {num} training images by heart, {first}: model, loss and optimizer work together."
        else:
            best = max(float(series(r, "train_acc").max()) for r in runs)
            text = f"{s.name} does not learn its {num} training images by heart: at most {percent(best, 1)} % of them. Something holds it back."
        yield Observation(
            "memorises", text, "observed", (s.name,), float(min(reached)) if reached else None, None, "epochs" if reached else "", (len(runs),),
            "training accuracy of all images", evidence=places(runs),
        )  # fmt: skip


def goes_on(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say whether stopped runs went on exactly, and how an experiment that starts from another's checkpoint begins."""
    before = {s.name: s for s in (*known.others, *told)}
    for s in told:
        for run in s.counted:
            events = read(run.folder / "events.jsonl")[0]
            starts = [e for e in events if e["kind"] == "start"]
            if len(starts) > 1:
                whose = f"{s.name}" + (f" (seed {run.seed})" if len(s.counted) > 1 else "")
                text = f"{whose} was stopped {'once' if len(starts) == 2 else f'{len(starts) - 1} times'} and went on"
                test = "comparison of rows made twice, to the byte"
                if any("resume is not exact" in w for w in run.warnings):
                    text += ", but not exactly: rows that were made twice differ."
                elif _made_twice(events):
                    text += " exactly: every row that was made twice came out the same."
                else:
                    text, test = f"{text} from where it had stopped: no row was made twice, so none shows whether it went on exactly.", ""
                yield Observation(
                    "goes_on", text, "observed", (s.name,), float(len(starts) - 1), None, "stop" if len(starts) == 2 else "stops", (1,), test,
                    evidence=places([run], "record and events"),
                )  # fmt: skip
        source = before.get(s.experiment.continues or "")
        if source is not None and s.counted and source.counted:
            yield from _continued(s, source)


def _made_twice(events: Sequence[Row]) -> bool:
    """Return whether an attempt began before the step at which the one before it had ended. One that was killed had gone on, nobody knows how far."""
    ended = -math.inf
    for event in events:
        if event["kind"] == "start":
            if event.get("step", 0) < ended:
                return True
            ended = math.inf
        elif event["kind"] == "stop":
            ended = float(event.get("step", 0))
    return False


def _continued(s: Summary, source: Summary) -> Iterator[Observation]:
    run = s.counted[0]
    from_run = next((r for r in source.counted if r.seed == run.seed), source.counted[0])
    a, b = float(series(from_run)[-1]), float(series(run)[0])
    spread = series(from_run)[-10:]
    usual = float(abs(spread[1:] - spread[:-1]).max()) if len(spread) > 2 else 0.0
    fits = b >= a - max(usual, 0.005)
    text = f"{s.name} takes up where {source.name} ended: {percent(a, 1)} % there, {percent(b, 1)} % after its own first epoch"
    text += "." if fits else ", which is further apart than two epochs of the former usually are."
    yield Observation(
        "goes_on", text, "observed", (source.name, s.name), 100 * (b - a), None, "points of validation accuracy", (1, 1), "",
        evidence=(*places([from_run], "last epoch"), *places([run], "epoch 1")),
        caveats=("accuracies cannot show that a checkpoint was loaded exactly; equal weights or outputs can",),
    )  # fmt: skip


def time(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say by how much the time of an epoch differs between experiments that differ in one thing only."""
    from ..effective import factors, label
    from ..summary import median_seconds

    for s in told:
        first = next((o for o in told if o.name == s.experiment.parent), None)
        times = (median_seconds(first), median_seconds(s)) if first else (None, None)
        if first is None or not times[0] or not times[1] or first.effective.get("device") != s.effective.get("device"):
            continue
        what = factors(first, s)
        ratio = times[1] / times[0]
        spread = max(_relative_spread(x) for x in (first, s))
        if len(what) != 1 or abs(ratio - 1) < max(0.1, 3 * spread):
            continue
        names = label(first, s, what)
        text = f"An epoch of {names[1]} takes {duration(times[1])}, one of {names[0]} {duration(times[0])}."
        n = (len(first.counted), len(s.counted))
        yield Observation(
            "time", text, "observed", (first.name, s.name), ratio, None, "times as long", n, "medians of whole epochs",
            evidence=places([*first.counted, *s.counted], "times of epochs"), caveats=("what else the machine did at the time is not known",),
        )  # fmt: skip


def _relative_spread(s: Summary) -> float:
    """Return the median deviation of the times of epochs, relative to their median."""
    from ..summary import median

    times = [v for r in s.counted for v in r.seconds]
    middle = median(times) or 1.0
    return (median(abs(t - middle) for t in times) or 0.0) * 1.4826 / middle
