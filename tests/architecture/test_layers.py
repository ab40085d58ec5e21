"""The arrows of ARCHITECTURE.md: a folder imports only what it may, nothing imports in a circle, and only training imports torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import zhurnal

ROOT = Path(zhurnal.__file__).parent
PAGE = Path(__file__).parents[2] / "ARCHITECTURE.md"
LAYERS = {  # folder -> its layer, and what it may import, from the table of that page
    cells[1].strip(" `").removesuffix(".py"): (int(cells[0]), cells[3].strip())
    for cells in (line.strip("|\n ").split(" | ") for line in PAGE.read_text().splitlines())
    if len(cells) == 4 and cells[0].strip().isdigit()
}


def _may_import(layer: int, words: str) -> set[str]:
    if words == "nothing of ours":
        return set()
    return {name for name, (below, _) in LAYERS.items() if below < layer} if words.startswith("all") else set(words.split(", "))


MAY_IMPORT = {name: _may_import(*row) for name, row in LAYERS.items()} | {"__init__": {"core", "api"}, "__main__": {"cli"}}
# Packages that take long to import, and who may import them, here or inside a function.
SLOW = {
    "torch": {"train"},
    "torchvision": {"train"},
    "sklearn": {"train"},
    "matplotlib": {"analyze"},
    "scipy": {"analyze", "train"},
    "timm": {"train"},
    "huggingface_hub": {"train"},
}
FILES = sorted(ROOT.rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> list[tuple[str, bool]]:
    """Return the full names of the modules that a file imports, and whether at its top level."""
    found: list[tuple[str, bool]] = []
    tree = ast.parse(path.read_text(), str(path))
    top = set()
    for node in tree.body:
        top.add(node)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            top.discard(node)
            for inner in ast.walk(node):
                top.discard(inner)
    package = ("zhurnal", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(a.name, node in top) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *((node.module,) if node.module else ())])
            if module == "zhurnal" or not node.module:
                found += [(f"{module}.{a.name}", node in top) for a in node.names]
            else:
                found.append((module, node in top))
    return found


def test_the_table_points_down():
    assert {part(path) for path in FILES} == MAY_IMPORT.keys()
    for name, (layer, _) in LAYERS.items():
        for other in MAY_IMPORT[name]:
            assert LAYERS[other][0] < layer, f"{name} is no layer above {other}"
    assert MAY_IMPORT["tidy"] == {"core", "store", "report"}
    assert "cli" not in MAY_IMPORT["api"]
    assert "train" in MAY_IMPORT["api"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_folder_imports_only_what_lies_below(path):
    here = part(path)
    for module, _ in imported(path):
        if module.startswith("zhurnal.") and module != "zhurnal.__version__":
            there = module.split(".")[1]
            assert there == here or there in MAY_IMPORT[here], f"{here} must not import {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_slow_packages_are_imported_where_they_belong(path):
    for module, at_top in imported(path):
        owner = SLOW.get(module.split(".")[0])
        if owner is not None:
            assert part(path) in owner, f"{path.name} must not import {module}"
            if module.split(".")[0] != "torch":
                assert not at_top, f"{path.name} must import {module} where it is used, not at the top"


def test_no_module_imports_in_a_circle():
    names = {".".join(("zhurnal", *p.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): p for p in FILES}
    edges = {n: {m for m, top in imported(p) if top and m in names and m != n} for n, p in names.items()}
    # `from . import x` names the package too, which is no circle as long as the package's __init__ imports nothing of its own
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(edges[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in names:
        visit(name, ())


@pytest.mark.parametrize("arguments", [["--help"], ["settings"], ["run", "--help"], ["ls"]])
def test_commands_that_do_not_train_import_nothing_slow(arguments, tmp_path):
    from zhurnal.api import Lab

    Lab.init(tmp_path / "lab")
    code = f"import sys; from zhurnal.cli import main\ntry: main({['--lab', str(tmp_path / 'lab'), *arguments]!r})\nexcept SystemExit: pass\n"
    code += f"print('SLOW', [m for m in {list(SLOW)!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "SLOW []"


def test_files_are_short_enough_to_read():
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := len(p.read_text().splitlines())) > 400}
    assert not long, f"past 400 lines a file usually holds two things: {long}"


def test_every_file_says_what_it_is_for():
    for path in FILES:
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"
