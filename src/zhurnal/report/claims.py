"""What a person's sentences claim, held against what the records say; see `reading.py` for what is read.

A sentence about two experiments holds where the records show that difference beyond noise, and one that is hedged ("in these runs", "seems") already
where its direction is right. Accuracies are fractions; numbers of sentences are percent.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..analyze import effective, summary
from ..analyze.comparing import compare_two
from ..analyze.observation import CLAIMED, Observation, details
from ..analyze.settled import mean_settled, noise_of
from ..analyze.summary import Summary
from ..core import numbers
from ..core.text import printable, show
from . import plateaus, prose, reading
from .problems import Problem

LEVEL = 0.005  # points: below, two accuracies are shown as the same


@dataclass(frozen=True)
class Evidence:
    """What an entry is about, and how to get at what the records say."""

    file: str
    names: tuple[str, ...]  # the experiments of the entry; for another page, none
    have: frozenset[str]  # all experiments of the lab
    told: Callable[[str], Summary | None]
    smallest: float  # the difference that matters, in points

    @cached_property
    def summaries(self) -> list[Summary]:
        """What the entry's experiments came to: those with a whole epoch."""
        return [s for n in self.names if n in self.have and (s := self.told(n)) is not None and s.counted]

    @cached_property
    def all(self) -> list[Summary]:
        """What all experiments came to."""
        return [s for n in sorted(self.have, key=numbers.number) if (s := self.told(n)) is not None and s.counted]

    def curves(self, names: Sequence[str]) -> list[Summary]:
        """Return what some experiments came to, or those of the entry where none is named."""
        return [s for n in names if n in self.have and (s := self.told(n)) is not None and s.counted] if names else self.summaries

    def compare(self, first: Summary, second: Summary) -> Observation:
        """Return what can be said of the second against the first."""
        return compare_two(first, second, smallest=self.smallest, lab=noise_of(self.all, second, without=(first.name, second.name)))


Found = Iterator[tuple[str, str, str, str]]  # kind of problem, text, evidence, strength


def problems(page: Sequence[prose.Sentence], rows: Sequence[prose.TableRow], evidence: Evidence) -> tuple[list[Problem], int]:
    """Return what the records do not bear out, and how many sentences were read."""
    found: list[Problem] = []
    read = 0
    for sentence in page:
        made = list(reading.claims(sentence.text))
        read += bool(made)
        for claim in made:
            found += [
                Problem(evidence.file, sentence.line, kind, text, printable(sentence.text, 300), rests_on, strength)
                for kind, text, rests_on, strength in judge(claim, evidence)
            ]
    for row in rows:
        for figure in table_figures(row):
            read += 1
            quote = printable(" | ".join(row.cells), 300)
            found += [Problem(evidence.file, row.line, kind, text, quote, rests_on, s) for kind, text, rests_on, s in judge(figure, evidence)]
    return found, read


def judge(claim: reading.Claim, evidence: Evidence) -> Found:
    """Give what does not hold of a claim."""
    if isinstance(claim, reading.Names):
        missing = [n for n in claim.names if n not in evidence.have]
        if missing:
            verb = "does" if len(missing) == 1 else "do"
            there = numbers.show(evidence.have) if evidence.have else "none"
            yield "claim", f"{numbers.show(missing)} {verb} not exist", f"there are {there}", ""
    elif isinstance(claim, reading.Better):
        yield from _better(claim, evidence)
    elif isinstance(claim, reading.Matters):
        yield from _matters(claim, evidence)
    elif isinstance(claim, reading.Figure):
        yield from _figure(claim, evidence)
    elif isinstance(claim, reading.Optimum):
        yield from _optimum(claim, evidence)
    elif isinstance(claim, reading.Saturates):
        yield from plateaus.judge(claim, evidence.curves(claim.names), evidence.smallest)


# --- better, worse, level ---


def _better(claim: reading.Better, evidence: Evidence) -> Found:
    first, second = (_subject(word, evidence) for word in (claim.first, claim.second))
    if first is None or second is None or first.name == second.name:
        return
    by_name = claim.first == first.name and claim.second == second.name
    observed = evidence.compare(second, first)  # estimate: first minus second
    if observed.estimate is None or not math.isfinite(observed.estimate):
        yield "unsupported", "cannot be told", observed.sentence, observed.strength
        return
    beyond = _beyond_noise(observed, by_name)
    if claim.sign == 0:
        if beyond and abs(observed.estimate) >= evidence.smallest:
            yield "claim", "is not what the records say", _said(observed), observed.strength
        return
    yield from _directed(claim.sign, claim.hedged, observed, beyond, (second, first))
    if claim.points is not None and not any(_equals(d, claim.points, claim.digits) for d in _gaps(second, first)):
        gaps = ", ".join(f"{d:.2f}" for d in dict.fromkeys(round(g, 2) for g in _gaps(second, first)))
        yield (
            "claim",
            f"{claim.points:g} points is no difference of theirs",
            f"they differ by {gaps} points (at their best, at the end)",
            observed.strength,
        )


def _directed(sign: int, hedged: bool, observed: Observation, beyond: bool, pair: tuple[Summary, Summary]) -> Found:
    """Give what does not hold of "better" (1) or "worse" (-1): `observed` is of the second of `pair` against the first."""
    assert observed.estimate is not None
    at_best = _best(pair[1]) - _best(pair[0])
    right = observed.estimate * sign >= LEVEL
    if not right and (beyond or at_best * sign < LEVEL):
        yield "claim", "is the other way round in the records", _said(observed), observed.strength
    elif not right or (not beyond and not hedged):
        at_end = f"at their best they differ by {abs(at_best):.2f} points, which chooses the luckiest epoch of each; " if not right else ""
        yield "unsupported", "is more than these runs can show", at_end + _said(observed), observed.strength


def _beyond_noise(observed: Observation, by_name: bool) -> bool:
    """Return whether a difference is more than noise; of experiments named one by one it may have several causes."""
    if observed.strength in ("suggestive", *CLAIMED):
        return True
    excludes = observed.interval is not None and (observed.interval[0] > 0 or observed.interval[1] < 0)
    return by_name and bool(observed.confounded_with) and observed.p is not None and observed.p < 0.05 and excludes


def _said(observed: Observation) -> str:
    return f"{observed.sentence} {details(observed)}".strip()


def _best(s: Summary) -> float:
    found = summary.best_val_acc(s)
    return 100 * found.mean if found else math.nan


def _gaps(first: Summary, second: Summary) -> list[float]:
    """Return the differences of two experiments that a person may mean, in points."""
    ends = [[m(s) for s in (first, second)] for m in (summary.best_val_acc, lambda s: summary.last(s, "val_acc"), summary.test_acc)]
    gaps = [100 * abs(b.mean - a.mean) for a, b in ends if a and b]
    return [*gaps, 100 * abs(mean_settled(second) - mean_settled(first))]


def _subject(word: str, evidence: Evidence) -> Summary | None:
    """Return the experiment that a word stands for: by its name, or as the only one of the entry with that optimizer, model or schedule."""
    if word in evidence.have:
        s = evidence.told(word)
        return s if s is not None and s.counted else None
    wanted = _squeezed(word)
    found = {s.name: s for s in evidence.summaries for key in _PARTS if wanted and _squeezed(str(s.facts.get(key, ""))) == wanted}
    return next(iter(found.values())) if len(found) == 1 else None


_PARTS = ("optimizer.name", "model.name", "scheduler.name", "data.transform", "loss.name", "model.init")


def _squeezed(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


# --- a setting helps, hurts, plays a role ---


def _matters(claim: reading.Matters, evidence: Evidence) -> Found:
    pairs = []  # without, with
    for a, b in itertools.combinations(evidence.summaries, 2):
        told = effective.factors(a, b)
        if any(f.key in claim.keys for f in told):
            has = [any(_is_on(s.facts, key, claim.word) for key in claim.keys) for s in (a, b)]
            pairs.append(((b, a) if has == [True, False] else (a, b), has[0] != has[1], len(told)))
    if claim.sign:
        pairs = [p for p in pairs if p[1]]
    if not pairs:
        return  # it may speak of another entry
    fewest = min(p[2] for p in pairs)
    tried = [(pair, evidence.compare(*pair)) for pair, _, factors in pairs if factors == fewest]
    known = [(pair, o) for pair, o in tried if o.estimate is not None and math.isfinite(o.estimate)]
    if not known:
        return
    beyond = [(pair, o) for pair, o in known if _beyond_noise(o, by_name=False)]
    if claim.sign == 0:
        if not beyond and not claim.hedged:
            pair, best = max(known, key=lambda found: abs(found[1].estimate or 0.0))
            yield "unsupported", "is more than these runs can show", _said(best), best.strength
        return
    if any((o.estimate or 0.0) * claim.sign > 0 for _, o in beyond) and not any((o.estimate or 0.0) * claim.sign < 0 for _, o in beyond):
        return
    against = [(pair, o) for pair, o in known if (o.estimate or 0.0) * claim.sign < LEVEL]
    pair, observed = (against or known)[0]
    yield from _directed(claim.sign, claim.hedged, observed, _beyond_noise(observed, by_name=False), pair)


def _is_on(facts: Mapping[str, Any], key: str, word: str) -> bool:
    """Return whether a setting does what a word says: a schedule, a weight decay that is not 0, a transform that augments."""
    value = facts.get(key if key in facts else f"{key}.name")
    if word.startswith("simple "):
        return str(value).endswith("_simple")
    return value not in (None, 0, False, "none", "init", "constant", "default")


# --- accuracies ---


def table_figures(row: prose.TableRow) -> Iterator[reading.Figure]:
    """Give the accuracies in a person's table: cells of a row that begins with an experiment, below a heading about accuracy."""
    name = row.cells[0].strip("[] ")
    if not reading.NAMES.fullmatch(name):
        return
    for heading, cell in zip(row.headings[1:], row.cells[1:], strict=False):
        number = cell.removesuffix("%").strip()
        if "acc" in heading.lower() and "." in number and number.replace(".", "", 1).isdigit():
            of = reading.which(heading)
            yield reading.Figure(name, float(number), reading.digits(number), "" if of == "train" else of)


def _equals(value: float, number: float, digits: int) -> bool:
    """Return whether a person may write `value` as `number` with so many digits: rounded, or cut off."""
    unit = 10.0**-digits
    return -0.5 * unit - 1e-9 <= value - number < unit + 1e-9


def _accuracies(s: Summary, of: str) -> Iterator[tuple[float, str]]:
    """Give the accuracies of an experiment, in percent, with what each is."""
    spreads = {
        "best": summary.best_val_acc(s), "test": summary.test_acc(s), "last": summary.last(s, "val_acc"), "train": summary.last(s, "train_acc"),
    }  # fmt: skip
    for key, spread in spreads.items():
        if spread and (of in ("", key) or (of == "best" and key == "test")):
            yield 100 * spread.mean, f"{key} of its seeds" if spread.n > 1 else key
            yield from ((100 * v, key) for v in spread.values)
            if spread.sd is not None and not of:
                yield 100 * spread.sd, "deviation"
    if of in ("best", "test"):
        return
    for run in s.runs:
        for row in run.epochs:
            for key in ("val_acc", "train_acc", "val_acc_tta"):
                if key in row and (of != "train" or key == "train_acc") and math.isfinite(value := summary.value(row, key)):
                    yield 100 * value, f"{key} after epoch {row['epoch']}"
        for key in ("test_acc", "test_acc_tta"):
            if run.test and key in run.test:
                yield 100 * summary.value(run.test, key), key
    if not of:
        yield 100 * mean_settled(s), "mean of the last epochs"


def _figure(claim: reading.Figure, evidence: Evidence) -> Found:
    shown = f"{claim.number:.{claim.digits}f} %"
    if not claim.name:
        yield from _best_of_entry(claim, shown, evidence)
        return
    s = evidence.told(claim.name) if claim.name in evidence.have else None
    if s is None or not s.counted:
        return
    if claim.of == "test" and summary.test_acc(s) is None:
        claim = replace(claim, of="")
    if any(_equals(value, claim.number, claim.digits) for value, _ in _accuracies(s, claim.of)):
        return
    same = next((what for value, what in _accuracies(s, "") if _equals(value, claim.number, claim.digits)), "") if claim.of else ""
    told = [f"its {key} is {100 * spread.mean:.2f} %" for key, spread in _ends(s) if spread]
    what = f"{claim.of} accuracy" if claim.of else "accuracy"
    text = f"{shown} is no {what} of {s.name}" + (f" (it is its {same})" if same else "")
    yield "claim", text, "; ".join(told), "observed"


def _ends(s: Summary) -> list[tuple[str, summary.Spread | None]]:
    return [
        ("best validation accuracy", summary.best_val_acc(s)), ("last", summary.last(s, "val_acc")), ("test accuracy", summary.test_acc(s)),
    ]  # fmt: skip


def _best_of_entry(claim: reading.Figure, shown: str, evidence: Evidence) -> Found:
    if claim.of in ("train", "test"):
        candidates = [v for s in evidence.summaries for v, _ in _accuracies(s, claim.of)]
        if candidates and not any(_equals(v, claim.number, claim.digits) for v in candidates):
            yield "claim", f"{shown} is no {claim.of} accuracy of this entry", f"the highest is {max(candidates):.2f} %", "observed"
        return
    told = evidence.summaries
    if claim.so_far and told:
        last = max(numbers.number(s.name) for s in told)
        told = [s for s in evidence.all if numbers.number(s.name) <= last]
    best = max(told, key=_best, default=None)
    if best is None or math.isnan(_best(best)):
        return
    if not any(_equals(v, claim.number, claim.digits) for v, _ in _accuracies(best, "best")):
        tested = summary.test_acc(best)
        more = f", {100 * tested.mean:.2f} % on the test images" if tested else ""
        where = "of all experiments so far" if claim.so_far else "of this entry"
        yield "claim", f"{shown} is not the best {where}", f"the best validation accuracy is {_best(best):.2f} % ({best.name}{more})", "observed"


# --- the best value of a setting ---


def _optimum(claim: reading.Optimum, evidence: Evidence) -> Found:
    grid: dict[float, list[Summary]] = {}
    for s in evidence.summaries:
        value = s.facts.get(claim.key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            grid.setdefault(float(value), []).append(s)
    if not grid:
        return
    tried = sorted(grid)
    told = f"tried in this entry: {', '.join(show(v) for v in tried)}"
    if len(tried) < 2:
        if not evidence.names or len(evidence.summaries) < 2:
            return  # the entry is about something else
        yield "unsupported", f"no other {claim.word} was tried in this entry", told, "cannot tell"
        return
    nearest = min(tried, key=lambda v: abs(math.log(v / claim.number)) if v > 0 < claim.number else abs(v - claim.number))
    step = 10.0 ** -reading.digits(claim.text) if "e" not in claim.text else 0.0
    if claim.number > tried[-1] + step / 2 + 1e-12 or claim.number < tried[0] - step / 2 - 1e-12:
        yield "claim", f"{claim.text} was not tried: it lies outside of what was", f"{told}; nothing is known beyond", "cannot tell"
        return
    accuracy = {v: max(_best(s) for s in found) for v, found in grid.items()}
    best = max(tried, key=lambda v: accuracy[v])
    if best != nearest:
        champion, chosen = (max(grid[v], key=_best) for v in (best, nearest))
        observed = evidence.compare(chosen, champion)
        if claim.tested or (_beyond_noise(observed, by_name=False) and (observed.estimate or 0) > 0):
            text = f"{show(best)} ({champion.name}) came out higher: {accuracy[best]:.2f} % against {accuracy[nearest]:.2f} % at their best"
            yield "claim", text, _said(observed), observed.strength
            return
    if nearest in (tried[0], tried[-1]) and not claim.tested:
        edge = "largest" if nearest == tried[-1] else "smallest"
        yield "unsupported", f"{show(nearest)} is the {edge} that was tried, so the optimum is not bracketed", told, "cannot tell"
