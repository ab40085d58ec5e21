"""`data` where it is clips: the settings that only video has, beside those of every data set.

A clip is a sample: `clip_length` frames, T x C x H x W.
"""

from typing import Annotated, Literal

from pydantic import Field

from .base import Float, Int, Section, Str
from .data import Data


class Video(Data):
    """Clips of frames."""

    clip_length: Annotated[Int, Field(ge=1, le=256)] = Field(8, description="frames of a clip")


class Clips(Video):
    """Videos of your own (mp4, avi, mov, mkv, webm, gif, or folders of frames), by class."""

    name: Str = "clips"
    clip_stride: Annotated[Int, Field(ge=1, le=256)] = Field(2, description="every how many frames of the video a clip has one")
    clips_per_video: Annotated[Int, Field(ge=1, le=64)] = Field(
        1, description="clips taken from each video, evenly spaced, each a sample of its own; 1 takes the middle"
    )


class MovingShapes(Video):
    """Clips of moving shapes, generated; the class is the direction of motion, which no single frame shows."""

    name: Str = "moving_shapes"
    directions: Literal[4, 8] = Field(4, description="classes: 4 (right, up, left, down) or 8 (diagonals too)")
    num_clips: Annotated[Int, Field(ge=80, le=1_000_000)] = Field(
        3000, description="clips generated; a fifth of them, stratified, are the test clips"
    )
    noise: Annotated[Float, Field(ge=0, le=1)] = Field(0.1, description="largest change of a pixel by noise, as part of full brightness")
    distractors: Annotated[Int, Field(ge=0, le=8)] = Field(1, description="shapes in each clip that stand still")
    shapes_seed: Annotated[Int, Field(ge=0)] = Field(0, description="seed of the generated clips")


VIDEO: dict[str, type[Section]] = {"clips": Clips, "moving_shapes": MovingShapes}
