"""The errors a user can meet. Each text names the value, the rule and the way out; the command line prints it and exits with status 2.

    ZhurnalError
    ├── SettingsError    a settings file or an override is wrong; carries all problems of the file at once
    ├── LabError         no lab here, an experiment that does not exist, a number that is taken
    ├── DataError        a data set that is missing, unreadable or not what the settings say
    ├── RunError         a run that cannot start or go on: already running, damaged checkpoint, unusable device
    │   └── Interrupted  somebody asked a run to stop; it can go on
    └── JournalError     a journal page that cannot be written without losing a person's words

A bug in Zhurnal itself is any other exception and shows its traceback.
"""

from collections.abc import Sequence


class ZhurnalError(Exception):
    """Base of every error that is the user's to mend."""


class SettingsError(ZhurnalError):
    """Settings are wrong. `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class LabError(ZhurnalError):
    """The lab, or an experiment in it, is not there or not as expected."""


class DataError(ZhurnalError):
    """A data set is missing, unreadable, or does not fit the settings."""


class RunError(ZhurnalError):
    """A run cannot start or go on."""


class Interrupted(RunError):
    """Somebody asked the run to stop; it can go on from where it was."""


class JournalError(ZhurnalError):
    """A journal page cannot be written without losing a person's words."""
