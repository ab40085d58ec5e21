"""More seeds for an experiment that is there: `repeat: 3` in its file, which asks for three runs.

It stands beside the settings and not among them: what an experiment's children inherit, and what its runs are compared by, stays as it is.
"""

import re

from ..core.errors import LabError, SettingsError
from ..core.experiment import Experiment
from . import files, yamls
from .lab import Lab

MOST = 1000


def repeat(lab: Lab, name: str, num: int) -> Experiment:
    """Ask for `num` seeds of an experiment in all, counted up from its first, and return it; the rest of its file stays as it is, comments too.

    Raises:
        LabError: the experiment does not exist, or `num` is less than the seeds that its settings name.
    """
    experiment = lab.experiment(name)
    least = len(experiment.values["seeds"])
    if not max(least, 1) <= num <= MOST:
        raise LabError(f"seeds is {num}, must be from {least}, which {experiment.name} has in its settings, to {MOST:,}")
    path = lab.file(experiment.name)
    before = path.read_bytes().decode()  # with its line ends
    line = f"repeat: {num}"
    after, found = re.subn(r"(?m)^repeat[ \t]*:[^\r\n]*", line, before, count=1)
    if not found:
        place = re.search(r"(?m)^(?:series|created)[ \t]*:", before)
        end = "\r\n" if "\r\n" in before else "\n"
        at = place.start() if place else len(before)
        after = before[:at] + ("" if place or before.endswith("\n") else end) + line + end + before[at:]
    try:
        is_right = yamls.parse(after, path.name).values == yamls.parse(before, path.name).values | {"repeat": num}
    except SettingsError:
        is_right = False
    if not is_right:
        raise LabError(f"{path.name} is not written as one key a line: write `{line}` into it")
    files.write(path, after)
    return lab.experiment(experiment.name)
