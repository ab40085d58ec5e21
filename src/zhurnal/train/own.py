"""Parts of the user's own, given by path: `my_net.py:Net`, `my_optimizer.py:make`, `my_loss.py:focal`; and parts that packages bring.

Promises: the text that is returned (and saved with the run) is the very text that was executed; a file is executed afresh each time, so an edit
counts at the next run and two labs can each have a `blocks.py`; `sys.path` is left as it was; whatever goes wrong in a user's file is reported
with its file and line. Only `.py` files beside the file are found by its imports, and only by imports that run while the file is loaded.
"""

import hashlib
import importlib
import importlib.util
import inspect
import itertools
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..core import plugins
from ..core.errors import RunError, SettingsError, ZhurnalError
from ..core.secrets import masked
from ..core.settings import DATASETS, PARTS, TRANSFORMS, is_own, split_own
from ..core.text import count, did_you_mean, list_names, printable

_NUMBERS = itertools.count()
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Own:
    """A part of the user's own, loaded."""

    spec: str  # as in the settings: my_net.py:Net
    function: Callable[..., Any]
    source_path: Path  # absolute
    source_text: str
    sha256: str  # of the file's bytes, hexadecimal
    imported: tuple[Path, ...] = ()  # files beside source_path that it imported; its result depends on them too
    package: str = ""  # the package that brings it, and its version; empty for a file
    version: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that its result depends on, absolute."""
        return (self.source_path, *self.imported)

    def texts(self, base: Path) -> dict[str, bytes]:
        """Return the content of each file by its name: its path in the lab `base`, or, for a file elsewhere, its last part."""
        found = {}
        for path in self.files:
            inside = path.relative_to(base) if path.is_relative_to(base) else Path(path.name)
            found[inside.as_posix()] = path.read_bytes()
        return found

    def identity(self, base: Path) -> dict[str, Any]:
        """Return what `effective.json` keeps: names and SHA-256 of all files, one SHA-256 that differs when any of them does, and the package."""
        sums = {name: hashlib.sha256(text).hexdigest() for name, text in self.texts(base).items()}
        whole = self.sha256 if len(sums) == 1 else hashlib.sha256("".join(f"{n} {s}\n" for n, s in sorted(sums.items())).encode()).hexdigest()
        told = {"file": next(iter(sums)), "sha256": whole, "files": sums}
        return told | ({"package": self.package, "version": self.version} if self.package else {})


def find(section: str, name: str, base: Path) -> Own | None:
    """Return the part `name` where it is the user's own or a package's, loaded; None where it is neither, so built in.

    Args:
        section: a key of `core.plugins.GROUPS`.
        name: the name in the settings.
        base: the lab's folder.

    Raises:
        SettingsError, RunError: it cannot be loaded; see `load_own`.
    """
    if is_own(name):
        return load_own(name, base)
    builtin = TRANSFORMS if section == "transform" else DATASETS if section == "data" else PARTS[section][0]
    plugin = None if name in builtin else plugins.find(section, name)
    return None if plugin is None else _load_plugin(plugin)


def _load_plugin(plugin: plugins.Plugin) -> Own:
    """Return a package's part. Its sum covers all Python files of the package (the folder of its top module), or its single file."""
    brought = f"{plugin.name} of package {plugin.package} {plugin.version}"
    module, _, attribute = plugin.value.partition(":")
    try:
        function: Any = importlib.import_module(module)
        path = Path(str(function.__file__)).resolve()
        for part in attribute.split("."):
            function = getattr(function, part)
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {printable(str(error))}"
        raise RunError(f"{brought} cannot be loaded from {plugin.value} ({text}): mend or uninstall the package") from error
    if not callable(function):
        raise RunError(f"{brought} is of type {type(function).__name__}, must be a function or a class: mend the package's entry point")
    top = sys.modules[module.partition(".")[0]]
    files = [path]
    if getattr(top, "__path__", None) and top.__file__:
        folder = Path(top.__file__).resolve().parent
        files = sorted(folder.rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    source = path.read_bytes()
    return Own(plugin.name, function, path, importlib.util.decode_source(source), digest.hexdigest(), (), plugin.package, plugin.version)


def load_own(spec: str, base: Path) -> Own:
    """Execute the file in `my_net.py:Net` and return what is called `Net` in it.

    Args:
        spec: a path relative to `base` (or absolute), a colon and a name.
        base: the lab's folder.

    Raises:
        SettingsError: there is no such file, no such name in it, or the name is not a function or class.
        RunError: the file cannot be executed; the text has the line and the exception.
    """
    file, name = split_own(spec)
    path = (base / file).resolve()
    if not path.is_file():
        raise SettingsError([f"{spec}: {_no_such_file(path)}"])
    source = path.read_bytes()
    module, imported = _execute(spec, path, source)
    if not hasattr(module, name):
        names = _names_in(module)
        defined = f"it defines {list_names(names)}" if names else "it defines no function or class"
        raise SettingsError([f"{spec}: {file} has no '{name}'{did_you_mean(name, names) or ';'} {defined}"])
    function = getattr(module, name)
    if not callable(function):
        raise SettingsError([f"{spec}: '{name}' in {file} is of type {type(function).__name__}, must be a function or a class"])
    return Own(spec, function, path, importlib.util.decode_source(source), hashlib.sha256(source).hexdigest(), imported)


def accepts(own: Own, name: str) -> bool:
    """Return whether the part can be called with the keyword argument `name`."""
    parameters = _signature(own).parameters.values()
    return any(p.kind is inspect.Parameter.VAR_KEYWORD or (p.name == name and p.kind in _BY_KEYWORD) for p in parameters)


def call_own(own: Own, section: str, options: Mapping[str, Any], *, given: tuple[Any, ...] = (), offered: Mapping[str, Any] | None = None) -> Any:
    """Call a part of the user's own and return its result.

    Args:
        own: the part.
        section: its section in the settings (`model`), for error texts.
        options: keyword arguments from the settings; the part must accept each.
        given: arguments that every part of its kind takes, passed by position, so their names are free.
        offered: keyword arguments that are passed only where the signature names them (`**options` does not ask for them).

    Raises:
        SettingsError: the signature has no place for an option, or needs one that is not set; all of them at once.
        RunError: the call raised; the text has the line in the user's file and the exception.
    """
    offered = offered or {}
    parameters = _signature(own).parameters
    wanted = {name: value for name, value in offered.items() if name in parameters and parameters[name].kind in _BY_KEYWORD and name not in options}
    check_arguments(own, section, [*options], num_given=len(given), offered=[*offered])
    try:
        return own.function(*given, **wanted, **options)
    except ZhurnalError:
        raise
    except Exception as error:
        raise RunError(f"{describe(error, own)} (calling {own.spec}, which {section}.name asks for)") from error


def check_arguments(own: Own, section: str, options: list[str], *, num_given: int = 0, offered: list[str] | None = None) -> None:
    """Check that a part can be called with `num_given` arguments by position and with `options` by keyword.

    Raises:
        SettingsError: naming the options that it has, one problem for each that does not fit.
    """
    parameters = list(_signature(own).parameters.values())
    any_position = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
    positional = [p for p in parameters if p.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    if len(positional) < num_given and not any_position:
        raise SettingsError([f"{section}: {own.spec} takes {count(len(positional), 'argument')} by position, must take {num_given}"])
    rest = [p for p in parameters if p not in positional[:num_given]]
    names = [p.name for p in rest if p.kind in _BY_KEYWORD and p.name not in (offered or ())]
    problems = []
    for option in options:
        if not accepts(own, option) or option in [p.name for p in positional[:num_given]]:
            has = f"it has {list_names(names)}" if names else "it has no settings"
            problems.append(f"{section}.{option}: {own.spec} has no such setting{did_you_mean(option, names) or ';'} {has}")
    for p in rest:
        needed = p.default is inspect.Parameter.empty and p.kind in (*_BY_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
        if needed and p.name not in options and p.name not in (offered or ()):
            problems.append(f"{section}.{p.name}: {own.spec} needs it; set {section}.{p.name}=VALUE, or give it a default in {own.source_path.name}")
    if problems:
        raise SettingsError(problems)


def describe(error: BaseException, own: Own) -> str:
    """Return `my_net.py:12: ValueError: text`, with the last line of the user's file that the error passed through."""
    return _describe(error, own.source_path, own.source_path.name if own.package else split_own(own.spec)[0])


def _describe(error: BaseException, path: Path, file: str) -> str:
    text = f"{type(error).__name__}: {printable(masked(str(error)))}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{file if error.filename == str(path) else error.filename}:{error.lineno}"
        return f"{where}: {type(error).__name__}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{file}:{lines[-1]}: {text}" if lines else f"{file}: {text}"


def _signature(own: Own) -> inspect.Signature:
    try:
        return inspect.signature(own.function)
    except (TypeError, ValueError) as error:
        raise SettingsError([f"{own.spec}: its arguments cannot be read ({error}), wrap it in a function of your own"]) from error


def _no_such_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; the path is relative to the lab's folder"
    files = sorted(p.name for p in path.parent.glob("*.py"))
    there = f"there are {list_names(files[:10])}" if len(files) > 1 else f"there is {files[0]}" if files else "there is no .py file in it"
    return f"no file {path.name} in {path.parent}{did_you_mean(path.name, files) or ';'} {there}"


def _names_in(module: ModuleType) -> list[str]:
    """Return the public functions and classes that the module itself defines."""
    return [name for name, value in vars(module).items() if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__]


def _execute(spec: str, path: Path, source: bytes) -> tuple[ModuleType, tuple[Path, ...]]:
    """Return the executed module, registered in sys.modules under a name of its own, and the files beside it that it imported."""
    module = ModuleType(f"zhurnal_own_{next(_NUMBERS)}_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and inspect look a class's module up there
    try:
        with _importable(path.parent) as imported:
            exec(compile(source, str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise RunError(f"{_describe(error, path, split_own(spec)[0])} (loading {spec}, whose file must import without an error)") from error
    return module, tuple(imported)


@contextmanager
def _importable(folder: Path) -> Iterator[list[Path]]:
    """Let imports find the `.py` files in `folder`; afterwards forget those they found and put their paths into the list yielded.

    Forgotten, because the same name may mean another file in the next lab, or another text in the next run.
    """
    before = set(sys.modules)
    found: list[Path] = []
    importlib.invalidate_caches()  # the files may be younger than the import system's listing of the folder
    sys.path.insert(0, str(folder))
    try:
        yield found
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        new = {name: sys.modules[name] for name in sorted(set(sys.modules) - before)}
        for name, module in new.items():
            top = name.partition(".")[0]
            file = getattr(new.get(top), "__file__", None)
            # Exactly these three: the folder may also hold a virtual environment, whose packages must stay.
            without_init = file is None and str(folder / top) in getattr(new.get(top), "__path__", ())
            if without_init or file in (str(folder / f"{top}.py"), str(folder / top / "__init__.py")):
                if getattr(module, "__file__", None):  # a folder without __init__.py has none
                    found.append(Path(str(module.__file__)))
                del sys.modules[name]
