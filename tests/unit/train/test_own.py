"""Parts of the user's own: loading, and errors that name file and line."""

import hashlib
import inspect
import sys

import pytest

from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train.own import accepts, call_own, load_own


@pytest.fixture(autouse=True)
def nothing_left_behind():
    path = list(sys.path)
    yield
    assert sys.path == path
    for name in [n for n in sys.modules if n.startswith("zhurnal_own_")]:
        del sys.modules[name]


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problem(spec, base):
    with pytest.raises((SettingsError, RunError)) as caught:
        load_own(spec, base)
    return type(caught.value).__name__, str(caught.value).replace(str(base.resolve()), "LAB")


def test_returns_the_function_and_the_source_that_ran(tmp_path):
    path = write(tmp_path, "nets/my_net.py", "def build():\n    return 'привет'\n")
    own = load_own("nets/my_net.py:build", tmp_path)
    assert own.function() == "привет"
    assert own.source_path == path.resolve()
    assert own.source_text == path.read_text()
    assert own.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert own.imported == ()


def test_an_edit_counts_at_once_and_the_old_one_lives_on(tmp_path):
    write(tmp_path, "a.py", "def f(): return g()\ndef g(): return 1\n")
    old = load_own("a.py:f", tmp_path)
    write(tmp_path, "a.py", "def f(): return g()\ndef g(): return 2\n")
    new = load_own("a.py:f", tmp_path)
    assert (old.function(), new.function()) == (1, 2)
    assert old.sha256 != new.sha256


def test_dataclasses_and_inspect_work_in_it(tmp_path):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass A:\n    x: int = 3\n"
    write(tmp_path, "a.py", text)
    own = load_own("a.py:A", tmp_path)
    assert own.function().x == 3
    assert "x: int = 3" in inspect.getsource(own.function)


def test_files_beside_it_are_found_named_and_forgotten(tmp_path):
    for lab, number in (("lab1", 1), ("lab2", 2)):
        write(
            tmp_path, f"{lab}/net.py", "from blocks_of_mine import number\nfrom parts_of_mine.deep import deeper\ndef f(): return number + deeper\n"
        )
        write(tmp_path, f"{lab}/blocks_of_mine.py", f"number = {number}\n")
        write(tmp_path, f"{lab}/parts_of_mine/__init__.py", "")
        write(tmp_path, f"{lab}/parts_of_mine/deep.py", f"deeper = {10 * number}\n")
        own = load_own("net.py:f", tmp_path / lab)
        assert own.function() == 11 * number
        names = [p.relative_to((tmp_path / lab).resolve()).as_posix() for p in own.imported]
        assert names == ["blocks_of_mine.py", "parts_of_mine/__init__.py", "parts_of_mine/deep.py"]
    assert not [n for n in sys.modules if "of_mine" in n]


def test_files_in_a_folder_without_init_are_found_too(tmp_path):
    for lab, number in (("lab1", 1), ("lab2", 2)):
        write(tmp_path, f"{lab}/net.py", "from helpers_of_mine.deep.blocks import number\nimport helpers_of_mine.more\ndef f(): return number\n")
        write(tmp_path, f"{lab}/helpers_of_mine/deep/blocks.py", f"number = {number}\n")
        write(tmp_path, f"{lab}/helpers_of_mine/more.py", "")
        own = load_own("net.py:f", tmp_path / lab)
        assert own.function() == number
        assert sorted(own.texts((tmp_path / lab).resolve())) == ["helpers_of_mine/deep/blocks.py", "helpers_of_mine/more.py", "net.py"]
    assert not [n for n in sys.modules if "of_mine" in n]


def test_packages_installed_below_the_folder_stay_loaded(tmp_path, monkeypatch):
    write(tmp_path, ".venv/lib/installed_of_mine.py", "")
    write(tmp_path, "net.py", "import installed_of_mine\ndef f(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / ".venv/lib"))
    own = load_own("net.py:f", tmp_path)
    assert sys.modules.pop("installed_of_mine") is own.function.__globals__["installed_of_mine"]
    assert own.imported == ()


def test_what_is_not_there(tmp_path):
    assert problem("my_net.py:Net", tmp_path) == ("SettingsError", "my_net.py:Net: no file my_net.py in LAB; there is no .py file in it")
    text = "from math import sqrt\nimport os\nlimit = 3\nclass Net: ...\ndef build(): ...\ndef _hidden(): ...\n"
    write(tmp_path, "my_net.py", text)
    write(tmp_path, "other.py", "x = 1\n")
    assert problem("my_nett.py:Net", tmp_path) == (
        "SettingsError",
        "my_nett.py:Net: no file my_nett.py in LAB; did you mean 'my_net.py'? there are my_net.py or other.py",
    )
    assert problem("nets/my_net.py:Net", tmp_path) == (
        "SettingsError",
        "nets/my_net.py:Net: there is no folder LAB/nets; the path is relative to the lab's folder",
    )
    assert problem("my_net.py:Nett", tmp_path) == (
        "SettingsError",
        "my_net.py:Nett: my_net.py has no 'Nett'; did you mean 'Net'? it defines Net or build",
    )
    assert problem("other.py:f", tmp_path) == ("SettingsError", "other.py:f: other.py has no 'f'; it defines no function or class")
    assert problem("my_net.py:limit", tmp_path) == (
        "SettingsError",
        "my_net.py:limit: 'limit' in my_net.py is of type int, must be a function or a class",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\ny = x / 0\n", "bad.py:2: ZeroDivisionError: division by zero"),
        ("def f(:\n", "bad.py:1: SyntaxError: invalid syntax"),
        ("\nimport no_such_package_at_all\n", "bad.py:2: ModuleNotFoundError: No module named 'no_such_package_at_all'"),
        ("def f():\n    raise KeyError\n\nf()\n", "bad.py:2: KeyError"),
        (
            "import json\n\n\njson.loads('{')\n",
            "bad.py:4: JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("raise SystemExit(2)\n", "bad.py:1: SystemExit: 2"),
    ],
)
def test_a_file_that_cannot_be_executed(tmp_path, text, expected):
    write(tmp_path, "bad.py", text)
    assert problem("bad.py:f", tmp_path) == ("RunError", f"{expected} (loading bad.py:f, whose file must import without an error)")
    assert not [n for n in sys.modules if n.startswith("zhurnal_own_")]


def test_calls_with_what_the_signature_takes(tmp_path):
    write(
        tmp_path,
        "a.py",
        "def none(): return 'none'\n"
        "def one(num_classes): return num_classes\n"
        "def rest(num_classes, **options): return num_classes, options\n"
        "def first(parameters, lr, /, width=1): return parameters, lr, width\n",
    )
    offered = {"image": (3, 8, 8), "num_classes": 10}
    loaded = {name: load_own(f"a.py:{name}", tmp_path) for name in ("none", "one", "rest", "first")}
    assert call_own(loaded["none"], "model", {}, offered=offered) == "none"
    assert call_own(loaded["one"], "model", {}, offered=offered) == 10
    assert call_own(loaded["rest"], "model", {"depth": 3}, offered=offered) == (10, {"depth": 3})
    assert call_own(loaded["first"], "optimizer", {"width": 2}, given=("p", 0.1)) == ("p", 0.1, 2)
    assert [accepts(loaded[n], "depth") for n in loaded] == [False, False, True, False]


def test_all_wrong_options_at_once(tmp_path):
    write(tmp_path, "a.py", "def f(num_classes, width, depth=2): pass\ndef g(): pass\n")
    with pytest.raises(SettingsError) as caught:
        call_own(load_own("a.py:f", tmp_path), "model", {"dept": 3, "colour": 1}, offered={"num_classes": 10})
    assert caught.value.problems == (
        "model.dept: a.py:f has no such setting; did you mean 'depth'? it has width or depth",
        "model.colour: a.py:f has no such setting; it has width or depth",
        "model.width: a.py:f needs it; set model.width=VALUE, or give it a default in a.py",
    )
    with pytest.raises(SettingsError, match=r"^model.depth: a.py:g has no such setting; it has no settings$"):
        call_own(load_own("a.py:g", tmp_path), "model", {"depth": 3})


def test_an_error_in_the_call_has_the_line_of_the_user_s_file(tmp_path):
    write(tmp_path, "a.py", "import json\n\ndef f():\n    return json.loads('[')\n")
    with pytest.raises(RunError, match=r"^a.py:4: JSONDecodeError: .* \(calling a.py:f, which model.name asks for\)$") as caught:
        call_own(load_own("a.py:f", tmp_path), "model", {})
    assert isinstance(caught.value.__cause__, ValueError)
