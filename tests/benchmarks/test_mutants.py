"""The changes that benchmarks/mutants.py makes, which tests it runs for one, and that explanations are kept."""

import ast
import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SOURCE = '''"""A file."""
LIMIT: int = 10
if TYPE_CHECKING:
    from x import y


@dataclass(frozen=True)
class Held:
    is_held: bool = True

    def of(self, path: "Literal[1]") -> int:
        """Do it."""
        assert path > 2
        for name in [n for n in path if n.ok()]:
            if name < 3 and not self.is_held:
                break
            if name:
                raise ValueError(f"{name + 1} is wrong")
            print(name - LIMIT)
        return path if name is None else False
'''
CHANGES = [
    (2, "module", "LIMIT: int = 10", "LIMIT: int = 11"),
    (9, "Held", "is_held: bool = True", "is_held: bool = False"),
    (14, "Held.of", "n.ok()", "not n.ok()"),
    (15, "Held.of", "name < 3 and (not self.is_held)", "name < 3 or not self.is_held"),
    (15, "Held.of", "name < 3", "name <= 3"),
    (15, "Held.of", "name < 3", "name < 4"),
    (15, "Held.of", "not self.is_held", "self.is_held"),
    (16, "Held.of", "break", "continue"),
    (17, "Held.of", "name", "not name"),
    (18, "Held.of", "raise ValueError(f'{name + 1} is wrong')", "pass"),
    (19, "Held.of", "print(name - LIMIT)", "pass"),
    (19, "Held.of", "name - LIMIT", "name + LIMIT"),
    (20, "Held.of", "return path if name is None else False", "return None"),
    (20, "Held.of", "name is None", "name is not None"),
    (20, "Held.of", "path if name is None else False", "path if name is None else True"),
]


@pytest.fixture
def mutants(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("mutants")


def test_the_changes_to_a_file(mutants):
    found = mutants.mutants_of("store/x.py", SOURCE)
    assert [(m.line, m.where, m.old, m.new) for m in found] == CHANGES
    whole = ast.unparse(ast.parse(SOURCE)).splitlines()
    for mutant in found:
        lines = mutants.changed(SOURCE, mutant.number).splitlines()
        assert sum(a != b for a, b in zip(whole, lines, strict=True)) == 1, mutant


def test_a_sample_is_of_all_files_alike_and_a_larger_one_holds_a_smaller(mutants):
    of = [mutants.mutants_of(name, SOURCE) for name in ("a", "b", "c")]
    of[1] = of[1][:2]
    small, large = mutants.sample(of, 9, 3), mutants.sample(of, 20, 3)
    assert [sum(m.file == name for m in small) for name in "abc"] == [4, 2, 3]
    assert large[:9] == small
    assert set(mutants.sample(of, None, 3)) == {m for file in of for m in file}


def test_long_code_is_shown_where_it_differs(mutants):
    before = "start = " + " + ".join(f"`name_{n}`" for n in range(60))
    old, new = mutants._shown(before, before.replace("name_50", "another"))
    assert "`" not in old
    assert "'name_50'" in old
    assert "'another'" in new
    assert (old[0], old[-1], len(old) <= 162) == ("…", "…", True)


def test_tests_of_a_line_are_run_the_fastest_first(mutants):
    own = "tests/unit/store/test_kinds.py::test_"
    found = mutants.Trace(
        {"store/kinds.py": {5: [f"{own}a", f"{own}b", "tests/unit/train/test_state.py::test_x"]}},
        {f"{own}{n}": t for n, t in zip("abc", (3.0, 2.0, 1.0), strict=True)} | {"tests/unit/train/test_state.py::test_x": 0.1},
    )
    assert mutants.tests_of(mutants.Mutant("store/kinds.py", 0, 5, "place", "a", "b"), found) == [f"{own}b", f"{own}a"]
    assert mutants.tests_of(mutants.Mutant("store/kinds.py", 0, 1, "module", "a", "b"), found) == [f"{own}{n}" for n in "cba"]


def test_explanations_are_kept_when_lines_move(mutants):
    first, second = mutants.mutants_of("store/x.py", SOURCE)[4:6]
    page = mutants.page({first: "survived", second: "survived"}, {"store/x.py": 15}, "")
    assert "0 of 2 are explained" in page
    mine = page.replace("became `name <= 3`", "became `name <= 3`: it is: never 3")
    again = mutants.page({first: "survived", second: "killed"}, {"store/x.py": 15}, mine.replace("x.py:15", "x.py:99"))
    assert "- `store/x.py:15` in `Held.of`: `name < 3` became `name <= 3`: it is: never 3\n" in again
    assert "| store/x.py | 15 | 2 | 1 | 0 | 1 |" in again
    assert "| all | 15 | 2 | 1 | 0 | 1 |" in again


@pytest.mark.slow
def test_a_change_is_killed_or_survives_and_the_file_is_put_back(mutants, tmp_path):
    code = "def place(x):\n    print(x)\n    return x + 1\n"
    for name, text in {
        "src/zhurnal/__init__.py": "", "src/zhurnal/store/__init__.py": "", "src/zhurnal/store/kinds.py": code,
        "tests/unit/store/test_kinds.py": "from zhurnal.store.kinds import place\n\n\ndef test_it():\n    assert place(1) == 2\n",
    }.items():  # fmt: skip
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    test = "tests/unit/store/test_kinds.py::test_it"
    found = mutants.Trace({"store/kinds.py": {line: [test] for line in (2, 3)}}, {test: 0.01})
    ends = {m.old: mutants.attempt(m, tmp_path / "tree", found) for m in mutants.mutants_of("store/kinds.py", code)[:2]}
    assert ends == {"print(x)": "survived", "return x + 1": "killed"}
    assert (tmp_path / "tree" / "src" / "zhurnal" / "store" / "kinds.py").read_text() == code
