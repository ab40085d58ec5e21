"""Lists of steps in `data.transform`: one form for all ways to write them, differences, and how they are shown."""

import pytest

from zhurnal.core import diff, settings
from zhurnal.core.errors import SettingsError
from zhurnal.core.text import show
from zhurnal.store import yamls


def parsed(transform):
    return settings.parse({"data": {"transform": transform}})


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("init", "init"),
        ("my.py:shift", "my.py:shift"),
        ([], "init"),
        ("flip", ["flip"]),
        ([{"flip": {"p": 0.5}}, {"crop": None}, {"crop": {}}], ["flip", "crop", "crop"]),
        ([{"cutout": {"p": 1, "size": 8}}], [{"cutout": {"size": 8}}]),
        ([{"resize_crop": {"scale": [0.25, 1], "ratio": [3 / 4, 4 / 3]}}], [{"resize_crop": {"scale": [0.25, 1.0]}}]),
        ([{"color_jitter": {"hue": 0, "brightness": 0.3}}], [{"color_jitter": {"hue": 0.0}}]),
    ],
)
def test_one_form_for_all_ways_to_write_it(written, canonical):
    given = parsed(written)
    assert given.data.transform == canonical
    assert given == parsed(canonical)
    assert settings.parse(given.to_dict()) == given


def test_writing_out_defaults_is_no_difference():
    for name, cls in settings.STEPS.items():
        full = cls().model_dump(mode="json")
        assert parsed([{name: full}]) == parsed([name])
        assert diff.diff(parsed([name]), parsed([{name: full}])) == {}


def test_a_difference_is_short_and_survives_a_file_and_the_command_line():
    parent, child = parsed("augment_simple"), parsed(["crop", "flip", {"cutout": {"size": 8, "fill": "black"}}])
    changes = diff.diff(parent, child)
    assert diff.short(changes) == "transform=[crop, flip, cutout(size=8, fill=black)]"
    text = yamls.dump({"changes": changes})
    assert "data.transform: [crop, flip, cutout: {size: 8, fill: black}]" in text
    assert diff.apply(parent, yamls.parse(text, "e.yaml").values["changes"]).settings == child
    assert diff.apply(parent, {"data.transform": yamls.value("[crop, flip, cutout: {size: 8, fill: black}]")}).settings == child
    assert diff.tell_apart([diff.facts(parent), diff.facts(child)])[0] == {"data.transform": "augment_simple"}


def test_values_that_are_no_steps_are_shown_as_before():
    assert show({"mean": [0.5], "std": [0.2]}) == "{mean: [0.5], std: [0.2]}"
    assert show([{"mean": [0.5]}, {"a": {}, "b": 1}]) == "[{mean: [0.5]}, {a: {}, b: 1}]"


def test_steps_with_all_their_options():
    assert settings.steps_of("augment_simple") == [("crop", {"padding": None, "mode": "zero"}), ("flip", {"p": 0.5})]
    assert settings.steps_of("init") == []


def test_a_list_that_is_too_long():
    with pytest.raises(SettingsError, match=r"^data\.transform has 33 steps, must have at most 32"):
        parsed(["flip"] * 33)


def test_one_wrong_step_is_enough():
    with pytest.raises(SettingsError, match=r"^data\.transform: step 2, flip\.p is 2, must be at least 0 and at most 1$"):
        parsed(["crop", {"flip": {"p": 2}}])


def test_none_on_the_command_line_is_the_name_none():
    assert settings.parse({"data": {"normalize": yamls.value("none")}}).data.normalize == "none"
    assert settings.parse({"train": {"tta": yamls.value("none")}}).train.tta == "none"
    assert settings.parse({"loss": {"name": "cross_entropy", "class_weights": "none"}}) == settings.parse({})
