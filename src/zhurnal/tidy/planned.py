"""A change of several files under numbers that were kept for it: all of it happens, or the numbers are free again."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from ..store import plan, taken
from ..store.lab import Lab


@contextmanager
def planned(lab: Lab, what: str, kept: Collection[str]) -> Iterator[plan.Plan]:
    """Give a plan to fill, and do it at the end; where it fails before it is committed, `kept` are given back.

    `kept` may grow while the plan is filled. The lab is held alone (`plan.alone`).
    """
    made = plan.Plan(lab.folder, what)
    try:
        yield made
        made.do()
    except BaseException:
        if not plan.is_committed(lab.folder):
            for name in kept:
                taken.release(lab, name)
        raise
    finally:
        made.abandon()
