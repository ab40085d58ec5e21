"""Blocks of an entry that are made from more than its summaries: observations, and on request accuracy by class, confusion, calibration, mistakes."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from urllib.parse import quote

from ..analyze import predictions
from ..analyze import results as drawn
from ..analyze.predictions import Predictions
from ..analyze.summary import Summary
from ..core.errors import JournalError, LabError
from ..core.text import did_you_mean, escape_markdown, list_names, percent, printable
from ..store.lab import Lab
from . import observed

NUM_MISTAKES = 12
_NOT_HERE = "its predictions are not here, or cannot be read (they are not kept in git)."


def check(names: Sequence[str]) -> None:
    """Raise JournalError where a name is no block that can be added."""
    for name in names:
        if name not in OPTIONAL:
            raise JournalError(f"'{printable(name, 60)}' is no block to add{did_you_mean(name, OPTIONAL) or ';'} blocks are {list_names(OPTIONAL)}")


def read(s: Summary) -> Predictions | None:
    """Return the predictions of an experiment's best run; none where no epoch was finished.

    Raises:
        LabError: they are not here, or cannot be read.
    """
    runs = [r for r in s.counted if r.num_epochs]
    return predictions.read(max(runs, key=lambda r: r.best[1] if r.best else 0.0)) if runs else None


def without_predictions(told: Sequence[Summary]) -> list[str]:
    """Return the experiments that have finished epochs, and whose predictions are not here or cannot be read."""
    found = []
    for s in told:
        try:
            read(s)
        except LabError:
            found.append(s.name)
    return found


def draw(told: Sequence[Summary], lab: Lab, blocks: Iterable[str]) -> None:
    """Draw the figures of blocks into `fig/`, for the experiments whose predictions are here."""
    for kind in (b for b in blocks if b in drawn.KINDS):
        for s in told:
            with suppress(LabError):  # its block says so
                if (found := read(s)) is not None:
                    drawn.draw(found, [kind], lab.journal / "fig")


def _each(told: Sequence[Summary], kind: str, make: Callable[[Predictions], str]) -> str:
    """Return what `make` says of the best run of each experiment, under its name; an experiment without predictions says so."""
    texts = []
    for s in told:
        try:
            found = read(s)
        except LabError:
            texts.append(f"{s.name}: {_NOT_HERE}")
            continue
        if found is None:
            texts.append(f"{s.name}: no epoch was finished.")
            continue
        head = f"**{s.name}** (seed {found.seed}, weights of epoch {found.epoch}, {len(found.label_N):,} validation images)"
        figure = ""
        if kind in drawn.KINDS:
            figure = f"\n\n![{kind} of {s.name}](fig/{quote(drawn.stem(s.name, kind))}.png)"
        texts.append(f"{head}\n\n{make(found)}{figure}")
    return "\n\n".join(texts)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headings) + " |", "|" + "|".join("---" if i == 0 else "--:" for i in range(len(headings))) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(escape_markdown(c) for c in row) + " |" for row in rows)])


def classes(told: Sequence[Summary], lab: Lab) -> str:
    """Return the accuracy of each class."""

    def make(found: Predictions) -> str:
        rows = [
            (r.name, f"{r.num:,}", percent(r.accuracy), f"{percent(r.low)} to {percent(r.high)}", f"{r.taken_for} ({r.taken})" if r.taken else "–")
            for r in predictions.by_class(found)
        ]
        return _table(("class", "images", "accuracy", "95 % interval", "most often taken for"), rows)

    return _each(told, "classes", make)


def confusion(told: Sequence[Summary], lab: Lab) -> str:
    """Return the pairs that are mixed up most, and the matrix as a figure."""

    def make(found: Predictions) -> str:
        pairs = predictions.most_confused(found)
        return _table(("true", "said", "images"), [(a, b, f"{n:,}") for a, b, n in pairs]) if pairs else "No image is wrong."

    return _each(told, "confusion", make)


def calibration(told: Sequence[Summary], lab: Lab) -> str:
    """Return how well confidence tells accuracy."""

    def make(found: Predictions) -> str:
        _, error = predictions.calibration(found)
        mean = float(found.confidence_N.mean())
        return (
            f"Mean confidence {percent(mean)} %, accuracy {percent(found.accuracy)} %; "
            f"expected calibration error {percent(error)} points ({predictions.BINS} bins)."
        )

    return _each(told, "calibration", make)


def mistakes(told: Sequence[Summary], lab: Lab) -> str:
    """Return the wrong answers that each network was surest of."""

    def make(found: Predictions) -> str:
        rows = [(str(m.number), m.label, m.predicted, percent(m.confidence, 1)) for m in predictions.mistakes(found, NUM_MISTAKES)]
        return _table(("image number", "true", "said", "confidence"), rows) if rows else "No image is wrong."

    return _each(told, "mistakes", make)


OPTIONAL: dict[str, Callable[[Sequence[Summary], Lab], str]] = {
    "classes": classes,
    "confusion": confusion,
    "calibration": calibration,
    "mistakes": mistakes,
    observed.NAME: observed.block,
}
