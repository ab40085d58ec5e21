"""What the curves of an experiment show: where accuracy saturates, where validation loss turns, single epochs and steps that stand out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from ...core.errors import LabError
from ...core.text import percent, show
from ...store.runs import Run
from .. import predictions
from ..curves import drops
from ..observation import Observation
from ..settled import series
from ..stats import pairs
from ..stats import series as stats
from ..stats.pairs import Z90
from ..stats.saturation import FORMS, SHORTEST, Saturation, saturation
from ..summary import Summary
from .known import Known, long_enough, places

LR_DROP = 1.5  # a learning rate that changes by such a factor from one epoch to the next begins another part of the curve


def lr_changes(run: Run) -> list[int]:
    """Return the epochs (from 2) whose learning rate is another than the one before by more than a smooth schedule's."""
    lr = series(run, "lr")
    return [i + 1 for i in range(1, len(lr)) if min(lr[i], lr[i - 1]) > 0 and max(lr[i] / lr[i - 1], lr[i - 1] / lr[i]) > LR_DROP]


def saturates(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say from which epoch on validation accuracy is near its plateau, or that it was still improving; once for each experiment."""
    for s in told:
        runs = long_enough(s.counted, SHORTEST)
        found = [part for r in runs if (part := _saturation(r, known.smallest / 100)) is not None]
        if found:
            yield _saturation_text(s, found, known)


@dataclass(frozen=True)
class _Part:
    """The part of a run's curve that is looked at."""

    run: Run
    start: int  # epochs before it
    end: int  # the last epoch of it
    margin: float
    epoch_noise: float  # deviation of single epochs
    found: Saturation  # its epochs are counted from the part's beginning


def _saturation(run: Run, smallest: float) -> _Part | None:
    """Return where the part of a run with the last learning rate saturates.

    A new part begins where the learning rate falls in one go, not where a schedule changes it all the time. A curve that falls again is fitted up to
    where it is highest.
    """
    curve = series(run)
    start = next((d.epoch - 1 for d in reversed(drops([run])) if len(curve) - d.epoch + 1 >= SHORTEST), 0)
    part = curve[start:]
    turned = stats.turn(-part)
    if turned is not None and turned.rises and turned.rise > smallest and turned.epoch >= SHORTEST:
        part = part[: turned.epoch]
    noise = stats.noise(part[len(part) // 4 :])
    margin = max(smallest, 2 * noise / 5**0.5)
    found = saturation(part, margin)
    return None if found is None else _Part(run, start, start + len(part), margin, noise, found)


def _meanwhile(part: _Part) -> str:
    """Return what else changed while the slope was measured, which may be what moved the curve: the learning rate, the size of images."""
    run, first = part.run, part.end - part.found.window + 1
    lr = series(run, "lr")[first - 1 : part.end]
    told = []
    if lr[0] > 0 and lr[-1] < lr[0] / 2:
        told.append(f"the learning rate fell from {show(float(f'{lr[0]:.2g}'))} to {show(float(f'{lr[-1]:.2g}'))}")
    train = run.effective.get("settings", {}).get("train", {})
    if train.get("initial_scale", 1) < 1 and first - 1 < train["epochs"] * (1 - train["finetune_fraction"]):
        told.append("images grew")
    return " and ".join(told)


def _saturation_text(s: Summary, parts: Sequence[_Part], known: Known) -> Observation:
    runs, found = [p.run for p in parts], [p.found for p in parts]
    margin = max(p.margin for p in parts)
    length = min(r.num_epochs for r in runs)
    start = parts[0].start
    since = f"with the learning rate of epoch {start + 1} and later, " if start else ""
    base = Observation("not_saturated", "", "cannot tell", (s.name,), n=(len(runs),), test="fitted curve", evidence=places(runs))
    if not all(f.reached for f in found):
        slope = fmean(f.slope[0] for f in found)
        still = any(f.slope[1] > known.smallest / 100 / length for f in found)
        if still:
            over = f"epochs {parts[0].end - found[0].window + 1} to {parts[0].end}"
            gain = f"its validation accuracy gains {100 * slope:.2f} points an epoch over {over}"
            text = f"{s.name} has not yet saturated in {length} epochs: {since}{gain}."
            if meanwhile := _meanwhile(parts[0]):
                text = (
                    f"{s.name} was not on a plateau before its {length} epochs ended: {since}{gain}, while {meanwhile}; so this does not tell what "
                )
                text += "more epochs would bring."
            low, high = min(f.slope[1] for f in found), max(f.slope[2] for f in found)
            test = "slope with an error for neighbouring epochs that are alike (Newey and West 1987)"
            return replace(
                base,
                sentence=text,
                strength="observed",
                estimate=100 * slope,
                interval=(100 * low, 100 * high),
                unit=f"points an epoch, {over}",
                test=test,
            )
        text = f"Whether {s.name} has saturated in {length} epochs cannot be told: {since}its curve comes near a plateau too late to see one."
        return replace(base, sentence=text)
    epochs = [p.start + p.found.epoch for p in parts]
    plateau = fmean(f.plateau for f in found)
    low, high = min(p.start + p.found.low for p in parts), max(p.start + p.found.high for p in parts)
    several = f" (median of {len(runs)} seeds, {min(epochs):.0f} to {max(epochs):.0f})" if len(runs) > 1 else ""
    text = f"{s.name} saturates around epoch {max(1, round(median(epochs)))}{several}: {since}from there its validation accuracy is within "
    single = max(p.epoch_noise for p in parts)
    apart = f", apart from single epochs, which vary by ±{100 * single:.1f}" if 2 * single > margin else ""
    text += f"{100 * margin:.1f} points of its plateau of {percent(plateau, 1)} %{apart}."
    forms = list(dict.fromkeys(f.form for f in found))
    interval = (low, min(high, float(length))) if set(forms) <= set(FORMS) else None
    how = ", interval by a block bootstrap of what the fit leaves and by all curves that fit hardly worse" if interval else ""
    return replace(
        base, kind="saturates", sentence=text, strength="observed", estimate=float(median(epochs)), interval=interval, unit="epochs",
        test=" and ".join(forms) + how, caveats=("the interval is the widest of the seeds",) if interval and len(runs) > 1 else (),
    )  # fmt: skip


# --- validation loss ---


def loss_rises(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say from which epoch on validation loss rises, and what becomes of accuracy meanwhile."""
    for s in told:
        runs = long_enough(s.counted, SHORTEST)
        turns = [(r, t) for r in runs if (t := stats.turn(series(r, "val_loss"))) is not None]
        up = [(r, t) for r, t in turns if t.rises]
        if not up or 2 * len(up) < len(turns) + 1:
            continue
        yield _rise(s, up, len(turns), known)


def _rise(s: Summary, up: Sequence[tuple[Run, stats.Turn]], num: int, known: Known) -> Observation:
    runs = [r for r, _ in up]
    epochs = [t.epoch for _, t in up]
    epoch = round(median(epochs))
    several = f" (median of {len(runs)} seeds, {min(epochs)} to {max(epochs)})" if len(runs) > 1 else ""
    rise = fmean(t.rise for _, t in up)
    text = f"The validation loss of {s.name} is lowest around epoch {epoch}{several} and rises from there, by {rise:.2g} until the last epochs"
    changes = [100 * float(series(r)[-5:].mean() - series(r)[max(0, t.epoch - 3) : t.epoch + 2].mean()) for r, t in up]
    change = fmean(changes)
    said, caveats, by_images = _images_at(up[0][0], up[0][1].epoch)
    within = abs(change) < known.smallest and (said is None or said < known.smallest)
    if within:
        text += f", while accuracy changes by less than {known.smallest:g} points: growing over-confidence."
    elif change < 0:
        text += f", and accuracy falls by {abs(change):.1f} points: it overfits."
    else:
        text += f", though accuracy still gains {change:.1f} points: over-confidence, not a loss of accuracy."
    three = len(runs) >= 3 and len(runs) == num
    low, high = min(t.low for _, t in up), max(t.high for _, t in up)
    test = "slope from there on (Newey and West 1987), and a rise of more than three deviations of one epoch" + by_images
    widest = ", the widest of the seeds" if len(runs) > 1 else ""
    caveats = (*caveats, f"interval: epochs that the means of neighbouring windows do not exclude as the turn{widest}")
    if len(runs) < num:
        caveats = (*caveats, f"in {len(runs)} of {num} seeds")
    return Observation(
        "loss_rises", text, "supported" if three else "suggestive", (s.name,), float(epoch), (float(low), float(high)), "epochs", (len(runs),), test,
        max(t.p for _, t in up), None, places(runs), caveats,
    )  # fmt: skip


def _images_at(run: Run, epoch: int) -> tuple[float | None, tuple[str, ...], str]:
    """Return the largest change of accuracy that a 90 % interval allows (points), what the images say, and the test by images, for an epoch against
    the last.
    """
    try:
        then, now = predictions.read(run, epoch), predictions.read(run, run.num_epochs)
    except LabError:
        return None, ("no per-image results here: only the curves were looked at",), ""
    change_N = now.loss_N - then.loss_N
    t = float(change_N.mean() / (change_N.std(ddof=1) / len(change_N) ** 0.5)) if change_N.std() else 0.0
    low, high = pairs.mcnemar(then.right_N, now.right_N).interval(Z90)
    wrong, right = ~now.right_N, now.right_N & then.right_N
    interval = f"{100 * low:.2f} to {100 * high:.2f}".replace("-", "−")
    words = [f"accuracy after the last epoch less that of epoch {epoch}: 90 % interval {interval} points"]
    if wrong.any() and right.any():
        of = [float(x[m].mean()) for m in (wrong, right) for x in (then.loss_N, now.loss_N)]
        ends = f"{of[0]:.2f} to {of[1]:.2f}, of those right in both from {of[2]:.2f} to {of[3]:.2f}"
        words.append(f"mean loss of the images that are wrong at the end went from {ends}")
    return 100 * max(abs(low), abs(high)), tuple(words), f"; loss of the same images then and at the end, paired t = {t:.1f}"


# --- what stands out ---


def stands_out(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Name single epochs that jump and lasting steps of validation accuracy, with the change of learning rate that explains a step."""
    for s in told:
        for run in s.counted:
            curve, whose = series(run), f"{s.name}" + (f" (seed {run.seed})" if len(s.counted) > 1 else "")
            changes = lr_changes(run)
            lr = series(run, "lr")
            found = stats.shifts(curve, max(known.smallest, 0.5) / 50)
            for epoch, gap in found[:3]:
                at = next((c for c in changes if abs(c - epoch) <= 2), None)
                why = f", where the learning rate goes from {show(float(lr[at - 2]))} to {show(float(lr[at - 1]))}" if at else ""
                text = (
                    f"The validation accuracy of {whose} {'rises' if gap > 0 else 'drops'} by {100 * abs(gap):.1f} points at epoch {at or epoch}{why}"
                )
                text += "." if at else " and stays there; no change of the learning rate explains it."
                yield _stands_out(s, run, text, 100 * gap, "mean of five epochs against the five before, trend apart", at or epoch)
            steps = {e + k for e, _ in found for k in range(-3, 4)} | {c + k for c in changes for k in range(-1, 3)}
            odd = [(e, x) for e, x in stats.spikes(curve, known.smallest / 50) if e not in steps]
            if odd:
                epoch, gap = max(odd, key=lambda x: abs(x[1]))
                many = f", the largest of {len(odd)} such epochs" if len(odd) > 1 else ""
                where = f"{100 * abs(gap):.1f} points {'above' if gap > 0 else 'below'} its neighbours"
                text = f"In epoch {epoch} the validation accuracy of {whose} is {where}{many}."
                yield _stands_out(s, run, text, 100 * gap, "five deviations from a running median", epoch)


def _stands_out(s: Summary, run: Run, text: str, points: float, test: str, epoch: int) -> Observation:
    around = f"epochs {max(1, epoch - 5)}-{min(run.num_epochs, epoch + 5)}"
    return Observation(
        "stands_out", text, "observed", (s.name,), points, None, "points of validation accuracy", (1,), test, evidence=places([run], around)
    )
