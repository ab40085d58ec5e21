"""A run: from an experiment and a seed to a finished record, through any number of stops.

The loop is `_train` below; a step of it is in `step.py`, all that resume restores in `state.py`.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import torch

from ..core import diff
from ..core.cores import cores
from ..core.errors import Interrupted, RunError, ZhurnalError
from ..core.experiment import Experiment
from ..core.secrets import masked
from ..core.settings import Train, parse
from ..core.stop import Stop
from ..core.text import count
from ..store import files, plan, runs
from ..store.keeper import Keeper
from ..store.lab import Lab
from ..store.record import Record
from ..store.record import read as read_record
from . import mix, setup, state, tuning
from .board import Board
from .failure import explain
from .freeze import follow
from .log import PATIENCE, Log, Saver
from .profile import Profile
from .schedulers import lr_at
from .setup import Parts
from .state import Position
from .step import Evaluation, evaluate, train_step
from .watch import Guarded, Silent, Watcher

# How many threads PyTorch takes by itself, or a container leaves; read before any run sets another number.
_NUM_THREADS = min(torch.get_num_threads(), cores())


def run(
    lab: Lab,
    name: str,
    seed: int | None = None,
    *,
    watcher: Watcher | None = None,
    download: bool = False,
    stop: Stop | None = None,
    num_threads: int = 0,
    profile: Profile | None = None,
) -> runs.Run:
    """Run an experiment with one seed, or go on with its unfinished run, and return what it left.

    A finished run is returned as it is.

    Args:
        lab: the lab.
        name: the experiment.
        seed: none takes the first of the experiment's seeds.
        watcher: is told what happens.
        download: whether missing data may be downloaded.
        stop: call it, from any thread, to stop after the step that runs.
        num_threads: the most processor threads where train.num_threads is 0; 0 for all. A run that began with another number keeps it.
        profile: the steps of which to write a trace.

    Raises:
        Interrupted: it was asked to stop; the state is saved.
        ZhurnalError: it cannot start or go on, or it trained to its end and not all of its record could be written. Trouble with the disk meanwhile
            does not end it (see store/keeper.py).
    """
    experiment = lab.experiment(name)
    seed = experiment.settings.seeds[0] if seed is None else seed
    home = lab.run_folder(experiment.name, seed)
    watcher, stop = watcher or Silent(), stop or Stop()
    if (done := runs.read(lab.logs, experiment.name, seed)).finished:
        setup.export_best(lab, experiment, watcher.note)
        return done
    with _starting(experiment.name), runs.locked(home, f"{experiment.name} with seed {seed}") as holds, ExitStack() as stack:
        if not plan.confirm(lab.folder, lab.file(experiment.name)):
            raise RunError(f"{experiment.name} was removed, or got another number, just as its run began")
        before = runs.read_effective(home)
        _check_unchanged(experiment, before)
        threads = experiment.settings.train.num_threads or num_threads or _NUM_THREADS
        torch.set_num_threads(threads)
        tuning.keep_memory()
        keeper = Keeper(home, holds)
        watcher = Guarded(watcher, keeper)
        events = stack.enter_context(Record(home / "events.jsonl", keeper=keeper))
        try:
            parts = setup.build(lab, experiment, seed, download=download, watcher=watcher)
        except ZhurnalError as error:
            if not before:  # it never began: `ls` says why
                events.append({"kind": "stop", "time": setup.now(), "status": "failed", "step": 0, "epoch": 0, "reason": masked(str(error))[:2000]})
            raise
        parts = setup.tune(parts, tuning.resumed(before) if before else _choose(lab, experiment, parts, threads, watcher), threads)
        if profile:
            parts, watcher = stack.enter_context(profile.over(parts, watcher, home))
        for folder in ("checkpoints", "predictions"):
            files.make_folder(home / folder)
        saved, problems = state.latest(home / "checkpoints", parts.model)
        if saved:
            follow(experiment.settings, parts.model, parts.optimizer, parts.frozen, saved["position"]["epoch"])
        position = state.restore(saved, parts.model, parts.optimizer, parts.ema) if saved else Position()
        tuning.lay_out_state(parts.optimizer)
        problems += state.check_best(home / "checkpoints", position)
        if saved is None and (stopped := [e for e in read_record(home / "events.jsonl")[0] if e["kind"] == "stop" and e.get("step")]):
            problems.append(f"no checkpoint is here, though it stopped at step {stopped[-1]['step']}: it begins again, its rows are compared")
        position.partial = position.partial or position.batch > 0
        keeper.lost = list(position.lost)
        record = stack.enter_context(Record(home / "record.jsonl", resumed=True, keeper=keeper))
        board = stack.enter_context(Board(home / "tensorboard", experiment.settings.train.tensorboard, keeper))
        log = Log(home, record, events, board, keeper, watcher, saved=(position.step, position.epoch))
        _open(experiment, seed, parts, before, position, log, problems, lab.folder)
        stack.enter_context(keeper.running(log.warn))
        if not keeper.settle():
            raise OSError(keeper.waiting())
        stack.enter_context(stop.on_signals())
        try:
            with _deterministic():
                _train(experiment.settings.train, experiment, parts, position, log, home / "checkpoints", stop)
        except BaseException as error:
            told, status = explain(error, experiment, parts, position, log.saved[0])
            reason = str(told) if told is not error or isinstance(error, ZhurnalError) else f"{type(error).__name__}: {error}"
            if not log.stop(status, position, reason):
                watcher.note(f"not all of {experiment.name} could be written: {keeper.waiting()}")
            if told is error:
                raise
            raise told from error
        if not log.stop("finished", position, ""):
            raise RunError(f"trained to its end, which could not be written down: {keeper.waiting()}. Make room on the disk and run it again")
    setup.export_best(lab, experiment, watcher.note)
    return runs.read(lab.logs, experiment.name, seed)


def _choose(lab: Lab, experiment: Experiment, parts: Parts, threads: int, watcher: Watcher) -> tuning.Choice:
    """Return how a new run computes, and tell it where it was measured."""
    watcher.phase("choosing memory format and threads")
    choice = tuning.choose(experiment.settings, parts.model, parts.data.image, len(parts.data.train), parts.device, threads, lab.cache)
    if choice.why in (tuning.MEASURED, tuning.BUSY):
        busy = ", on a busy machine" if choice.why == tuning.BUSY else ""
        watcher.note(f"chosen by measurement{busy}: {choice.memory_format}, {count(choice.num_threads, 'thread')}")
    elif choice.why.startswith("not measured"):
        watcher.note(f"memory format and threads are {choice.memory_format} and {choice.num_threads}, {choice.why}")
    return choice


@contextmanager
def _starting(name: str) -> Iterator[None]:
    """Say what to do about an error of the disk. One comes up here before training has begun, or when it is over."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise RunError(f"{where}{error.strerror or error}. Mend that (on a full disk, make room) and run {name} again: it goes on") from error


def _open(
    experiment: Experiment, seed: int, parts: Parts, before: dict[str, Any], position: Position, log: Log, problems: list[str], lab_folder: Path
) -> None:
    """Write down that the run starts or goes on, and with what; refuse or warn where that is not what it began with."""
    now = orjson.loads(orjson.dumps(setup.effective(experiment, seed, parts, lab_folder)))
    if not before:
        log.labels(parts.data.val)
        for source in parts.sources.values():
            for name, text in source.texts(lab_folder).items():
                log.keeper.put("the user's own files", {log.home / "sources" / name: text}, remember=True)
        settings = orjson.dumps(now, option=orjson.OPT_INDENT_2) + b"\n"
        log.keeper.put("effective.json", {log.home / "effective.json": settings}, remember=True)  # last: now the run has begun
    else:
        _check_data(experiment, before["data"], now["data"])
        if now["sources"] != before["sources"]:
            changed = [v["file"] for k, v in now["sources"].items() if v != before["sources"].get(k)]
            raise RunError(
                f"{', '.join(changed)} changed since the run of {experiment.name} began: put it back (a copy is in {log.home / 'sources'}), "
                "or make a new experiment"
            )
        for key in ("num_threads", "memory_format"):
            wanted, had = getattr(experiment.settings.train, key), before.get(key)
            if had is not None and wanted not in (0, "auto", had):
                log.watcher.note(f"train.{key} is {wanted} now, but this run goes on with {had}, as it began: else its results would not be the same")
    if before and parts.choice.num_threads > cores():
        told = f"it goes on with {count(parts.choice.num_threads, 'thread')}, as it began, on {count(cores(), 'core')}"
        log.watcher.note(f"{told}: slower, but the same to the bit only so; a new experiment takes what is there")
    machine = setup.environment(parts.device)
    starts = [r for r in read_record(log.home / "events.jsonl")[0] if r["kind"] == "start"]
    log.event("start", attempt=len(starts) + 1, step=position.step, epoch=position.epoch, **machine)
    for problem in (*problems, *(f"{r.path.name}: {p}" for r in (log.record, log.events) for p in r.problems)):
        log.warn(problem)
    if position.step and starts:
        differs = [f"{k} {starts[0].get(k)} -> {v}" for k, v in machine.items() if starts[0].get(k) != v and k != "zhurnal"]
        if differs:
            log.warn(f"resumed with {', '.join(differs)}: equal results to the bit are not promised")


def _check_data(experiment: Experiment, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with other images, or with others of them that can be read."""
    if now["fingerprint"] != before["fingerprint"]:
        raise RunError(f"the data of {experiment.name} changed since its run began: put the old images back, or make a new experiment")
    keys = [k for k in ("num_train", "num_val", "num_test") if before.get(k, now[k]) != now[k]]
    if keys:
        told = f"that can be read changed since its run began ({', '.join(f'{k} {before[k]} -> {now[k]}' for k in keys)})"
        raise RunError(f"the images of {experiment.name} {told}: put the old ones back, or make a new experiment")


def _check_unchanged(experiment: Experiment, before: dict[str, Any]) -> None:
    """Refuse to go on with a run whose experiment file changed since it began."""
    if not before:
        return
    began = parse(before["settings"])
    changed = {k: v for k, v in diff.diff(began, experiment.settings).items() if k not in diff.MAY_CHANGE}
    was = {k: v for k, v in diff.diff(experiment.settings, began).items() if k not in diff.MAY_CHANGE}
    if changed or was:
        raise RunError(
            f"{experiment.name}.yaml changed since its run began: {diff.assignments(changed)}. Put it back ({diff.assignments(was)}); "
            f"for the change, make a new experiment: `zhurnal new --from {experiment.name} {diff.assignments(changed)}`"
        )
    if before.get("continue") != experiment.continues:
        raise RunError(
            f"{experiment.name}.yaml changed since its run began: it continued {before.get('continue') or 'nothing'}, "
            f"now {experiment.continues or 'nothing'}. Put it back, or make a new experiment"
        )


@contextmanager
def _deterministic() -> Iterator[None]:
    """Choose algorithms that give the same result each time, where there is a choice."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(), torch.backends.cudnn.benchmark
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it would cost time and change nothing here
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = before[2]


def _train(settings: Train, experiment: Experiment, parts: Parts, at: Position, log: Log, checkpoints: Path, stop: Stop) -> None:
    """Train from where `at` says to the end, keeping `at` true at every step."""
    feed, model, optimizer = parts.feed, parts.model, parts.optimizer
    sums = torch.zeros(3, dtype=torch.float64, device=parts.device)  # this epoch's loss and number correct, and the loss since the last iter row
    sums.copy_(torch.tensor([at.loss_sum, at.correct, at.since_loss], dtype=torch.float64))
    saver = Saver(settings.checkpoint_seconds)
    options: dict[str, Any] = {"num_parts": settings.accumulate, "clip_grad_norm": settings.clip_grad_norm}
    mixing: dict[str, Any] = {"mixup": settings.mixup, "cutmix": settings.cutmix, "probability": settings.mix_probability}

    def save(patience: float = 0.0) -> None:
        at.loss_sum, at.correct, at.since_loss = float(sums[0]), int(sums[1]), float(sums[2])
        log.watcher.phase("saving")
        saver.save(lambda: log.checkpoint(at, lambda: state.save(checkpoints, at, model, optimizer, parts.ema), patience=patience))
        log.watcher.phase("training")

    log.watcher.begin(experiment.name, feed.seed, settings.epochs, feed.num_batches, at.epoch, at.batch)
    model.train()
    while at.epoch < settings.epochs and not _stops_early(settings, at):
        log.watcher.phase("training")
        began = time.monotonic() - at.seconds
        for images_NCHW, labels_N in feed.batches(at.epoch, at.batch):
            lr = _set_lr(experiment, parts, at, settings.epochs)
            draws = mix.draw(feed.seed, at.epoch, at.batch) if settings.mixup or settings.cutmix else []
            mixed = mix.mix(images_NCHW, labels_N, draws, **mixing)
            two: dict[str, Any] = {"partners_N": mixed.labels_b_N, "weight": mixed.weight}
            loss_sum, correct = train_step(model, optimizer, parts.loss, mixed.images_NCHW, mixed.labels_a_N, **two, **options)
            sums += torch.stack([loss_sum, correct, loss_sum]).to(torch.float64)
            at.batch, at.step = at.batch + 1, at.step + 1
            if parts.ema:
                parts.ema.update(model, at.step)
            at.seen, at.since_seen = at.seen + len(labels_N), at.since_seen + len(labels_N)
            if at.step % settings.log_every == 0:
                log.row({"kind": "iter", "step": at.step, "epoch": at.epoch + 1, "loss": float(sums[2]) / at.since_seen, "lr": lr})
                sums[2], at.since_seen = 0, 0
            log.watcher.step(at.epoch, at.batch, len(labels_N), lr)
            if stop.reason or saver.due():
                at.seconds = time.monotonic() - began
                save(PATIENCE if stop.reason else 0.0)
                if stop.reason:
                    raise Interrupted(stop.reason)
        if parts.device.type == "cuda":
            torch.cuda.synchronize(parts.device)  # else what is left of training would count as validation
        at.seconds = time.monotonic() - began
        try:
            _close_epoch(settings, parts, at, sums, log, checkpoints, stop)
        except Interrupted:
            save(PATIENCE)
            raise
        if follow(experiment.settings, model, optimizer, parts.frozen, at.epoch):
            log.warn(f"unfrozen from epoch {at.epoch + 1} on: model.freeze={experiment.settings.model.freeze}")
        is_last = at.epoch == settings.epochs or _stops_early(settings, at)
        if is_last or saver.due(at_epoch_end=True):
            save(PATIENCE if is_last else 0.0)
    _finish(experiment, parts, at, log, checkpoints, stop)


def _stops_early(settings: Train, at: Position) -> bool:
    """Return whether validation accuracy has not risen for as many epochs as the settings allow."""
    if settings.early_stopping is None or at.batch or not at.best_epoch:  # none: not begun, or its weights were lost and others are looked for
        return False
    return at.epoch - at.best_epoch >= settings.early_stopping


def _set_lr(experiment: Experiment, parts: Parts, at: Position, epochs: int) -> float:
    """Give every parameter group its learning rate for the next step; return that of the first."""
    settings = experiment.settings
    history = at.val_accs if getattr(settings.scheduler, "monitor", "") == "val_acc" else at.val_losses
    for group in parts.optimizer.param_groups:
        base = group.setdefault("initial_lr", group["lr"])
        group["lr"] = lr_at(settings.scheduler, base, step=at.step, steps_per_epoch=parts.feed.num_batches, epochs=epochs, history=history)
    return float(parts.optimizer.param_groups[0]["lr"])


def _close_epoch(settings: Train, parts: Parts, at: Position, sums: torch.Tensor, log: Log, checkpoints: Path, stop: Stop) -> None:
    """Validate, write the epoch's row, and keep the weights if they are the best so far."""
    model, epoch = parts.ema.model if parts.ema else parts.model, at.epoch + 1
    trained = time.monotonic()
    train_loss, train_acc, num_train = float(sums[0]) / at.seen, float(sums[1]) / at.seen, at.seen

    def measure(split: Any, tta: str = "none") -> Evaluation:
        return evaluate(model, parts.val_loss, split, parts.normalize, settings.batch_size_val, parts.device, stop.check, tta)

    if settings.train_accuracy == "second_pass":
        log.watcher.phase("measuring on the training images")
        again = measure(parts.data.train)
        train_loss, train_acc, num_train = again.loss, again.accuracy, len(parts.data.train)
    log.watcher.phase("validating")
    result = measure(parts.data.val, settings.tta)
    if result.accuracy > at.best_val_acc:
        log.watcher.phase("saving the best weights")
        at.best_sha256 = state.save_best(log.keeper, checkpoints, epoch, model)
        at.best_epoch, at.best_val_acc = epoch, result.accuracy
    log.watcher.phase("writing down")
    log.predictions(epoch, result, len(parts.data.classes))
    row = {"kind": "epoch", "epoch": epoch, "step": at.step, "lr": float(parts.optimizer.param_groups[0]["lr"])}
    row |= {"train_loss": train_loss, "train_acc": train_acc, "val_loss": result.loss, "val_acc": result.accuracy}
    row |= {"val_acc_tta": result.tta_accuracy} if result.tta_accuracy is not None else {}
    log.row(row | {"num_train": num_train, "num_val": len(parts.data.val)})
    val_seconds = time.monotonic() - trained
    seconds = at.seconds + val_seconds
    log.event(
        "time",
        epoch=epoch,
        seconds=round(seconds, 3),
        train_seconds=round(at.seconds, 3),
        val_seconds=round(val_seconds, 3),
        images_per_second=round(at.seen / max(at.seconds, 1e-9), 1),
        partial=at.partial,
    )
    at.val_losses.append(result.loss)
    at.val_accs.append(result.accuracy)
    at.epoch, at.batch, at.seen, at.seconds, at.partial = epoch, 0, 0, 0.0, False
    sums[0], sums[1] = 0, 0


def _finish(experiment: Experiment, parts: Parts, at: Position, log: Log, checkpoints: Path, stop: Stop) -> None:
    """Measure the best weights once on the test images, where there are some, and close the record."""
    log.check_whole(at)
    last = state.fingerprint(parts.model)
    if not at.best_epoch:
        raise RunError("its best weights are gone, and no epoch is left to find others: make a new experiment with these settings")
    if parts.data.test is not None:
        log.watcher.phase("testing the best weights")
        best = state.read_tensors(state.best_path(checkpoints, at.best_epoch), at.best_sha256)
        parts.model.load_state_dict(best)
        settings = experiment.settings.train
        result = evaluate(
            parts.model, parts.val_loss, parts.data.test, parts.normalize, settings.batch_size_val, parts.device, stop.check, settings.tta
        )
        row = {"kind": "test", "epoch": at.best_epoch, "step": at.step, "test_loss": result.loss, "test_acc": result.accuracy}
        row |= {"test_acc_tta": result.tta_accuracy} if result.tta_accuracy is not None else {}
        log.row(row | {"num_test": len(parts.data.test)})
    log.row({"kind": "end", "epoch": at.epoch, "step": at.step, "best_epoch": at.best_epoch, "best_val_acc": at.best_val_acc, "weights": last})
    log.check_whole(at)
