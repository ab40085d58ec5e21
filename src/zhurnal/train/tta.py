"""Test-time augmentation: what a network says of an image, averaged over views of it. Reported beside the plain figure, never instead of it.

Views and their weights are those of airbench (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", `infer_mirror_translate`).
"""

import torch.nn.functional as F
from torch import Tensor, nn

# The number of times the network looks at an image.
NUM_VIEWS = {"none": 1, "flip": 2, "flip_shift": 6}


def tta_logits(model: nn.Module, images_NCHW: Tensor, kind: str, plain_NK: Tensor | None = None) -> Tensor:
    """Return logits_NK averaged over views of normalized images; the model must be in evaluation mode.

    Args:
        model: images_NCHW float32 -> logits_NK.
        images_NCHW: normalized images, or clips, whose frames are all changed alike.
        kind: `none`: the image itself. `flip`: and its mirror image. `flip_shift`: these two, and both again shifted by a pixel to the lower
            right and to the upper left, with the border mirrored; the two that are not shifted make up half of the mean.
        plain_NK: what the model says of the images themselves, where that is known; else it is asked.
    """
    plain_NK = model(images_NCHW) if plain_NK is None else plain_NK
    if kind == "none":
        return plain_NK
    mean_NK: Tensor = (plain_NK + model(images_NCHW.flip(-1))) / 2
    if kind == "flip":
        return mean_NK
    height, width = images_NCHW.shape[-2:]
    padded = F.pad(images_NCHW.flatten(0, -4), (1, 1, 1, 1), "reflect").view(*images_NCHW.shape[:-2], height + 2, width + 2)
    shifted_NK = (tta_logits(model, padded[..., :height, :width], "flip") + tta_logits(model, padded[..., 2:, 2:], "flip")) / 2
    return (mean_NK + shifted_NK) / 2
