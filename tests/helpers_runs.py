"""Runs made up on disk as the trainer writes them: fixed numbers, realistic curves, no clock, no torch."""

import datetime
import math
from pathlib import Path
from typing import Any

import orjson

from zhurnal.core.records import Row, encode
from zhurnal.store.lab import Lab

START = datetime.datetime(2026, 9, 1, 10, 0, tzinfo=datetime.UTC)
PARAMETERS = {"lenet": 62_006, "vgg": 33_638_218, "vgg_bn": 14_991_946}


def wave(*keys: float) -> float:
    """A number in [-1, 1] that looks random and is always the same."""
    return math.sin(sum(k * f for k, f in zip(keys, (12.9898, 78.233, 37.719), strict=False)) * 43.7585)


def make_run(
    lab: Lab,
    name: str,
    seed: int = 42,
    *,
    epochs: int | None = None,
    top: float = 0.66,
    tau: float = 8.0,
    status: str = "finished",
    reason: str = "",
    nan_from: int | None = None,
    null_epochs: tuple[int, ...] = (),
    iters_per_epoch: int = 391,
    log_every: int = 100,
    seconds: float = 14.06,
    day: int = 0,
    test_acc: float | None = None,
    partial: tuple[int, ...] = (),
    data: dict[str, Any] | None = None,
    sources: dict[str, Any] | None = None,
) -> Path:
    """Write the run of an experiment; `status` is finished, failed, interrupted (it said so) or killed (it did not)."""
    experiment = lab.experiment(name)
    settings = experiment.settings
    home = lab.run_folder(name, seed)
    home.mkdir(parents=True, exist_ok=True)
    count = settings.train.epochs if epochs is None else epochs
    rows: list[Row] = []
    events: list[Row] = []
    begin = START + datetime.timedelta(days=day, hours=experiment_number(name), minutes=seed % 60)
    events.append({"time": begin.isoformat(), "kind": "start", "attempt": 1, "step": 0, "epoch": 1, "machine": "test"})
    number = experiment_number(name)
    best = (0.0, 0)
    for epoch in range(1, count + 1):
        lr = settings.optimizer.lr
        if settings.scheduler.name == "step":
            options = settings.scheduler.options()
            lr *= options["gamma"] ** ((epoch - 1) // options["step_size"])
        rise = 1 - math.exp(-epoch / tau)
        noise = wave(number, epoch, seed)
        val_acc = round(0.1 + (top - 0.1) * rise + 0.006 * noise, 4)
        train_acc = round(0.1 + (min(top + 0.12, 0.999) - 0.1) * rise + 0.002 * wave(epoch, seed, number), 4)
        loss = 2.3 * (1 - rise) + 0.9 * (1 - top)
        broken = (nan_from is not None and epoch >= nan_from) or epoch in null_epochs
        for i in range(log_every, iters_per_epoch + 1, log_every):
            step = (epoch - 1) * iters_per_epoch + i
            rows.append(
                {"kind": "iter", "step": step, "epoch": epoch, "loss": None if broken else round(loss + 0.08 * wave(step, number, seed), 5), "lr": lr}
            )
        rows.append(
            {
                "kind": "epoch", "epoch": epoch, "step": epoch * iters_per_epoch, "lr": lr,
                "train_loss": None if broken else round(loss, 5), "train_acc": train_acc,
                "val_loss": None if broken else round(loss + 0.15 * rise + 0.01 * noise, 5), "val_acc": 0.1 if broken else val_acc,
                "num_train": 45_000, "num_val": 5_000,
            } | ({"val_acc_tta": round(val_acc + 0.01, 4)} if settings.train.tta != "none" else {})
        )  # fmt: skip
        best = max(best, (0.1 if broken else val_acc, -epoch))
        spent = round(seconds + 0.3 * wave(epoch, number), 3)
        at = begin + datetime.timedelta(seconds=spent * epoch)
        events.append(
            {"time": at.isoformat(), "kind": "time", "epoch": epoch, "seconds": spent * (0.4 if epoch in partial else 1), "train_seconds": spent - 1,
             "val_seconds": 1.0, "images_per_second": round(45_000 / spent, 1), "partial": epoch in partial}
        )  # fmt: skip
    step = count * iters_per_epoch
    finish = begin + datetime.timedelta(seconds=seconds * (count + 1))
    if status == "finished":
        if test_acc is not None:
            rows.append({"kind": "test", "epoch": -best[1], "step": step, "test_loss": 1.0, "test_acc": test_acc, "num_test": 10_000})
        rows.append({"kind": "end", "epoch": count, "step": step, "best_epoch": -best[1], "best_val_acc": best[0], "weights": "ab" * 32})
    else:
        rows.append({"kind": "iter", "step": step + 30, "epoch": count + 1, "loss": 1.5, "lr": settings.optimizer.lr})
    if status != "killed":
        events.append({"time": finish.isoformat(), "kind": "stop", "status": status, "step": step, "epoch": count, "reason": reason})
    validation = "test" if settings.data.validation == "test" else f"{100 * settings.data.validation:g} % of the training images"
    effective = {
        "experiment": name,
        "seed": seed,
        "settings": settings.to_dict(),
        "continue": experiment.continues,
        "data": {
            "name": settings.data.name, "fingerprint": "c1fa" * 16, "classes": ["airplane", "automobile"], "image": [3, 32, 32],
            "num_train": 45_000, "num_val": 5_000, "num_test": 10_000, "mean": [0.4914, 0.4822, 0.4465], "std": [0.2023, 0.1994, 0.201],
            "validation": validation, "notes": [],
        } | (data or {}),
        "model": {"num_parameters": PARAMETERS.get(settings.model.name, 1000)},
        "optimizer": [{"lr": settings.optimizer.lr, "num_parameters": PARAMETERS.get(settings.model.name, 1000)}],
        "sources": sources or {},
        "device": "cpu",
        "num_threads": 1,
        "started_from": {"kind": "continue", "experiment": experiment.continues, "epoch": 50} if experiment.continues else None,
    }  # fmt: skip
    (home / "effective.json").write_bytes(orjson.dumps(effective))
    (home / "record.jsonl").write_bytes(b"".join(encode(r) for r in rows))
    (home / "events.jsonl").write_bytes(b"".join(encode(e) for e in events))
    return home


def experiment_number(name: str) -> int:
    return int(name[1:])


def make_lab(folder: Path) -> Lab:
    """Make a lab: e0001 finished, e0002 adam with three seeds, e0003 killed in epoch 13, e0004 failed, e0005 waiting, e0006 on test."""
    lab = Lab.init(folder, "CIFAR-10 notes")
    lab.new({"model": "lenet", "data": "cifar10", "train.epochs": 30}, question="Can LeNet learn CIFAR-10?")
    lab.new({"optimizer": "adam", "optimizer.lr": 0.001, "seeds": [1, 2, 3]}, parent="e0001", question="Is Adam better?")
    lab.sweep([{"optimizer.lr": 0.003}, {"optimizer.lr": 3.0}, {"optimizer.lr": 0.03}], parent="e0001", question="Which learning rate?")
    lab.new({"data.validation": "test", "scheduler": "step", "scheduler.step_size": 20}, parent="e0001", question="Does a schedule help?")
    make_run(lab, "e0001", test_acc=0.6511)
    for seed, top in ((1, 0.668), (2, 0.661), (3, 0.672)):
        make_run(lab, "e0002", seed, top=top, tau=5)
    make_run(lab, "e0003", epochs=12, status="killed", top=0.6, tau=14, partial=(12,))
    make_run(lab, "e0004", epochs=8, status="failed", reason="the loss is not finite at step 1603", nan_from=5, top=0.3)
    make_run(lab, "e0006", top=0.671, tau=6)
    return lab
