"""A disk that fails when it is told to."""

import os

import pytest


@pytest.fixture
def disk(monkeypatch):
    """A disk to be told which calls fail: `disk["write"] = errno.ENOSPC`, or a function of the call's arguments that raises."""
    failing: dict[str, int] = {}
    real = {name: getattr(os, name) for name in ("write", "fsync", "ftruncate", "replace", "pread")}

    def wrapped(name):
        def call(*arguments):
            if name in failing:
                raise OSError(failing[name], os.strerror(failing[name]))
            return real[name](*arguments)

        return call

    for name in real:
        monkeypatch.setattr(os, name, wrapped(name))
    return failing
