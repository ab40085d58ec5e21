"""Transforms of images, applied to clips: every frame of a clip gets the same draws, so a clip is cropped, flipped or colored as a whole.

Promises: what a transform of images promises of an image holds of a clip (row n depends on clip n and its draws alone).

A flip turns motion around: where the class is a direction, as in `moving_shapes`, it makes a wrong label. That is why `data.transform` is `init`
by default.

Legend: N clips, T frames, C channels, H height, W width, D draws.
"""

import torch
from torch import Tensor

from .transforms import Transform

MOST_SHOWN = 8  # frames of a clip


def strips(images: Tensor) -> Tensor:
    """Return images_NCHW to look at: clips_NTCHW with their frames side by side, at most 8, evenly spaced; images as they are."""
    if images.ndim == 4:
        return images
    length = images.shape[1]
    shown = torch.arange(min(length, MOST_SHOWN)) * length // min(length, MOST_SHOWN)
    return torch.cat(images[:, shown].unbind(1), -1)


def for_clips(transform: Transform) -> Transform:
    """Return a transform uint8 clips_NTCHW -> clips_NTCHW that does to all frames of a clip what `transform` does to an image with its draws."""

    def apply(clips_NTCHW: Tensor, draws_ND: Tensor) -> Tensor:
        num_frames = clips_NTCHW.shape[1]
        changed = transform.apply(clips_NTCHW.flatten(0, 1), draws_ND.repeat_interleave(num_frames, 0))
        return changed.view(clips_NTCHW.shape)

    return Transform(transform.num_draws, apply, transform.alternating)
