"""All that exact resume needs, and the checkpoints it is kept in.

Promises: a run that goes on from a checkpoint ends with the same weights and the same record, to the bit, as one that was never stopped (same
device, library versions and number of threads). A checkpoint is there whole or not at all, is checked by its SHA-256 before use, and the one before
it is kept; loading never runs code (`weights_only`).

Order of images and augmentation are functions of (seed, epoch, image), so their state is the epoch and the batch. The rest is the model, the
optimizer, the moving average of the weights, torch's generators (dropout), the sums of the epoch so far, and the best epoch so far.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import RunError
from ..core.text import printable
from ..store import files
from ..store.keeper import Keeper
from .ema import Ema

KEEP = 2


@dataclass
class Position:
    """Where a run stands; everything but tensors."""

    epoch: int = 0  # epochs completed
    batch: int = 0  # batches completed in the epoch now running
    step: int = 0  # optimizer steps completed
    loss_sum: float = 0.0  # over the images of this epoch so far
    correct: int = 0
    seen: int = 0
    since_loss: float = 0.0  # over the images since the last iter row
    since_seen: int = 0
    best_epoch: int = 0
    best_val_acc: float = -1.0
    best_sha256: str = ""
    val_losses: list[float] = field(default_factory=list)  # of the epochs so far, for schedules that look at them
    val_accs: list[float] = field(default_factory=list)
    seconds: float = 0.0  # spent training in this epoch so far; in no row of the record
    partial: bool = False  # this epoch was interrupted
    lost: list[str] = field(default_factory=list)  # a sentence for all that was logged and could not be kept


def save(folder: Path, position: Position, model: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema | None = None) -> Path:
    """Write a checkpoint; remove all but the last two, and the weights of earlier best epochs.

    Raises:
        OSError: the disk is full or gone; the earlier checkpoints are as they were.
    """
    device = _device(model)
    state = {
        "position": asdict(position),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "ema": ema.model.state_dict() if ema else None,
        "generators": [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])],
    }
    path = folder / f"state-{position.step:08d}-{position.epoch:05d}.pt"
    folder.mkdir(exist_ok=True)
    data, total = _pack(state)
    path.with_suffix(".sha256").unlink(missing_ok=True)  # a checkpoint without its sum was never finished
    files.write(path, data)
    files.write(path.with_suffix(".sha256"), total)
    for old in sorted(folder.glob("state-*.pt"))[:-KEEP]:
        old.unlink()
        old.with_suffix(".sha256").unlink(missing_ok=True)
    for old in folder.glob("best-*.pth"):
        if old != best_path(folder, position.best_epoch):
            old.unlink()
            old.with_suffix(".sha256").unlink(missing_ok=True)
    return path


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _pack(value: Any) -> tuple[bytes, str]:
    """Return the bytes of a file of tensors, and the line of its SHA-256."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    data = buffer.getvalue()  # shared, not copied: a checkpoint can be a gigabyte
    return data, hashlib.sha256(data).hexdigest() + "\n"


def written_sum(path: Path) -> str | None:
    """Return the SHA-256 that was written beside a checkpoint, or None where there is none."""
    total = path.with_suffix(".sha256")
    return total.read_text(errors="replace").strip() if total.is_file() else None


def read_tensors(path: Path, sha256: str | None = None) -> Any:
    """Return what a checkpoint or weights file holds, on the CPU.

    Raises:
        RunError: it is missing, damaged, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise RunError(f"{path} does not exist")
    if sha256 is not None and files.sha256(path) != sha256:
        raise RunError(f"{path} is damaged: its SHA-256 is not the one it was written with")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; each means that the file is of no use
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path} is no file of weights that can be read safely: {printable(reason, 300)}") from error


def latest(folder: Path, model: nn.Module | None = None) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the newest whole checkpoint in `folder`, or None, and a sentence for each that is damaged, or is not one of `model`."""
    problems = []
    for path in sorted(folder.glob("state-*.pt"), reverse=True):
        try:
            if (total := written_sum(path)) is None:
                raise RunError(f"{path.name} was not written to its end")
            found: dict[str, Any] = read_tensors(path, total)
            if not _is_checkpoint(found):
                raise RunError(f"{path.name} is no checkpoint of a run")
            if model and (wrong := _misfits(model, found["model"])):
                raise RunError(f"{path.name} is of another network: {wrong}")
        except RunError as error:
            problems.append(f"checkpoint {path.name} is not used: {error}")
            continue
        return found, problems
    return None, problems


def _is_checkpoint(found: Any) -> bool:
    """Return whether a file with a right checksum holds what `save` writes: a checksum is no signature."""
    if not isinstance(found, dict) or not found.keys() >= {"position", "model", "optimizer", "ema", "generators"}:
        return False
    position = found["position"]
    return _are_weights(found["model"]) and isinstance(position, dict) and all(isinstance(position.get(k), int) for k in ("epoch", "batch", "step"))


def _are_weights(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(value, Tensor) for value in found.values())


def restore(state: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema | None = None) -> Position:
    """Put a checkpoint back into the model, the optimizer, the average and torch's generators; return where the run stands."""
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if ema:
        ema.model.load_state_dict(state["ema"])
    cpu, *cuda = state["generators"]
    torch.set_rng_state(cpu)
    device = _device(model)
    if cuda and device.type == "cuda":
        own = device.index or 0
        torch.cuda.set_rng_state(cuda[own if own < len(cuda) else 0], device)  # earlier versions kept those of all devices
    known = {f.name for f in fields(Position)}
    return Position(**{k: v for k, v in state["position"].items() if k in known})


def check_best(folder: Path, position: Position) -> list[str]:
    """Look whether the best weights that a checkpoint names are there; where they are not, let `position` have none yet, and return what to tell."""
    path = best_path(folder, position.best_epoch)
    if not position.best_epoch or (path.is_file() and files.sha256(path) == position.best_sha256):
        return []
    what = "damaged" if path.is_file() else "gone"
    problem = f"{path.name}, the best weights until now, is {what}: the best epoch is looked for among those from epoch {position.epoch + 1} on"
    position.best_epoch, position.best_val_acc, position.best_sha256 = 0, -1.0, ""
    return [problem]


def best_path(folder: Path, epoch: int) -> Path:
    """Return where the best weights of a run are: named by their epoch, so that a resumed run cannot take those of another."""
    return folder / f"best-{epoch:05d}.pth"


def save_best(keeper: Keeper, folder: Path, epoch: int, model: nn.Module) -> str:
    """Let the weights of the best epoch so far be written as plain PyTorch weights; return their SHA-256."""
    path = best_path(folder, epoch)
    data, total = _pack(model.state_dict())
    keeper.put("the best weights", {path: data, path.with_suffix(".sha256"): total.encode()}, newest=True)
    return total.strip()


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a model.

    Raises:
        RunError: they are none, or names or shapes do not fit; the first few are named.
    """
    if not _are_weights(weights):
        raise RunError(f"{source} holds no weights: it must be a state_dict, as torch.save(model.state_dict(), path) writes it")
    if wrong := _misfits(model, weights):
        raise RunError(f"weights {source} do not fit the network: {wrong}. Use the same model settings, or take no weights")
    model.load_state_dict(dict(weights))


def _misfits(model: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Return the first few names and shapes of weights that do not fit a model; an empty text where all do."""
    own = model.state_dict()
    wrong = [f"{k} is missing" for k in own if k not in weights]
    wrong += [f"{k} has no place in the network" for k in weights if k not in own]
    wrong += [f"{k} is {tuple(weights[k].shape)}, must be {tuple(own[k].shape)}" for k in own if k in weights and weights[k].shape != own[k].shape]
    return "; ".join(wrong[:4]) + (f", and {len(wrong) - 4} more" if len(wrong) > 4 else "")


def fingerprint(model: nn.Module) -> str:
    """Return a SHA-256 over names and values of all weights and buffers."""
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
