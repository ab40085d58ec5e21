"""The terminal, or file, or pipe, that bars and lines go to."""

import os
import sys

import rich.console


class Console(rich.console.Console):
    """As rich's, but that nobody reads any more (`zhurnal run e0001 | head`) ends no training: what is left to say is not said."""

    def on_broken_pipe(self) -> None:
        """Say nothing from here on; rich would end the process."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno() if self.stderr else sys.stdout.fileno())
