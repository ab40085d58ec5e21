"""Damaged checkpoints, and files that would run code when they are loaded."""

import hashlib
import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zhurnal.core.errors import RunError

from . import disks, labs
from .tally import Tally


def checkpoints(tally: Tally) -> None:
    """Damage the newer of two checkpoints, or the best weights, in one of many ways, `wanted` times; the older one is taken, and it is told."""
    import torch

    from zhurnal.train import models, state

    with disks.impatient(), tally.place() as place:
        lab = labs.make_lab(place / "lab", labs.SHORT)
        lab.run("e0001")
        network = models.make(lab.experiment("e0001").settings.model, (1, 8, 8), 10, seed=0, base=lab.folder)
        kept = lab.run_folder("e0001", 42) / "checkpoints"
        older, newer = sorted(kept.glob("state-*.pt"))
        (best,) = kept.glob("best-*.pth")
        for number in range(tally.wanted):
            folder = place / "damaged"
            shutil.copytree(kept, folder)
            way = WAYS[number % len(WAYS)]
            what = way(tally, folder / newer.name, folder / older.name)
            found, problems = state.latest(folder, network)
            is_older = found is not None and found["position"]["step"] == int(older.name.split("-")[1])
            told = any(newer.name in problem for problem in problems)
            if what.startswith("both"):
                tally.count(found is None and len(problems) == 2, f"{what}: {found is not None}, told {problems}")
            else:
                tally.count(is_older and told, f"{what}: {'the older one' if is_older else 'another or none'} is used, told {problems}")
            what = WAYS[number % 4](tally, folder / best.name, folder / best.name)
            try:
                state.read_tensors(folder / best.name, state.written_sum(kept / best.name))
                tally.count(False, f"the best weights, {what}: used")
            except RunError as error:
                tally.count(best.name in str(error), f"the best weights, {what}: told {error}")
            shutil.rmtree(folder)
        weights = torch.load(lab.logs / "e0001_model_best.pth", weights_only=True)
        network.load_state_dict(weights)


def _truncated(tally: Tally, path: Path, _: Path) -> str:
    size = tally.random.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"cut to {size} bytes"


def _flipped(tally: Tally, path: Path, _: Path) -> str:
    data = bytearray(path.read_bytes())
    bit = tally.random.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return f"bit {bit} flipped"


def _page_of_zeros(tally: Tally, path: Path, _: Path) -> str:
    data = bytearray(path.read_bytes())
    pages = [p for p in range(0, len(data), 4096) if any(data[p : p + 4096])]
    page = tally.random.choice(pages)
    data[page : page + 4096] = bytes(len(data[page : page + 4096]))
    path.write_bytes(data)
    return f"page at {page} is zeros"


def _empty(tally: Tally, path: Path, _: Path) -> str:
    path.write_bytes(b"")
    return "empty"


def _swapped(tally: Tally, path: Path, other: Path) -> str:
    data = path.read_bytes(), other.read_bytes()
    path.write_bytes(data[1])
    other.write_bytes(data[0])
    return "both swapped"


def _no_sum(tally: Tally, path: Path, _: Path) -> str:
    path.with_suffix(".sha256").unlink()
    return "without its sum"


def _odd_sum(tally: Tally, path: Path, _: Path) -> str:
    path.with_suffix(".sha256").write_bytes(tally.random.randbytes(tally.random.randrange(80)))
    return "its sum is garbage"


def _other_network(tally: Tally, path: Path, _: Path) -> str:
    import torch

    held = torch.load(path, weights_only=True)
    name = tally.random.choice(list(held["model"]))
    held["model"][name] = torch.zeros(3, 5)
    _save(path, held)
    return f"whole, but {name} has another shape"


def _no_checkpoint(tally: Tally, path: Path, _: Path) -> str:
    _save(path, tally.random.choice([{}, [], 3, {"model": {}}, {"position": {"step": 1}}]))
    return "whole, but no checkpoint"


def _save(path: Path, value: Any) -> None:
    """Write a file as a checkpoint is written, with the sum of its bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer)
    write(path, buffer.getvalue())


def write(path: Path, data: bytes) -> None:
    """Write a file and its true sum."""
    path.write_bytes(data)
    path.with_suffix(".sha256").write_text(hashlib.sha256(data).hexdigest() + "\n")


WAYS: tuple[Callable[[Tally, Path, Path], str], ...] = (
    _truncated, _flipped, _page_of_zeros, _empty, _flipped, _swapped, _no_sum, _odd_sum, _other_network, _no_checkpoint,
)  # fmt: skip


class _Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def pickles(tally: Tally) -> None:
    """Put files that run code when they are unpickled in the place of checkpoints, best weights and weights files; none may run, all are told."""
    import warnings

    import torch

    from zhurnal.train import state

    with tally.place() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about old forms of pickles
        canary = place / "canary"
        code = f"open({str(canary)!r}, 'w').close()"
        calls = (
            _Calls(os.system, f"touch {canary}"),
            _Calls(eval, code),
            _Calls(exec, code),
            _Calls(open, str(canary), "w"),
            _Calls(os.mkdir, str(canary)),
        )
        for number in range(tally.wanted):
            call: Any = calls[number % len(calls)]
            call = (call, {"model": call}, [torch.zeros(2), call], {"state_dict": {"a": call}})[number // 5 % 4]
            data = _as_bytes(call, number)
            name = ("state-00000003-00001.pt", "best-00001.pth", "weights.pth")[number % 3]
            write(place / name, data)
            if name.startswith("state"):
                found, problems = state.latest(place)
                told = found is None and any(name in p for p in problems)
            else:
                try:
                    state.read_tensors(place / name, state.written_sum(place / name))
                    told = False
                except RunError as error:
                    told = name in str(error)
            tally.count(told and not canary.exists(), f"pickle {number} as {name}: {'ran' if canary.exists() else 'was not told'}")
            (place / name).unlink()
            (place / name).with_suffix(".sha256").unlink()


def _as_bytes(value: Any, number: int) -> bytes:
    """Return a value as plain pickle, as torch writes it in its old or new form, or as a zip made by hand."""
    import torch

    form = number % 7
    if form < 3:
        return pickle.dumps(value, protocol=(0, 2, 4)[form])
    buffer = io.BytesIO()
    if form in (3, 4):
        torch.save(value, buffer, _use_new_zipfile_serialization=form == 3)
    else:
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("archive/data.pkl", pickle.dumps(value, protocol=form - 3))
            file.writestr("archive/version", "3\n")
            file.writestr("archive/byteorder", "little")
    return buffer.getvalue()
