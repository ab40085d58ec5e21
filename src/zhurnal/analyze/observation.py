"""An observation: a sentence about runs, computed, with what it rests on and how much it bears.

Strengths, from least to most that is claimed:

    cannot tell  the runs do not decide it, or something else differs as well; the sentence says what would be needed
    observed     seen in these runs; nothing is claimed beyond them
    suggestive   more than chance in the images or seeds explains, but of one or two runs, or not after the correction for several claims
    supported    at least three seeds each, the 95 % interval excludes no difference after Holm's correction, and the difference matters
    strong       at least five seeds each, and a second test that assumes less agrees
    equivalent   the difference is smaller than the smallest that matters, shown by an interval and not by a test that found nothing
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

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
        text = f"{_figure(found.estimate)} {found.unit}".strip()
        parts.append(text + (f" (95 % interval {_figure(found.interval[0])} to {_figure(found.interval[1])})" if found.interval else ""))
    if found.test:
        parts.append(found.test + (f", p {p_text(found.p)}" if found.p is not None else ""))
    if found.p_holm is not None and found.p is not None and found.p_holm > found.p:
        parts.append(f"p {p_text(found.p_holm)} after Holm's correction for the claims of this entry")
    if found.n:
        same = len(set(found.n)) == 1
        parts.append(f"n = {found.n[0]}" + (" each" if len(found.n) > 1 else "") if same else "n = " + ", ".join(map(str, found.n)))
    parts += [f"rests on {'; '.join(found.evidence)}"] if found.evidence else []
    parts += list(found.caveats)
    return "; ".join(parts) + "." if parts else ""


def _figure(value: float) -> str:
    """Return a number for a person: two decimals where these say something, more digits for what is small."""
    if value == 0 or 0.095 <= abs(value) < 1000:
        return f"{value:.2f}".replace("-", "−")
    return f"{value:,.0f}".replace("-", "−") if abs(value) >= 1000 else f"{value:.2g}".replace("-", "−")


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
