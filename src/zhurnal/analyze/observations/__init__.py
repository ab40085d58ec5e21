"""All that can be said of some experiments: one function and one line of KINDS for each kind of observation.

An observation is a function `observe(told, known)`: of the summaries of an entry's experiments, and of what is known beside them, it makes
Observations. A package brings its own in the entry-point group `zhurnal.observations`.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ...core import numbers, plugins
from ...core.errors import ZhurnalError
from ...store.lab import Lab
from ...store.view import View, look
from .. import summary as summaries_of
from ..comparing import corrected
from ..observation import Observation
from ..summary import Summary
from . import curves, pairs, single, sweeps
from .known import Known

Observe = Callable[[Sequence[Summary], Known], Iterator[Observation]]

# In the order of what a reader wants to know first.
KINDS: dict[str, Observe] = {
    "failed": single.failed,
    "chance": single.chance,
    "better": pairs.better,
    "plays_a_role": sweeps.plays_a_role,
    "chain": pairs.chain,
    "learning_rate": sweeps.learning_rate,
    "batch_size": sweeps.batch_size,
    "best": pairs.best,
    "loss_rises": curves.loss_rises,
    "memorises": single.memorises,
    "goes_on": single.goes_on,
    "saturates": curves.saturates,
    "stands_out": curves.stands_out,
    "spread": pairs.spread,
    "time": single.time,
}
ABOUT_DIFFERENCES = frozenset({"better", "consistent", "chain", "plays_a_role"})  # claims that Holm's correction is made over
MOST_OTHERS = 200  # earlier experiments that are looked at for what seeds do and for the best so far
SHOWN = 6  # observations on a page
SHOWN_OF_A_KIND = 2

_RANK = {"strong": 0, "supported": 1, "equivalent": 2, "suggestive": 3, "observed": 4, "cannot tell": 5}
_FIRST = ("failed", "chance")  # told whatever their strength
_ONLY_WHEN_TOLD = ("not_saturated", "chain", "consistent")  # left out where they cannot be told
_LESS = ("spread", "time", "progress", "throughput", "not_saturated", "goes_on")  # told where there is room


def observe(told: Sequence[Summary], known: Known | None = None) -> list[Observation]:
    """Return all that can be said of experiments, in the order of KINDS; claims of differences corrected for being several (Holm).

    Raises:
        ZhurnalError: an observation of a package is broken; names it.
    """
    known = known or Known()
    ordered = sorted(told, key=lambda s: numbers.number(s.name))
    found = [o for make in KINDS.values() for o in make(ordered, known)]
    found += [o for name, make in _of_packages() for o in _checked(name, make, ordered, known)]
    claims = iter(corrected([o for o in found if o.kind in ABOUT_DIFFERENCES]))
    return [next(claims) if o.kind in ABOUT_DIFFERENCES else o for o in found]


def _of_packages() -> list[tuple[str, Any]]:
    return [(name, _load(name)) for name in plugins.names("observation")]


def _load(name: str) -> Any:
    plugin = plugins.find("observation", name)
    assert plugin is not None  # `names` just found it
    module, _, attribute = plugin.value.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        brought = f"observation '{name}', which {plugin.package} {plugin.version} brings"
        raise ZhurnalError(f"{brought} cannot be loaded from {plugin.value} ({error}): mend or uninstall the package") from error


def _checked(name: str, make: Any, told: Sequence[Summary], known: Known) -> Iterable[Observation]:
    found = list(make(told, known))
    wrong = next((o for o in found if not isinstance(o, Observation)), None)
    if wrong is not None:
        raise ZhurnalError(f"observation '{name}' of an installed package yields {type(wrong).__name__}, must yield zhurnal's Observation")
    return found


def of_lab(lab: Lab, names: Sequence[str], view: View | None = None) -> list[Observation]:
    """Return all that can be said of experiments of a lab; see `observe`."""
    if view is None:
        with look(lab) as found:
            return of_lab(lab, names, found)
    told = summaries_of.read_all(lab, names, view)
    return observe(told, known_to(lab, told, view))


def known_to(lab: Lab, told: Sequence[Summary], view: View) -> Known:
    """Return what is known beside experiments: those before the last of them, so that a page does not change with every experiment that follows."""
    last = max(numbers.number(s.name) for s in told)
    names = {s.name for s in told}
    before = [n for n in lab.names() if numbers.number(n) < last and n not in names][-MOST_OTHERS:]
    others = []
    for name in before:
        try:
            others.append(summaries_of.read(view, name))
        except ZhurnalError:  # its file cannot be read, as `ls` says; the entry is not about it
            continue
    return Known(lab.config.smallest_difference, tuple(others))


def strongest(found: Sequence[Observation], most: int = SHOWN) -> list[Observation]:
    """Return the few that a reader should see: failures, then by strength and kind, at most two of a kind."""
    order = {name: i for i, name in enumerate(KINDS)}

    def rank(o: Observation) -> tuple[int, int, int]:
        first = 0 if o.kind in _FIRST else 1
        strength = _RANK[o.strength] + 2 * (o.kind in _LESS)
        return first, strength, order.get(o.kind, order["better"] if o.kind == "consistent" else len(order))

    kept: list[Observation] = []
    for o in sorted((o for o in found if o.strength != "cannot tell" or o.kind not in _ONLY_WHEN_TOLD), key=rank):
        if sum(k.kind == o.kind for k in kept) < SHOWN_OF_A_KIND and len(kept) < most:
            kept.append(o)
    return kept


__all__ = ["KINDS", "Known", "Observation", "known_to", "observe", "of_lab", "strongest"]
