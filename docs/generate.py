"""Write docs/commands.md and docs/settings.md from the code: `make docs`. A test compares them with what this makes."""

import sys
from pathlib import Path

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
    text += "\nExit status: 0 done; 1 something does not hold (`verify`) or a bug; 2 something to mend, named in one line; 130 stopped by Ctrl-C\n"
    text += "(a run goes on from there).\n"
    for name, command in cli.commands.items():
        usage = command.get_usage(click.Context(command, info_name=f"zhurnal {name}")).removeprefix("Usage: ")
        text += f"\n## zhurnal {name}\n\n```\n{usage}\n```\n\n{' '.join((command.help or '').split())}\n\n"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                values = "" if parameter.is_flag else f" {parameter.make_metavar(click.Context(command))}"
                text += f"- `{', '.join(sorted(parameter.opts, key=len, reverse=True))}{values}`: {parameter.help or ''}\n"
        if name == "compare":
            text += "\nColumns: " + ", ".join(f"`{key}` ({column.heading})" for key, column in COLUMNS.items()) + ".\n"
    return text.replace("\n\n\n", "\n\n").rstrip() + "\n"


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
                text += f"| `{section}.{field}` | `{show(info.default)}` | {(info.description or '').replace('|', ' or ')} |\n"
        if section == "model":
            libraries = " or ".join(f"`model={library}:NAME`" for library in settings.LIBRARIES)
            text += f"\n### {libraries}\n\n{(settings.ForeignModel.__doc__ or '').splitlines()[0]} `zhurnal models timm:` lists the names.\n"
            text += "\n| setting | default | meaning |\n|---|---|---|\n"
            for field, info in settings.ForeignModel.model_fields.items():
                if field not in settings.Model.model_fields:
                    text += f"| `model.{field}` | `{show(info.default)}` | {info.description} |\n"
        if section in settings.PARTS and settings.PARTS[section][2] is not None:
            own = settings.PARTS[section][2]
            if section in settings.FOREIGN:
                prefixes, foreign = settings.FOREIGN[section]
                text += f"\n### {' or '.join(f'`{section}={p}NAME`' for p in prefixes)}\n\n{(foreign.__doc__ or '').splitlines()[0]}\n"
            text += f"\n### `{section}=my_{section}.py:Name`\n\n{(own.__doc__ or '').splitlines()[0]} See [your own parts](own-parts.md).\n"
        if section == "data":
            text += _steps()
    return text


def _steps() -> str:
    """Return the reference of the steps that `data.transform` may list."""
    text = "\n### Steps of `data.transform`\n\n"
    text += (
        "`data.transform='[crop, flip, cutout: {size: 8}]'` does these steps to each training image, in this order, each with random numbers that\n"
        "depend on the seed, the epoch and the image alone; a step without options is its name. What is left out has its default, and writing a\n"
        "default out is no difference. Images stay 8 bit until they are normalized.\n\n| recipe | steps |\n|---|---|\n"
    )
    for name, steps in settings.RECIPES.items():
        text += f"| `{name}` | {f'`{show(steps)}`' if steps else 'none: images stay as they are'} |\n"
    text += "\n| step | option | default | meaning |\n|---|---|---|---|\n"
    for name, cls in settings.STEPS.items():
        text += f"| `{name}` | | | {(cls.__doc__ or '').splitlines()[0]} |\n"
        for field, info in cls.model_fields.items():
            default = show([float(f"{v:.4g}") for v in info.default] if isinstance(info.default, tuple) else info.default)
            text += f"| | `{field}` | `{default}` | {info.description} |\n"
    return text


PAGES = {"commands.md": commands, "settings.md": all_settings}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (FOLDER / page).write_text(make())
        print(f"docs/{page} written", file=sys.stderr)
