"""Which experiment is better than which: each against what it was made from, chains of changes as a whole, repetitions, the best of the journal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...core.text import count, percent
from ..comparing import compare_two, difference
from ..effective import factors, other_images
from ..observation import Observation, Strength
from ..settled import family, mean_settled, noise_of, settled_all, unit
from ..stats.pairs import Z95, binomial_noise
from ..stats.seeds import Noise, pool
from ..stats.several import expected_maximum
from ..summary import Summary, names_text
from .known import Known, places

LOOKED_AT = 12  # of the experiments with the highest best accuracy, how many are read to find the best


def references(told: Sequence[Summary], known: Known) -> list[tuple[Summary, Summary]]:
    """Return the pairs (reference, experiment) that an entry is about: each experiment with its parent where that is in the entry, or else with the
    first of the entry; an experiment alone with its parent.
    """
    by_name = {s.name: s for s in told}
    pairs = []
    for s in told:
        parent = by_name.get(s.experiment.parent or "")
        reference = parent or (told[0] if s is not told[0] else None)
        if reference is None and len(told) == 1:
            reference = next((o for o in known.others if o.name == s.experiment.parent), None)
        if reference is not None and reference.counted and s.counted:
            pairs.append((reference, s))
    return pairs


def better(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Compare each experiment with its reference: better, worse, equivalent, confounded, or not to be told."""
    everything = (*known.others, *told)
    for first, second in references(told, known):
        lab = noise_of(everything, second, without=(first.name, second.name))
        if factors(first, second):
            yield compare_two(first, second, smallest=known.smallest, lab=lab)
        else:
            yield _repetition(first, second, known, lab)


def _repetition(first: Summary, second: Summary, known: Known, lab: Noise) -> Observation:
    """Compare two experiments with the same effective settings."""
    shared = [(a, b) for a in first.counted for b in second.counted if a.seed == b.seed]
    for a, b in shared:
        rows = [[{k: r.get(k) for k in ("epoch", "train_loss", "val_loss", "val_acc")} for r in run.epochs] for run in (a, b)]
        if rows[0] == rows[1] and rows[0]:
            all_of_them = f"all {len(rows[0])} epochs" if len(rows[0]) > 1 else "its one epoch"
            text = f"{second.name} repeats {first.name} exactly: {all_of_them} came out the same."
            return Observation(
                "consistent", text, "equivalent", (first.name, second.name), 0.0, (0.0, 0.0), "points of validation accuracy", (1, 1),
                "comparison of losses and accuracies of every epoch", evidence=places([a, b]),
            )  # fmt: skip
    found = replace(compare_two(first, second, smallest=known.smallest, lab=lab), kind="consistent")
    if found.strength == "equivalent":
        return replace(found, sentence=f"{second.name} is consistent with {first.name}, which has the same settings: {found.sentence}")
    return replace(found, sentence=f"Same settings: {found.sentence}")


def chain(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Compare the end of a chain of changes with its beginning: single steps of one run each may be noise where the whole is not."""
    by_name = {s.name: s for s in told if s.counted}
    parents = {s.experiment.parent for s in by_name.values()}
    for last in by_name.values():
        steps = [last]
        while (parent := by_name.get(steps[-1].experiment.parent or "")) is not None and parent not in steps:
            steps.append(parent)
        if len(steps) < 3 or last.name in parents:
            continue
        first = steps[-1]
        what = factors(first, last)
        if len(what) < 2 or other_images(first, last) or any("images" in f.word for f in what):
            continue
        if not all(r.finished for s in (first, last) for r in s.counted):
            continue
        lab = noise_of((*known.others, *told), last, without=(first.name, last.name))
        found = difference(first, last, (first.name, last.name), smallest=known.smallest, lab=lab)
        changes = ", ".join(f.text() for f in what[:4]) + (", …" if len(what) > 4 else "")
        text = f"From {first.name} to {last.name}, {count(len(steps) - 1, 'step')} ({changes}): {found.sentence}"
        if found.strength in ("suggestive", "supported", "strong"):
            text = text.rstrip(".") + "; how much of it each step gave, only the steps themselves can tell."
        yield replace(found, kind="chain", sentence=text)


def best(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say which experiment gave the best results so far in the journal, what cannot be told from it, and how much of it is the luck of the best."""
    last = told[-1] if told else None
    if last is None or not any(s.counted for s in told):
        return
    kind = family(next(s for s in told if s.counted))
    like = [
        s for s in (*known.others, *told) if s.counted and (family(s)[0], family(s)[2]) == (kind[0], kind[2]) and all(r.finished for r in s.counted)
    ]
    top = sorted(like, key=lambda s: -max(r.best[1] if r.best else 0.0 for r in s.counted))[:LOOKED_AT]
    ranked = sorted(top, key=lambda s: -mean_settled(s))
    if len(like) < 3 or ranked[0].name not in {s.name for s in told}:
        return
    winner = ranked[0]
    like = [s for s in like if not other_images(s, winner)]
    ranked = [s for s in ranked if not other_images(s, winner)]
    if len(like) < 3:
        return
    accuracy, n = mean_settled(winner), len(winner.counted)
    lab = noise_of(like, winner)
    num = int(winner.counted[0].last.get("num_val") or 0)
    sigma = lab.sd if lab.known else binomial_noise(accuracy, num) if num else 0.0
    near = [s for s in ranked[1:] if accuracy - mean_settled(s) <= Z95 * sigma * (1 / n + 1 / len(s.counted)) ** 0.5]
    luck = expected_maximum(len(near) + 1) * sigma / n**0.5
    text = f"{winner.name} gave the best results so far: {percent(accuracy)} % at its end, of {len(like)} experiments on the same images"
    text += (
        f"; {names_text([s.name for s in near])} cannot be told from it."
        if near
        else ", and none of the others is within what chance moves a run by."
    )
    caveats = [f"chance moves one run by about ±{100 * sigma:.2f} points" + ("" if lab.known else " at most, from the number of images")]
    if near:
        caveats.append(f"the best of {len(near) + 1} equals stands about {100 * luck:.2f} points too high")
    if n < 3:
        caveats.append("repeat it with two new seeds before building on it")
    if winner.on_test:
        caveats.append("validated on the test images")
    yield Observation(
        "best", text, "observed" if near or n < 3 else "suggestive", (winner.name, *(s.name for s in near)), 100 * accuracy, None,
        "% validation accuracy", (n, *(len(s.counted) for s in near)), "", evidence=places(winner.counted, "last epochs"), caveats=tuple(caveats),
    )  # fmt: skip


def spread(told: Sequence[Summary], known: Known) -> Iterator[Observation]:
    """Say how much the seeds of an experiment differ, beside those of the lab."""
    for s in told:
        values = settled_all(s)
        if len(values) < 3:
            continue
        own = pool([values])
        lab = noise_of((*known.others, *told), s, without=(s.name,))
        text = f"The {len(values)} seeds of {s.name} differ by ±{100 * own.sd:.2f} points ({unit(s)})"
        strength: Strength = "observed"
        p, test = None, ""
        if lab.known:
            from scipy.special import fdtrc

            p = float(fdtrc(own.df, lab.df, (own.sd / lab.sd) ** 2)) if lab.sd else 1.0
            text += f", those of {count(len(lab.experiments), 'other experiment')} by ±{100 * lab.sd:.2f}"
            test = "F test of variances against the other experiments, one-sided"
            if p < 0.01:
                text, strength = f"{text}: it is less repeatable", "suggestive"
        yield Observation(
            "spread", f"{text}.", strength, (s.name,), 100 * own.sd, None, "points, deviation over seeds", (len(values),), test, p,
            evidence=places(s.counted, "last epochs"),
        )  # fmt: skip
