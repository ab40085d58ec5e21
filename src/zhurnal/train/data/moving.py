"""The data set `moving_shapes`: generated clips, whose class is the direction in which a shape moves.

Promises: the same clips, to the bit, for the same settings on any machine (whole numbers only, counter-based); no frame alone tells its class: a
shape starts anywhere and leaves on one side to enter on the other, so its place, size and brightness say nothing of where it goes; a clip does not
depend on how many others there are.

Legend: N clips, T frames, C channels, S height and width.
"""

import hashlib
from dataclasses import replace

import numpy as np
import torch

from ...core.errors import DataError
from ...core.settings import MovingShapes
from .. import random
from . import splits
from .builtin import from_arrays
from .loaded import Loaded

VERSION = 1  # of how shapes move: one more when it changes
TEST_PART = 0.2
SIZE = 32  # pixels, where data.image_size is none
SMALLEST = 16
# Direction -> step to the right and step down, in units of 1/70 of the speed; (50, 50) is as long as (70, 0), within 1 %.
DIRECTIONS_4 = {"right": (70, 0), "up": (0, -70), "left": (-70, 0), "down": (0, 70)}
DIRECTIONS_8 = {
    "right": (70, 0), "up-right": (50, -50), "up": (0, -70), "up-left": (-50, -50),
    "left": (-70, 0), "down-left": (-50, 50), "down": (0, 70), "down-right": (50, 50),
}  # fmt: skip
_UNIT = 70
_NUM_DRAWS = 16  # of the moving shape; each distractor takes as many again
_CHUNK = 500  # clips drawn at once


def load(data: MovingShapes) -> Loaded:
    """Return the clips; a stratified fifth of them, the same for every seed of the split, are the test clips.

    Raises:
        DataError: frames smaller than 16 pixels.
    """
    size = data.image_size or SIZE
    if size < SMALLEST:
        raise DataError(f"data.image_size is {size}, must be at least {SMALLEST} for data moving_shapes: its shapes would be dots")
    directions = DIRECTIONS_4 if data.directions == 4 else DIRECTIONS_8
    clips_NTCHW = np.empty((data.num_clips, data.clip_length, data.channels or 1, size, size), np.uint8)
    for start in range(0, data.num_clips, _CHUNK):
        part = clips_NTCHW[start : start + _CHUNK]
        _draw(part, np.arange(start, start + len(part)), list(directions.values()), data)
    labels_N = torch.arange(data.num_clips) % data.directions
    is_test_N = torch.zeros(data.num_clips, dtype=torch.bool)
    is_test_N[splits.hold_out(labels_N, TEST_PART, splits.FIXED_SEED)[1]] = True
    loaded = from_arrays("moving_shapes", tuple(directions), torch.from_numpy(clips_NTCHW), labels_N, is_test_N)
    # Longer clips are the same shapes for longer: a first frame tells all but the motion, and the version stands for that.
    digest = hashlib.sha256(f"moving_shapes {VERSION}".encode())
    for array in (clips_NTCHW[:, 0], labels_N.numpy(), is_test_N.numpy()):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return replace(loaded, fingerprint=digest.hexdigest())


def _draw(clips_MTCHW: np.ndarray, numbers_M: np.ndarray, steps: list[tuple[int, int]], data: MovingShapes) -> None:
    """Fill the clips numbered `numbers_M`: a background, shapes that stand still, the one that moves, and noise."""
    num, length, channels, size, _ = clips_MTCHW.shape
    draws_MD = random.bits(data.shapes_seed, random.SHAPES, 0, numbers_M, _NUM_DRAWS * (1 + data.distractors)) >> np.uint64(40)
    draws_MD = draws_MD.astype(np.int64)  # 24 bits

    def below(column: int, low: int, high: int) -> np.ndarray:
        """Return whole numbers from `low` to `high` - 1."""
        drawn: np.ndarray = low + (draws_MD[:, column] * (high - low) >> 24)
        return drawn

    background_MC = np.stack([below(12 + c, 0, 96) for c in range(channels)], 1)
    still_MCHW = np.broadcast_to(background_MC[:, :, None, None], (num, channels, size, size)).astype(np.int16)
    for distractor in range(1, 1 + data.distractors):
        first = _NUM_DRAWS * distractor
        mask_MHW = _shape(below(first, 0, 4), below(first + 1, size // 10, size // 5 + 1), below(first + 2, 0, size), below(first + 3, 0, size), size)
        color_MC = np.stack([below(first + 4 + c, 128, 256) for c in range(channels)], 1)
        still_MCHW = np.where(mask_MHW[:, None], color_MC[:, :, None, None], still_MCHW).astype(np.int16)
    kind_M, radius_M = below(0, 0, 4), below(1, size // 10, size // 5 + 1)
    color_MC = np.stack([below(4 + c, 128, 256) for c in range(channels)], 1).astype(np.int16)
    # 1 to 2 pixels a frame where a frame has 32, in 1/64 of a pixel.
    speed_M = below(7, 64 * size // SIZE, 128 * size // SIZE + 1)
    step_M2 = np.array(steps)[numbers_M % len(steps)]
    strength = round(255 * data.noise)
    for t in range(length):
        x_M, y_M = ((below(2 + i, 0, size) + _round(speed_M * step_M2[:, i] * t, 64 * _UNIT)) % size for i in range(2))
        frame_MCHW = np.where(_shape(kind_M, radius_M, x_M, y_M, size)[:, None], color_MC[:, :, None, None], still_MCHW)
        if strength:
            num_words = -(-channels * size * size // 8)
            words_MD = random.bits(data.shapes_seed, random.SHAPES_NOISE, t, numbers_M, num_words)
            noise_MCHW = words_MD.astype("<u8").view(np.uint8)[:, : channels * size * size].reshape(frame_MCHW.shape).astype(np.int16)
            frame_MCHW = np.clip(frame_MCHW + ((noise_MCHW - 128) * strength >> 7), 0, 255)
        clips_MTCHW[:, t] = frame_MCHW


def _round(values: np.ndarray, unit: int) -> np.ndarray:
    """Return values / unit, rounded to the nearest whole number, half away from zero: left is the mirror image of right."""
    rounded: np.ndarray = np.sign(values) * ((np.abs(values) + unit // 2) // unit)
    return rounded


def _shape(kind_M: np.ndarray, radius_M: np.ndarray, x_M: np.ndarray, y_M: np.ndarray, size: int) -> np.ndarray:
    """Return which pixels (M, S, S) belong to a square, disc, diamond or cross (0 to 3) around (x, y); the edges of a frame are joined."""
    at_S = np.arange(size)
    half = size // 2
    dx_M1S = np.abs((at_S[None, :] - x_M[:, None] + half) % size - half).astype(np.int16)[:, None, :]
    dy_MS1 = np.abs((at_S[None, :] - y_M[:, None] + half) % size - half).astype(np.int16)[:, :, None]
    r_M11, kind_M11 = radius_M.astype(np.int16)[:, None, None], kind_M[:, None, None]
    square = np.maximum(dx_M1S, dy_MS1) <= r_M11
    disc = dx_M1S * dx_M1S + dy_MS1 * dy_MS1 <= r_M11 * r_M11
    diamond = dx_M1S + dy_MS1 <= r_M11
    cross = square & (np.minimum(dx_M1S, dy_MS1) <= r_M11 // 3)
    return np.select([kind_M11 == 0, kind_M11 == 1, kind_M11 == 2], [square, disc, diamond], cross)
