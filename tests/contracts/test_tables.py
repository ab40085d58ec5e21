"""Each table of functions holds what the settings' table of the same part promises: names, options and the options' defaults."""

import inspect

import pytest

from zhurnal.core import settings
from zhurnal.train.init import INITS
from zhurnal.train.losses import LOSSES
from zhurnal.train.models import MODELS
from zhurnal.train.optimizers import OPTIMIZERS
from zhurnal.train.schedulers import SCHEDULERS

# Table of functions, table of settings, what each function of the kind takes beside its options.
TABLES = {
    "model": (MODELS, settings.MODELS, ["image", "num_classes"]),
    "optimizer": (OPTIMIZERS, settings.OPTIMIZERS, ["parameters"]),
    "scheduler": (SCHEDULERS, settings.SCHEDULERS, ["step", "steps_per_epoch", "epochs", "base_lr"]),
    "loss": (LOSSES, settings.LOSSES, ["logits_NK", "labels_N"]),
}
PARTS = [(section, name) for section, (functions, _, _) in TABLES.items() for name in functions]


@pytest.mark.parametrize("section", TABLES)
def test_names_are_the_settings_names(section):
    functions, classes, _ = TABLES[section]
    assert list(functions) == list(classes)


def test_inits_are_the_settings_inits():
    assert tuple(INITS) == settings.INITS


@pytest.mark.parametrize(("section", "name"), PARTS)
def test_options_are_the_settings_options(section, name):
    functions, classes, first = TABLES[section]
    parameters = inspect.signature(functions[name]).parameters
    assert list(parameters)[: len(first)] == first
    part = classes[name](name=name)
    options = part.options()
    given = {"history"} if name == "plateau" else set()  # measured, no setting
    assert set(parameters) - set(first) - given == set(options)
    for option, value in options.items():
        if parameters[option].default is not inspect.Parameter.empty:
            assert parameters[option].default == value, option
