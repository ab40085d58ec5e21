"""The steps that `data.transform` may list, their options, and the recipes made of them. What each does to images is in `train/steps.py`.

`[crop, flip, cutout: {size: 8}]` is a list of names, each with its options where they are not the defaults: that is also its canonical form, so
writing out a default is no difference. Options and their defaults are torchvision's where it has the same step.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from .. import plugins
from ..explain import Problems, explain_all
from ..text import did_you_mean, list_names, show
from .base import Float, Int, Section, is_own

MOST_STEPS = 32


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"{show(value)} runs backwards: write the smaller number first")
    return value


Share = Annotated[Float, Field(ge=0, le=1)]
Factor = Annotated[Float, Field(ge=0, le=10)]
Area = Annotated[tuple[Annotated[Float, Field(gt=0, le=1)], Annotated[Float, Field(gt=0, le=1)]], AfterValidator(_rising)]
Ratio = Annotated[tuple[Annotated[Float, Field(gt=0, le=100)], Annotated[Float, Field(gt=0, le=100)]], AfterValidator(_rising)]
Pixels = Annotated[Int, Field(gt=0, le=2048)]
CHANCE = "probability for an image"
FILL = "what is put there: mean (of the training images, 0 after normalization) or black"


class Crop(Section):
    """Pad, and cut the old size out again anywhere."""

    padding: Pixels | None = Field(None, description="pixels on each side; none takes an eighth of the smaller side, 4 for 32")
    mode: Literal["zero", "reflect"] = Field("zero", description="pad with black, or with the image mirrored at its border")


class Flip(Section):
    """Mirror left to right."""

    p: Share = Field(0.5, description=CHANCE)


class FlipVertical(Section):
    """Mirror top to bottom."""

    p: Share = Field(0.5, description=CHANCE)


class AlternatingFlip(Section):
    """Mirror half of the images left to right in the first epoch and from then on those that were not in the epoch before (Jordan 2024)."""


class Translate(Section):
    """Shift by whole pixels; what comes in is black."""

    horizontal: Share = Field(0.125, description="largest shift to either side, as a part of the width")
    vertical: Share = Field(0.125, description="largest shift up or down, as a part of the height")
    p: Share = Field(1.0, description=CHANCE)


class Cutout(Section):
    """Cover a square around a random pixel; it may reach over the border (DeVries and Taylor 2017)."""

    size: Pixels | None = Field(None, description="side of the square in pixels; none takes half of the smaller side, 16 for 32")
    fill: Literal["mean", "black"] = Field("mean", description=FILL)
    p: Share = Field(1.0, description=CHANCE)


class ColorJitter(Section):
    """Change brightness, contrast, saturation and hue, in random order."""

    brightness: Factor = Field(0.3, description="factor between 1 - this (at least 0) and 1 + this; 0 leaves brightness as it is")
    contrast: Factor = Field(0.1, description="the same for contrast")
    saturation: Factor = Field(0.2, description="the same for saturation; nothing for gray images")
    hue: Annotated[Float, Field(ge=0, le=0.5)] = Field(0.2, description="largest turn of the color circle, in turns; nothing for gray images")
    p: Share = Field(1.0, description=CHANCE)


class Rotation(Section):
    """Turn around the center: nearest pixel, black where there is none."""

    degrees: Annotated[Float, Field(ge=0, le=180)] = Field(30.0, description="largest angle to either side")
    p: Share = Field(1.0, description=CHANCE)


class ResizeCrop(Section):
    """Cut out a rectangle of random area and shape, and resize it to the whole (Szegedy 2015): bilinear, antialiased."""

    scale: Area = Field((0.08, 1.0), description="smallest and largest part of the area")
    ratio: Ratio = Field((3 / 4, 4 / 3), description="smallest and largest width over height, drawn evenly in its logarithm")


class Enlarge(Section):
    """Resize to a larger size, and cut the old size out anywhere."""

    size: Pixels | None = Field(None, description="the smaller side after resizing, in pixels; none takes 35/32 of both sides, 35 for 32")
    p: Share = Field(1.0, description=CHANCE)


class Grayscale(Section):
    """Take the color out, keeping three channels."""

    p: Share = Field(0.1, description=CHANCE)


class RandomErasing(Section):
    """Cover a rectangle of random area and shape, all of it inside the image (Zhong 2017)."""

    scale: Area = Field((0.02, 0.33), description="smallest and largest part of the area")
    ratio: Ratio = Field((0.3, 3.3), description="smallest and largest height over width, drawn evenly in its logarithm")
    fill: Literal["mean", "black"] = Field("mean", description=FILL)
    p: Share = Field(0.5, description=CHANCE)


class RandAugment(Section):
    """Do some of 14 operations, all at one magnitude (Cubuk 2019)."""

    num_ops: Annotated[Int, Field(gt=0, le=14)] = Field(2, description="operations for each image")
    magnitude: Annotated[Int, Field(ge=0, le=30)] = Field(9, description="how strong, from 0 to 30")


class TrivialAugment(Section):
    """Do one of 14 operations, at a random magnitude from a wide range (Müller and Hutter 2021)."""


STEPS: dict[str, type[Section]] = {
    "crop": Crop,
    "flip": Flip,
    "flip_vertical": FlipVertical,
    "alternating_flip": AlternatingFlip,
    "translate": Translate,
    "cutout": Cutout,
    "color_jitter": ColorJitter,
    "rotation": Rotation,
    "resize_crop": ResizeCrop,
    "enlarge": Enlarge,
    "grayscale": Grayscale,
    "random_erasing": RandomErasing,
    "rand_augment": RandAugment,
    "trivial_augment": TrivialAugment,
}

RECIPES: dict[str, list[Any]] = {
    "init": [],
    "augment_simple": ["crop", "flip"],
    "augment": [
        {"color_jitter": {"brightness": 0.3, "contrast": 0.1, "saturation": 0.2, "hue": 0.2, "p": 0.5}},
        {"flip": {"p": 0.6}},
        {"rotation": {"degrees": 30.0, "p": 0.3}},
        {"enlarge": {"p": 0.3}},
    ],
}


def steps_of(transform: str | list[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the steps of a recipe or a canonical list, each with all its options.

    >>> steps_of(["flip", {"cutout": {"size": 8}}])
    [('flip', {'p': 0.5}), ('cutout', {'size': 8, 'fill': 'mean', 'p': 1.0})]
    """
    steps = []
    for item in RECIPES[transform] if isinstance(transform, str) else transform:
        name, given = (item, {}) if isinstance(item, str) else next(iter(item.items()))
        steps.append((name, STEPS[name].model_validate(given).model_dump()))
    return steps


def known_transform(value: Any) -> Any:
    """Return `data.transform` in its canonical form: a recipe's name, a file of one's own, or a list as short as it can be written.

    Raises:
        ValueError: it is none of these.
        Problems: it is no list, or steps of it are wrong: all problems at once.
    """
    if isinstance(value, str):
        if value in RECIPES or is_own(value):
            return value
        if value not in STEPS and plugins.find("transform", value) is not None:
            return value
        if value in STEPS:
            return [value]
        if "," in value:
            raise ValueError(f"'{value}' is a text: write a list of steps in brackets, such as [crop, flip]")
        hint = did_you_mean(value, [*RECIPES, *STEPS, *plugins.names("transform")])
        raise ValueError(f"'{value}' is none of {list_names(RECIPES)}{hint}; or a list of steps, such as [crop, flip]")
    if not isinstance(value, (list, tuple)):
        raise Problems([f" is {show(value)}, must be {list_names(RECIPES)}, or a list of steps, such as [crop, flip]"])
    if len(value) > MOST_STEPS:
        raise Problems([f" has {len(value)} steps, must have at most {MOST_STEPS}"])
    problems: list[str] = []
    steps = [_known_step(number, item, problems) for number, item in enumerate(value, 1)]
    if problems:
        raise Problems(problems)
    return steps or "init"


def _known_step(number: int, item: Any, problems: list[str]) -> Any:
    """Return a step in its canonical form; add to `problems` what is wrong with it."""
    name, options = next(iter(item.items())) if isinstance(item, Mapping) and len(item) == 1 else (item, {})
    if not isinstance(name, str) or not isinstance(options, (Mapping, type(None))):
        problems.append(f": step {number} is {show(item)}, must be a name, or one name with its options, such as cutout: {{size: 8}}")
        return None
    if name not in STEPS:
        if name in RECIPES:
            way = " is a recipe and stands alone; write its steps (docs/settings.md has them)"
        elif name.partition("(")[0] in STEPS:
            way = f": write a step's options as {name.partition('(')[0]}: {{option: value}}"
        else:
            way = f" is none of {list_names(STEPS)}{did_you_mean(name, STEPS)}"
        problems.append(f": step {number} '{name}'{way}")
        return None
    try:
        chosen = STEPS[name].model_validate(dict(options or {})).model_dump(mode="json", exclude_defaults=True)
    except ValidationError as error:
        problems += [f": step {number}, {key}{text}" for key, text in explain_all(name, STEPS[name], error, options or {})]
        return None
    return {name: chosen} if chosen else name
