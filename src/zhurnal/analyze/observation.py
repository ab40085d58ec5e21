"""An observation: a sentence about runs, computed, with what it rests on and how much it bears.

Strengths, from least to most that is claimed:

    cannot tell  the runs do not decide it, or something else differs as well; the sentence says what would be needed
    observed     seen in these runs; nothing is claimed beyond them
    suggestive   more than chance in the images or seeds explains, but of one or two runs, or not after the correction for several claims
    supported    at least three seeds each, the 95 % interval excludes no difference after Holm's correction, and the difference matters
    strong       at least five seeds each, and a second test that assumes less agrees
    equivalent   the difference is smaller than the smallest that matters, shown by an interval and not by a test that found nothing
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ..core import numbers

Strength = Literal["cannot tell", "observed", "suggestive", "supported", "strong", "equivalent"]
STRENGTHS: tuple[Strength, ...] = get_args(Strength)
CLAIMED: frozenset[Strength] = frozenset({"supported", "strong"})  # what a reader may build on


@dataclass(frozen=True)
class Observation:
    """A sentence about runs. Accuracies and their differences are in points (percent of the images)."""

    kind: str  # a key of `observations.KINDS`
    sentence: str  # plain language, without figures of tests
    strength: Strength
    experiments: tuple[str, ...]  # in the order of n
    estimate: float | None = None  # of two experiments: the second minus the first
    interval: tuple[float, float] | None = None  # 95 %
    unit: str = ""  # what the estimate counts: points of validation accuracy, epochs, ...
    n: tuple[int, ...] = ()  # runs of each experiment
    test: str = ""  # the procedure, with its source where it has one
    p: float | None = None  # of the test, before any correction
    p_holm: float | None = None  # after Holm's correction for all claims of the entry; none where it was not made
    evidence: tuple[str, ...] = ()  # which records and epochs it rests on
    caveats: tuple[str, ...] = ()  # what weakens it
    confounded_with: tuple[str, ...] = ()  # what else differs, so that nothing can be said of one cause

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def details(found: Observation) -> str:
    """Return what an observation rests on as one line: estimate, interval, test, runs, records, reservations."""
    parts = []
    if found.estimate is not None:
        text = f"{_figure(found.estimate, found.unit)} {found.unit}".strip()
        known = found.interval is not None and all(map(math.isfinite, found.interval))
        parts.append(text + (f" (95 % interval {' to '.join(_figure(x, found.unit) for x in found.interval or ())})" if known else ""))
    if found.test:
        parts.append(found.test + (f", p {p_text(found.p)}" if found.p is not None else ""))
    if found.p_holm is not None and found.p is not None and p_text(found.p_holm) != p_text(found.p):
        parts.append(f"p {p_text(found.p_holm)} after Holm's correction for the claims of this entry")
    if found.n:
        alike = f"n = {found.n[0]}" + (" each" if len(found.n) > 1 else "")
        parts.append(alike if len(set(found.n)) == 1 else "n = " + ", ".join(map(str, found.n)))
    parts += [f"rests on {_together(found.evidence)}"] if found.evidence else []
    parts += list(found.caveats)
    return "; ".join(parts) + "." if parts else ""


_EVIDENCE = re.compile(r"(e\d+) (seed \d+), (.*)")


def _together(evidence: Sequence[str]) -> str:
    """Return evidence with the experiments that it names alike put together: `e0015-e0018 seed 42, last epochs`."""
    told: dict[tuple[str, str], list[str]] = {}
    for text in evidence:
        match = _EVIDENCE.fullmatch(text)
        told.setdefault((match[2], match[3]) if match else (text, ""), []).append(match[1] if match else "")
    by_experiments: dict[tuple[str, str], list[str]] = {}
    for (run, what), names in told.items():
        by_experiments.setdefault((numbers.show(names) if names[0] else "", what), []).append(run)
    texts = []
    for (names_text, what), who in by_experiments.items():
        whose = who[0] if len(who) == 1 else "seeds " + ", ".join(w.removeprefix("seed ") for w in who)
        texts.append(f"{names_text} {whose}, {what}" if names_text else "; ".join(who))
    return "; ".join(texts)


def _figure(value: float, unit: str) -> str:
    """Return a number for a person: whole epochs and runs, learning rates with two digits, the rest with two decimals."""
    form = ".0f" if unit.startswith(("epoch", "run", "stop")) else ".2g" if unit == "learning rate" else ".2f"
    text = format(value, form)
    return text.replace("-", "−") if "e" not in text else text


def p_text(p: float) -> str:
    """Return a p-value as it is read: `= 0.03`, `< 0.0001`.

    >>> p_text(0.0312), p_text(0.5), p_text(1e-9)
    ('= 0.031', '= 0.50', '< 0.0001')
    """
    if p < 0.0001:
        return "< 0.0001"
    return f"= {p:.2f}" if p >= 0.095 else f"= {p:.3f}" if p >= 0.0095 else f"= {p:.4f}"


def plain(found: Sequence[Observation]) -> list[Mapping[str, Any]]:
    """Return observations as plain values for JSON."""
    return [o.to_dict() for o in found]
