"""What ended a run, told with the way out."""

import traceback
from pathlib import Path

import torch

from ..core.errors import Interrupted, RunError, ZhurnalError
from ..core.experiment import Experiment
from . import own
from .setup import Parts
from .state import Position
from .step import evaluate


def explain(error: BaseException, experiment: Experiment, parts: Parts, at: Position, saved: int) -> tuple[BaseException, str]:
    """Return what to tell of an error that ended a run, and the state the run is in; its last checkpoint is of step `saved`."""
    if isinstance(error, Interrupted):
        there = "there" if saved == at.step else f"step {saved}, for its state could not be saved after that"
        text = f"{experiment.name} stopped at step {at.step} ({error}); `zhurnal run {experiment.name}` goes on from {there}"
        return Interrupted(text), "interrupted"
    if isinstance(error, KeyboardInterrupt):
        return error, "interrupted"
    if isinstance(error, ValueError) and "Expected more than 1 value per channel" in str(error):
        if (num_parts := experiment.settings.train.accumulate) > 1:
            text = f"batch norm cannot train on one image, and some part of a batch has one ({len(parts.data.train)} training images in batches of "
            text += f"{parts.feed.batch_size}, each in {num_parts} parts): use another train.batch_size, fewer parts (train.accumulate)"
            return RunError(f"{text}, or train.drop_last=true where it is the last batch"), "failed"
        text = f"batch norm cannot train on a batch of one image, and the last batch of an epoch has one ({len(parts.data.train)} training images "
        return RunError(f"{text}in batches of {parts.feed.batch_size}): use train.drop_last=true or another train.batch_size"), "failed"
    if isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate" in str(error)):
        num_parts, what = experiment.settings.train.accumulate, str(error).splitlines()[0]
        if any(frame.name == evaluate.__name__ for frame in traceback.extract_tb(error.__traceback__)):
            text = f"there is not enough memory to validate {experiment.settings.train.batch_size_val} images at once ({what})"
            return RunError(f"{text}: take a smaller train.batch_size_val in a new experiment"), "failed"
        text = f"there is not enough memory for a training step on {parts.feed.batch_size} images ({what}): let it be computed in more parts"
        return RunError(f"{text}, such as train.accumulate={2 * num_parts}, in a new experiment, or take a smaller train.batch_size"), "failed"
    if isinstance(error, Exception) and not isinstance(error, ZhurnalError):
        for source in parts.sources.values():
            if any(Path(frame.filename) in source.files for frame in traceback.extract_tb(error.__traceback__)):
                return RunError(f"{source.spec} failed: {own.describe(error, source)}. Mend it and make a new experiment"), "failed"
    return error, "failed"
