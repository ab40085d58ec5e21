"""Promises to users that are easy to break by accident: public names, documented commands and settings, the house's files."""

import re
import tomllib
from pathlib import Path

import zhurnal
from zhurnal.cli import cli
from zhurnal.core import settings

ROOT = Path(__file__).parents[2]


def test_public_names():
    assert zhurnal.__all__ == ["Lab", "ZhurnalError", "__version__"]
    assert all(getattr(zhurnal, name) for name in zhurnal.__all__)


def test_the_version_is_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == zhurnal.__version__
    assert f"## {zhurnal.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_command_has_help_and_is_documented():
    text = (ROOT / "docs" / "commands.md").read_text()
    for name, command in cli.commands.items():
        assert command.help, name
        assert f"## zhurnal {name}" in text, f"docs/commands.md does not describe `zhurnal {name}`"
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert f"`{option}" in text.split(f"## zhurnal {name}")[1].split("\n## ")[0], f"docs/commands.md: {name} {option}"


def test_every_setting_is_documented():
    text = (ROOT / "docs" / "settings.md").read_text()
    classes = [("data", settings.Data), ("train", settings.Train)]
    classes += [("data", cls) for cls in settings.VIDEO.values()]
    classes += [(section, cls) for section, (table, _, _) in settings.PARTS.items() for cls in table.values()]
    for section, cls in classes:
        for field in cls.model_fields:
            assert f"`{section}.{field}`" in text or field == "name", f"docs/settings.md does not describe {section}.{field}"
    for section, (table, _, _) in settings.PARTS.items():
        for name in table:
            assert f"`{section}={name}`" in text


def test_dependencies_are_pinned():
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    for dependency in wanted:
        name = re.split(r"[<>=\[]", dependency)[0].lower()
        assert name == "zhurnal" or name in pinned, f"{name} is not in constraints.txt"


def test_architecture_names_every_folder():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for folder in (ROOT / "src" / "zhurnal").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert f"`{folder.name}`" in text


def test_decisions_are_listed():
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    for decision in (ROOT / "docs" / "decisions").glob("0*.md"):
        assert decision.name in index
