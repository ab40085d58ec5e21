"""`zhurnal bench`: what it prints, draws and keeps."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..api import Lab
from ..core.errors import LabError
from ..core.text import count, duration, percent, printable
from ..store import files
from .console import Console
from .profiling import quiet_profiler, tell_operators, tell_parts, terminal_width
from .running import Bars
from .showing import print_table

NARROW, NARROWEST = 88, 60  # columns of a terminal


def bench(folder: str | None, name: str | None, *, seconds: float, operators: bool, as_json: bool, out: str | None, download: bool) -> int:
    """Measure, print, keep and draw; return the exit status, 130 where it was stopped and only a part was measured."""
    lab = _lab(folder, name)
    if name is not None and lab is not None:
        (name,) = lab.select(name)[:1]
    quiet_profiler()
    from ..train import machine

    found = machine.begin(lab, name)
    bars = Bars(Console(stderr=True), quiet=False)
    with bars.progress:
        try:
            machine.measure(found, lab if name else None, seconds=seconds, operators=operators, watcher=_Watcher(bars), download=download)
        except KeyboardInterrupt:
            found.notes.append("stopped: this is what was measured before")
    told = found.to_dict()
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _tell(told)
    place = Path(out) if out else lab.cache / "bench" if lab else None
    if place is not None and found.complete:
        _keep(place, name or "bench", told, figures_on_stderr=as_json)
    return 0 if found.complete else 130


class _Watcher:
    """Tells `Bars` how far it is; see `train.watch.Watcher`. Nothing else is told of a measurement."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars

    def progress(self, task: str, done: int, total: int) -> None:
        self.bars.progress_of(task, done, total)

    def begin(self, experiment: str, seed: int, epochs: int, batches: int, epoch: int, batch: int) -> None: ...

    def step(self, epoch: int, batch: int, images: int, lr: float) -> None: ...

    def row(self, row: dict[str, Any]) -> None: ...

    def phase(self, name: str) -> None: ...

    def note(self, text: str) -> None: ...


def _lab(folder: str | None, name: str | None) -> Lab | None:
    """Return the lab one is in; none is needed where no experiment is named."""
    try:
        return Lab(folder) if folder else Lab(Lab.find().folder)
    except LabError:
        if folder or name:
            raise
        return None


def _keep(place: Path, stem: str, told: dict[str, Any], *, figures_on_stderr: bool) -> None:
    from ..analyze import bench as figure

    place.mkdir(parents=True, exist_ok=True)
    files.write(place / f"{stem}.json", json.dumps(told, indent=2) + "\n")
    click.echo(os.path.relpath(place / f"{stem}.json"), err=figures_on_stderr)
    for path in figure.draw(place, stem, told):
        if path.suffix == ".png":
            click.echo(f"{os.path.relpath(path)} (and .svg)", err=figures_on_stderr)


def _tell(told: dict[str, Any]) -> None:
    machine = told["machine"]
    load = f", load average {told['load']:.1f}" if told["load"] is not None else ""
    click.echo(f"{printable(machine['processor'])}, {count(told['cores'], 'core')}{load}, PyTorch {machine['torch']}")
    if machine["device"] != "cpu":
        click.echo(printable(machine["device"]))
    for note in told["notes"]:
        click.secho(f"note: {note}", fg="yellow")
    for peak in told["peaks"]:
        where = f"on {count(peak['threads'], 'thread')}" if peak["device"] == "cpu" else f"on {peak['device']}"
        click.echo(f"peak in {peak['precision']} {where}: {peak['gflops']:,.1f} GFLOP/s ({peak['kind']})")
    if told["pipelines"]:
        speeds = ", ".join(f"{p['images_per_second']:,.0f} images/s on {count(p['threads'], 'thread')}" for p in told["pipelines"])
        click.echo(f"data pipeline: {speeds} ({told['pipeline_of']})")
    if told["speeds"]:
        click.echo("\ntraining step (NHWC: channels last; bf16: train.precision=bfloat16)")
        _steps(told["speeds"], terminal_width())
    if epoch := told["epoch"]:
        seen = f"measured on {epoch['steps_measured']} of {count(epoch['steps'], 'step')}, {epoch['val_measured']:,} of {epoch['val']:,} val. images"
        title = f"{epoch['model']}, {count(epoch['threads'], 'thread')}, batches of {epoch['batch']}, {duration(epoch['seconds'])}"
        click.echo(f"\nwhere the time of an epoch goes: {title} ({seen})")
        tell_parts([(p["name"], p["seconds"]) for p in epoch["parts"]])
    if told["operators"]:
        click.echo("\noperators")
        tell_operators([(o["name"], o["calls"], o["seconds"], o["share"]) for o in told["operators"]])


def _steps(speeds: Sequence[dict[str, Any]], width: int) -> None:
    """Print the training steps, the fastest of each network marked; a narrow terminal gets the columns that matter most."""
    rows = []
    for speed in speeds:
        step = speed["step"]
        images = step["batch"] / step["seconds"]
        same = [s for s in speeds if s["model"] == speed["model"]]
        fastest = len(same) > 1 and images == max(s["step"]["batch"] / s["step"]["seconds"] for s in same)
        layout = ("NHWC" if step["channels_last"] else "NCHW") + (" bf16" if step["precision"] == "bfloat16" else "")
        share = f"{percent(speed['of_peak'], 0)} %" if speed["of_peak"] is not None else "–"
        many = f"{images:,.0f}" if images >= 100 else f"{images:.1f}"
        name, threads, mark = speed["model"], str(step["threads"]), "fastest" if fastest else ""
        if width < NARROWEST:
            rows.append([f"{name} {threads} {layout}", many, share, mark[:1] and "*"])
        elif width < NARROW:
            rows.append([name, threads, layout, many, share, mark])
        else:
            rows.append([name, str(step["batch"]), threads, layout, f"{1000 * step['seconds']:,.1f}", many, f"{speed['gflops']:,.1f}", share, mark])
    if width < NARROWEST:
        print_table(["network", "images/s", "of peak", ""], rows, right=(1, 2), shrink=(0,))
    elif width < NARROW:
        print_table(["network", "threads", "layout", "images/s", "of peak", ""], rows, right=(1, 3, 4), shrink=(0,))
    else:
        headings = ["network", "batch", "threads", "layout", "ms", "images/s", "GFLOP/s", "of peak", ""]
        print_table(headings, rows, right=(1, 2, 4, 5, 6, 7), shrink=(0,))
