"""`train`: how long, in which batches, on what."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from .base import Bool, Float, Int, Section, Str


def _known_device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError(f"'{value}' is none of auto, cpu, cuda or cuda:1")
    return value


class Train(Section):
    """How long, in which batches, on what."""

    epochs: Annotated[Int, Field(gt=0, le=1_000_000)] = Field(10, description="passes over the training images")
    batch_size: Annotated[Int, Field(gt=0, le=1_000_000)] = Field(128, description="images in a training step")
    batch_size_val: Annotated[Int, Field(gt=0, le=1_000_000)] = Field(256, description="images in a validation step; changes speed, not results")
    drop_last: Bool = Field(False, description="leave out the last batch of an epoch when it is smaller")
    accumulate: Annotated[Int, Field(gt=0, le=1024)] = Field(
        1, description="compute the gradient of a batch in this many parts, to save memory; batch_size stays that of a step"
    )
    clip_grad_norm: Annotated[Float, Field(gt=0)] | None = Field(None, description="scale gradients down to at most this norm; none leaves them")
    ema: Annotated[Float, Field(ge=0, lt=1)] = Field(
        0.0, description="decay of a moving average of the weights, which is then what validation measures and keeps; 0 for none"
    )
    early_stopping: Annotated[Int, Field(gt=0)] | None = Field(
        None, description="stop when validation accuracy has not risen for this many epochs; none trains all epochs"
    )
    mixup: Annotated[Float, Field(ge=0, le=100)] = Field(
        0.0, description="mix images of a batch in pairs, by a weight of Beta(alpha, alpha) with this alpha; 0 for none"
    )
    cutmix: Annotated[Float, Field(ge=0, le=100)] = Field(
        0.0, description="put a box of another image of the batch into each, sized by a weight of Beta(alpha, alpha); 0 for none"
    )
    mix_probability: Annotated[Float, Field(gt=0, le=1)] = Field(
        1.0, description="probability that a batch is mixed; with mixup and cutmix, each of the two is as likely"
    )
    initial_scale: Annotated[Float, Field(gt=0, le=1)] = Field(
        1.0, description="begin with training images of this part of their height and width, which cost less, and let them grow; 1 for full size"
    )
    finetune_fraction: Annotated[Float, Field(ge=0, lt=1)] = Field(
        0.2, description="last part of the epochs in which training images have their full size; for initial_scale below 1"
    )
    tta: Annotated[Literal["none", "flip", "flip_shift"], BeforeValidator(lambda value: value or "none")] = Field(
        "none", description="also measure the mean over views of each image: flip 2, flip_shift 6 of them; beside the plain figure, never instead"
    )
    train_accuracy: Literal["running", "second_pass"] = Field(
        "running", description="measure training accuracy while training, or by a second pass over the training images after each epoch"
    )
    log_every: Annotated[Int, Field(gt=0)] = Field(10, description="iterations between two rows of the running loss")
    device: Annotated[Str, AfterValidator(_known_device)] = Field("auto", description="auto, cpu, cuda or cuda:1")
    num_threads: Annotated[Int, Field(ge=0, le=1024)] = Field(0, description="processor threads; 0 measures what is fastest, where training is long")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="numbers that convolutions and matrix products compute in; weights, batch norm's statistics and losses stay float32. bfloat16 is "
        "faster where the processor or GPU has it, and rounds more",
    )
    memory_format: Literal["auto", "contiguous", "channels_last"] = Field(
        "auto", description="layout of images and weights in memory; auto measures which is faster, where training is long"
    )
    checkpoint_seconds: Annotated[Float, Field(ge=0)] = Field(
        10.0, description="save the state for resume so many seconds apart; less often where saving takes more than 1 % of the time"
    )
    tensorboard: Bool = Field(True, description="write TensorBoard events beside the record")
