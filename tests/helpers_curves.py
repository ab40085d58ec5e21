"""Experiments with curves typed in, as summaries and on disk: what each run's epochs and images came to is given, nothing is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from zhurnal.analyze import summary
from zhurnal.analyze.summary import Summary
from zhurnal.core.records import encode
from zhurnal.store.lab import Lab

CLASSES = [f"class {k}" for k in range(10)]


def put(
    lab: Lab,
    name: str,
    seed: int,
    val_acc: Sequence[float],
    *,
    val_loss: Sequence[float | None] | None = None,
    train_acc: Sequence[float] | None = None,
    lr: Sequence[float] | None = None,
    seconds: Sequence[float] | float = 10.0,
    num_val: int = 10_000,
    num_train: int = 45_000,
    right: Mapping[int, np.ndarray] | None = None,
    loss: Mapping[int, np.ndarray] | None = None,
    status: str = "finished",
    effective: Mapping[str, Any] | None = None,
    events: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write a run whose epochs have these accuracies (fractions); `right` and `loss` give what each image came to after an epoch."""
    val_acc = [float(v) for v in val_acc]
    settings = lab.experiment(name).settings
    home = lab.run_folder(name, seed)
    home.mkdir(parents=True, exist_ok=True)
    steps = max(1, num_train // settings.train.batch_size)
    times = [float(seconds)] * len(val_acc) if isinstance(seconds, int | float) else list(seconds)
    rows, told = [], [{"kind": "start", "time": "2026-09-01T10:00:00+00:00", "attempt": 1, "step": 0, "epoch": 1}, *events]
    for i, acc in enumerate(val_acc):
        own = val_loss[i] if val_loss is not None else 2.3 * (1 - acc)
        rows.append(
            {"kind": "epoch", "epoch": i + 1, "step": (i + 1) * steps, "lr": float(lr[i]) if lr is not None else settings.optimizer.lr,
             "train_loss": None if own is None else round(own * 0.9, 5), "train_acc": train_acc[i] if train_acc is not None else min(1.0, acc + 0.05),
             "val_loss": own, "val_acc": float(acc), "num_train": num_train, "num_val": num_val}
        )  # fmt: skip
        told.append(
            {"kind": "time", "time": "2026-09-01T10:10:00+00:00", "epoch": i + 1, "seconds": times[i], "train_seconds": times[i],
             "val_seconds": 0.0, "images_per_second": num_train / times[i], "partial": False}
        )  # fmt: skip
    if status == "finished":
        best = max(range(len(val_acc)), key=lambda i: val_acc[i])
        rows.append({"kind": "end", "epoch": len(val_acc), "step": len(val_acc) * steps, "best_epoch": best + 1, "best_val_acc": float(val_acc[best]),
                     "weights": "ab" * 32})  # fmt: skip
    told.append(
        {"kind": "stop", "time": "2026-09-01T11:00:00+00:00", "status": status, "step": len(val_acc) * steps, "epoch": len(val_acc), "reason": ""}
    )
    data = {
        "name": settings.data.name, "fingerprint": "c1fa" * 16, "classes": CLASSES, "image": [3, 32, 32], "num_train": num_train, "num_val": num_val,
        "num_test": 10_000, "mean": [0.5] * 3, "std": [0.5] * 3,
        "validation": "test" if settings.data.validation == "test" else "10 % of the training images", "notes": [],
    }  # fmt: skip
    given = dict(effective or {})
    data |= given.pop("data", {})
    whole = {
        "experiment": name, "seed": seed, "settings": settings.to_dict(), "continue": lab.experiment(name).continues, "data": data,
        "model": {"num_parameters": 62_006}, "optimizer": [], "sources": {}, "device": "cpu", "num_threads": 1, "started_from": None,
    } | given  # fmt: skip
    (home / "effective.json").write_bytes(orjson.dumps(whole))
    (home / "record.jsonl").write_bytes(b"".join(encode(r) for r in rows))
    (home / "events.jsonl").write_bytes(b"".join(encode(e) for e in told))
    if right or loss:
        put_images(home, right or {}, loss or {}, num_val)
    return home


def put_images(home: Path, right: Mapping[int, np.ndarray], loss: Mapping[int, np.ndarray], num: int) -> None:
    """Write predictions: for each epoch which images are right, or what their loss was."""
    folder = home / "predictions"
    folder.mkdir(exist_ok=True)
    label = np.arange(num) % 10
    np.savez(folder / "labels.npz", label=label, number=np.arange(num))
    for epoch in sorted({*right, *loss}):
        hit = right.get(epoch, np.ones(num, bool))
        np.savez(
            folder / f"epoch-{epoch:05d}.npz",
            predicted=np.where(hit, label, (label + 1) % 10).astype(np.uint8),
            confidence=np.full(num, 0.9, np.float16),
            loss=loss.get(epoch, np.where(hit, 0.1, 2.3)).astype(np.float16),
        )


def images_with(num: int, right: int, differ: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """Return which of `num` images two networks get right: the first `right` of them, the second after losing and gaining `differ`."""
    first = np.arange(num) < right
    second = first.copy()
    second[: differ[0]] = False
    second[right : right + differ[1]] = True
    return first, second


def level(end: float, epochs: int = 40, noise: float = 0.0, seed: int = 0, tau: float = 4.0) -> np.ndarray:
    """Return a curve that has come to its plateau `end` long before its last epoch, whose last value is `end`."""
    random = np.random.default_rng(seed)
    t = np.arange(1, epochs + 1)
    curve = end - (end - 0.1) * np.exp(-t / tau) + noise * random.standard_normal(epochs)
    curve[-1] = end
    return np.round(curve, 4)


def summaries(lab: Lab) -> dict[str, Summary]:
    """Return what all experiments of a lab came to."""
    return {s.name: s for s in summary.read_all(lab, lab.names())}
