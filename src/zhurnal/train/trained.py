"""A trained network to be asked: the best weights of a run, and images made ready as its validation images were.

N images, T frames, C channels, H height, W width, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import RunError, ZhurnalError
from ..core.settings import Model, Settings, is_own, parse, split_own
from ..store.lab import Lab
from ..store.runs import Run
from . import own, precision, random, setup, state, summary, transforms
from .data.decode import BadImage, decode, strict_pillow
from .data.source import LARGEST_FILE

AT_ONCE = 200  # images that the network is given together, or fewer where validation took fewer


@dataclass(frozen=True)
class Answer:
    """What a network says of an image file: classes with their probabilities, the likeliest first; or why the file cannot be used."""

    file: Path
    classes: tuple[tuple[str, float], ...]
    problem: str = ""


@dataclass(frozen=True)
class Trained:
    """A network with the best weights of a run, in evaluation mode."""

    experiment: str
    seed: int
    epoch: int  # after which the weights were so
    val_acc: float  # in [0, 1], of these weights
    on_test: bool  # whether that was measured on the test images
    model: nn.Module  # normalized images -> logits_NK
    classes: tuple[str, ...]
    image: tuple[int, ...]  # (C, H, W), or (T, C, H, W) of clips
    mean: tuple[float, ...] | None  # of pixels between 0 and 1; None where they are not normalized
    std: tuple[float, ...] | None
    device: torch.device
    at_once: int = AT_ONCE

    def probabilities(self, images: Tensor) -> Tensor:
        """Return probabilities_NK, float32 on the processor, of uint8 images_NCHW, or clips_NTCHW.

        Raises:
            ZhurnalError: the images are of another type or shape.
        """
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != self.image:
            raise ZhurnalError(f"images are {images.dtype} {tuple(images.shape)}, must be torch.uint8 (N, {', '.join(map(str, self.image))})")
        normalize = transforms.normalizer(self.mean, self.std, self.device)
        with torch.inference_mode():
            parts = [self.model(normalize(part.to(self.device))).softmax(1).float().cpu() for part in images.split(self.at_once)]
        return torch.cat(parts) if parts else torch.empty(0, len(self.classes))

    def read(self, file: str | Path) -> Tensor:
        """Return pixels_CHW, uint8, of an image file, as its validation images were read: upright, in its colors, the square in the middle resized.

        Raises:
            ZhurnalError: the network is for clips; or the file cannot be used, with the reason.
        """
        if len(self.image) != 3:
            raise ZhurnalError(f"{self.experiment} is about clips of {self.image[0]} frames, not images: give probabilities() clips_NTCHW")
        channels, height, width = self.image
        try:
            with strict_pillow():
                if (size := Path(file).stat().st_size) > LARGEST_FILE:
                    raise BadImage(f"{size:,} bytes are more than {LARGEST_FILE:,}")
                pixels_CHW = decode(Path(file).read_bytes(), height if height == width else None, channels).pixels_CHW
        except (BadImage, OSError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise ZhurnalError(f"{file}: {reason}") from error
        if pixels_CHW.shape != self.image:
            raise ZhurnalError(f"{file}: has {pixels_CHW.shape[1]}x{pixels_CHW.shape[2]} pixels (height x width), must have {height}x{width}")
        return torch.from_numpy(np.array(pixels_CHW))

    def classify(self, files: Sequence[str | Path], top: int | None = None) -> list[Answer]:
        """Return what the network says of each file: all classes, or the `top` likeliest. A file that cannot be used says why, and stops no other."""
        answers: list[Answer] = []
        for start in range(0, len(files), self.at_once):
            some = [Path(file) for file in files[start : start + self.at_once]]
            images: dict[Path, Tensor] = {}
            problems: dict[Path, str] = {}
            for file in some:
                try:
                    images[file] = self.read(file)
                except ZhurnalError as error:
                    if len(self.image) != 3:
                        raise
                    problems[file] = str(error).removeprefix(f"{file}: ")
            of_file = dict(zip(images, self.probabilities(torch.stack(list(images.values()))), strict=True)) if images else {}
            answers += [Answer(f, self._sorted(of_file[f], top) if f in of_file else (), problems.get(f, "")) for f in some]
        return answers

    def _sorted(self, probabilities_K: Tensor, top: int | None) -> tuple[tuple[str, float], ...]:
        order = probabilities_K.argsort(descending=True, stable=True)[:top].tolist()
        return tuple((self.classes[k], float(probabilities_K[k])) for k in order)


def load(lab: Lab, name: str, seed: int | None = None) -> Trained:
    """Return the trained network of an experiment, with the settings, classes and normalization that its run really got.

    Args:
        lab: the lab.
        name: the experiment.
        seed: the run; without it, the one with the best validation accuracy of those whose weights are here.

    Raises:
        ZhurnalError: it has no run with weights, as in a clone of a lab (git does not keep them); or the network cannot be built.
    """
    runs = [run for run in lab.runs(name) if seed is None or run.seed == seed]
    if seed is not None and not runs:
        raise RunError(f"{name} has no run with seed {seed}: its runs are {', '.join(str(r.seed) for r in lab.runs(name)) or 'none'}")
    there = [run for run in runs if run.best and _weights(run) is not None]
    if not there:
        if any(run.best for run in runs):
            where = f"copy {lab.logs.relative_to(lab.folder) / name} from where it ran"
            raise RunError(f"{name} cannot be asked: its weights are not here, and git does not keep them; {where}")
        raise RunError(f"{name} cannot be asked: it has no whole epoch yet; run it with `zhurnal run {name}`")
    run = max(there, key=lambda r: _best(r)[1])
    path = _weights(run)
    assert path is not None
    told: dict[str, Any] = run.effective.get("data") or {}
    if not run.effective or not told.get("image") or not told.get("classes"):
        raise RunError(f"{run.folder / 'effective.json'} is missing or damaged, which says how images are made ready: put it back")
    settings = parse(run.effective["settings"])
    image, classes = tuple(told["image"]), tuple(told["classes"])
    with torch.random.fork_rng(devices=[]):  # as in training: a network may draw what is not among its weights
        torch.default_generator.manual_seed(random.seed_of(run.seed, random.INIT))
        model = summary.build(*_network(lab, run, settings, image, len(classes)))
    state.load_weights(model, state.read_tensors(path, state.written_sum(path)), str(path))
    device = setup.choose_device("cpu" if settings.train.device == "cpu" else "auto")
    model = model.to(device).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    precision.compute_in(model, settings.train.precision)
    mean, std = (tuple(told[key]) if told.get(key) is not None else None for key in ("mean", "std"))
    epoch, accuracy = _best(run)
    at_once = min(AT_ONCE, settings.train.batch_size_val)
    return Trained(name, run.seed, epoch, accuracy, run.on_test, model, classes, image, mean, std, device, at_once)


def _best(run: Run) -> tuple[int, float]:
    """Return the epoch of a run's best weights and their accuracy: as its end says, which knows of weights that were lost, else as its rows do."""
    if run.end and run.end.get("best_epoch"):
        return run.end["best_epoch"], run.end["best_val_acc"]
    return run.best or (0, -1.0)


def _weights(run: Run) -> Path | None:
    """Return the file of a run's best weights, if it is here."""
    path = state.best_path(run.folder / "checkpoints", _best(run)[0])
    return path if path.is_file() else None


def _network(lab: Lab, run: Run, settings: Settings, image: tuple[int, ...], num_classes: int) -> tuple[Model, tuple[int, ...], int, Path]:
    """Return what `summary.build` needs. A network of the user's own is the one that was trained, from the copy where the file has changed since.

    Raises:
        RunError: it changed, and the copy is not here, or it is a package's.
    """
    name, recorded = settings.model.name, (run.effective.get("sources") or {}).get("model")
    if not recorded:
        return settings.model, image, num_classes, lab.folder
    try:
        now = own.find("model", name, lab.folder)
    except ZhurnalError:
        now = None
    if now is not None and now.identity(lab.folder) == recorded:
        return settings.model, image, num_classes, lab.folder
    kept = run.folder / "sources"
    if not is_own(name) or not (kept / recorded["file"]).is_file():
        raise RunError(f"{name} changed since {run.experiment} was trained with it, and no copy of it is in {kept}: put it back")
    copied = settings.model.model_copy(update={"name": f"{recorded['file']}:{split_own(name)[1]}"})
    return copied, image, num_classes, kept
