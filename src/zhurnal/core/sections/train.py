"""`train`: how long, in which batches, on what."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Bool, Float, Int, Section, Str


class Train(Section):
    """How long, in which batches, on what."""

    epochs: Annotated[Int, Field(gt=0, le=1_000_000)] = Field(10, description="passes over the training images")
    batch_size: Annotated[Int, Field(gt=0, le=1_000_000)] = Field(128, description="images in a training step")
    batch_size_val: Annotated[Int, Field(gt=0, le=1_000_000)] = Field(256, description="images in a validation step; changes speed, not results")
    drop_last: Bool = Field(False, description="leave out the last batch of an epoch when it is smaller")
    train_accuracy: Literal["running", "second_pass"] = Field(
        "running", description="measure training accuracy while training, or by a second pass over the training images after each epoch"
    )
    log_every: Annotated[Int, Field(gt=0)] = Field(10, description="iterations between two rows of the running loss")
    device: Annotated[Str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = Field("auto", description="auto, cpu, cuda or cuda:1")
    num_threads: Annotated[Int, Field(ge=0, le=1024)] = Field(0, description="processor threads; 0 takes PyTorch's default")
    checkpoint_seconds: Annotated[Float, Field(ge=0)] = Field(10.0, description="save the state for resume this often, in seconds")
    tensorboard: Bool = Field(True, description="write TensorBoard events beside the record")
