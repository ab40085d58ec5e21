"""Write docs/commands.md and docs/settings.md from the code: `make docs`. A test compares them with what this makes."""

import sys
import typing
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from zhurnal.analyze.columns import COLUMNS
from zhurnal.cli import cli
from zhurnal.core import settings
from zhurnal.core.text import show

FOLDER = Path(__file__).parent
MADE = "<!-- made by `make docs` from {}; change it there -->\n"


def commands() -> str:
    """Return the reference of all commands."""
    text = "# Commands\n\n" + MADE.format("src/zhurnal/cli")
    text += "\n`zhurnal --lab FOLDER COMMAND` works on a lab from elsewhere; without it, the lab is the folder you are in or the nearest above.\n"
    text += (
        "\nExit status: 0 done; 1 something does not hold (`verify`) or a bug; 2 something to mend, told in plain lines (also where `check` finds a\n"
    )
    text += "broken promise, and where `write` keeps a block that you edited); 130 stopped by Ctrl-C (a run goes on from there).\n"
    for name, command in cli.commands.items():
        usage = command.get_usage(click.Context(command, info_name=f"zhurnal {name}")).removeprefix("Usage: ")
        text += f"\n## zhurnal {name}\n\n```\n{usage}\n```\n\n{' '.join((command.help or '').split())}\n\n"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                text += _option(parameter, click.Context(command))
        if name == "compare":
            text += "\nColumns: " + ", ".join(f"`{key}` ({column.heading})" for key, column in COLUMNS.items()) + ".\n"
    return text.replace("\n\n\n", "\n\n").rstrip() + "\n"


def _option(option: click.Option, context: click.Context) -> str:
    """Return the line about an option: its names, its default and bounds where it has them, and what it does."""
    names = ", ".join(sorted(option.opts, key=len, reverse=True))
    names += f" / {', '.join(option.secondary_opts)}" if option.secondary_opts else ""
    values = "" if option.is_flag else f" {option.make_metavar(context).replace(' RANGE', '')}"
    more = []
    if isinstance(option.type, click.IntRange | click.FloatRange):
        more += [f"from {option.type.min:g}"] if option.type.min is not None else []
        more += [f"to {option.type.max:g}"] if option.type.max is not None else []
    if not option.is_flag and option.show_default and isinstance(option.default, int | float | str):
        more.append(f"default {option.default}")
    told = f" ({', '.join(more)})" if more else ""
    return f"- `{names}{values}`: {' '.join((option.help or '').split())}{told}\n"


def all_settings() -> str:
    """Return the reference of all settings."""
    text = "# Settings\n\n" + MADE.format("src/zhurnal/core/sections")
    text += (
        "\nAn experiment's file holds a parent and `changes`, or full `settings`. On the command line a change is `section.setting=value`; naming\n"
        "a part (`optimizer=adam`) keeps the options that both parts have, and says so. Values are YAML 1.2: `1e-3`, `true`, `[0.9, 0.999]`.\n"
    )
    for section in settings.SECTIONS:
        text += f"\n## {section}\n"
        if section == "seeds":
            text += "\nOne run for each: `seeds=[42]`, the default, or `seeds=[1, 2, 3]`.\n"
            continue
        parts = settings.PARTS[section][0] if section in settings.PARTS else {"": settings.Data} | settings.VIDEO
        parts = {"": settings.Train} if section == "train" else parts
        for name, cls in parts.items():
            text += f"\n### `{section}={name}`\n" if name else ""
            text += f"\n{(cls.__doc__ or '').splitlines()[0]}\n"
            fields = [(field, info) for field, info in cls.model_fields.items() if field != "name" or not name]
            if section == "data" and name:  # the settings that all data sets have are told once
                fields = [(field, info) for field, info in fields if field not in settings.Data.model_fields]
            if fields:
                text += "\n| setting | default | meaning |\n|---|---|---|\n"
            for field, info in fields:
                text += f"| `{section}.{field}` | `{show(info.default)}` | {(info.description or '').replace('|', ' or ')}{_allowed(info)} |\n"
        if section == "model":
            libraries = " or ".join(f"`model={library}:NAME`" for library in settings.LIBRARIES)
            text += f"\n### {libraries}\n\n{(settings.ForeignModel.__doc__ or '').splitlines()[0]} `zhurnal models timm:` lists the names.\n"
            text += "\n| setting | default | meaning |\n|---|---|---|\n"
            for field, info in settings.ForeignModel.model_fields.items():
                if field not in settings.Model.model_fields:
                    text += f"| `model.{field}` | `{show(info.default)}` | {info.description} |\n"
        if section in settings.PARTS and settings.PARTS[section][2] is not None:
            own = settings.PARTS[section][2]
            if section in settings.FOREIGN and section != "model":
                prefixes, foreign = settings.FOREIGN[section]
                text += f"\n### {' or '.join(f'`{section}={p}NAME`' for p in prefixes)}\n\n{(foreign.__doc__ or '').splitlines()[0]}\n"
            text += f"\n### `{section}=my_{section}.py:Name`\n\n{(own.__doc__ or '').splitlines()[0]} See [your own parts](own-parts.md).\n"
        if section == "data":
            text += _steps()
    return text


def _allowed(info: Any) -> str:
    """Return the words that a setting takes, where they are few and its description does not name them, and its bounds."""
    words = [w for w in _words(info.annotation) if w not in (info.description or "") and w != show(info.default)]
    told = [f"or {', '.join(f'`{w}`' for w in words)}"] if words else []
    names = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    told += [f"{names[k]} {show(v)}" for m in info.metadata for k in names if (v := getattr(m, k, None)) is not None]
    return f" ({', '.join(told)})" if told else ""


def _words(annotation: Any) -> list[str]:
    """Return the texts that a type allows, where it is a choice of texts, alone or among other types."""
    if typing.get_origin(annotation) is typing.Literal:
        return [w for w in typing.get_args(annotation) if isinstance(w, str)]
    return [w for part in typing.get_args(annotation) for w in _words(part)]


def _flow(steps: Any) -> str:
    """Return a list of steps as one would write it in a file."""
    told = []
    for name, options in settings.steps_of(steps):
        fields = settings.STEPS[name].model_fields
        changed = ", ".join(f"{key}: {show(value)}" for key, value in options.items() if value != fields[key].default)
        told.append(f"{name}: {{{changed}}}" if changed else name)
    return f"[{', '.join(told)}]"


def _number(value: float) -> str:
    return f"{value:.4g}" if float(f"{value:.4g}") == value else str(Fraction(value).limit_denominator(100))


def _steps() -> str:
    """Return the reference of the steps that `data.transform` may list."""
    text = "\n### Steps of `data.transform`\n\n"
    text += (
        "`data.transform='[crop, flip, cutout: {size: 8}]'` does these steps to each training image, in this order, each with random numbers that\n"
        "depend on the seed, the epoch and the image alone; a step without options is its name. What is left out has its default, and writing a\n"
        "default out is no difference. Images stay 8 bit until they are normalized.\n\n| recipe | steps |\n|---|---|\n"
    )
    for name, steps in settings.RECIPES.items():
        text += f"| `{name}` | {f'`{_flow(steps)}`' if steps else 'none: images stay as they are'} |\n"
    text += "\n| step | option | default | meaning |\n|---|---|---|---|\n"
    for name, cls in settings.STEPS.items():
        text += f"| `{name}` | | | {(cls.__doc__ or '').splitlines()[0]} |\n"
        for field, info in cls.model_fields.items():
            default = f"[{', '.join(map(_number, info.default))}]" if isinstance(info.default, tuple) else show(info.default)
            text += f"| | `{field}` | `{default}` | {info.description}{_allowed(info)} |\n"
    return text


PAGES = {"commands.md": commands, "settings.md": all_settings}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (FOLDER / page).write_text(make())
        print(f"docs/{page} written", file=sys.stderr)
