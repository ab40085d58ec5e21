"""Progressive resizing: small images in the first epochs, which cost less, growing to their full size before the end.

Promises: the size is a function of the epoch alone, so a run that goes on has the sizes of one that was never stopped; validation sees full size.

Source: Howard 2018, "Training Imagenet in 3 hours for 25 minutes" (fast.ai); the names and the growth by four pixels are of MosaicML Composer's
ProgressiveResizing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.errors import RunError

INCREMENT = 4  # pixels


def size_at(epoch: int, epochs: int, size: tuple[int, int], initial_scale: float, finetune_fraction: float) -> tuple[int, int]:
    """Return the height and width of training images in an epoch (from 0): growing evenly to full size, which the last epochs all have.

    >>> [size_at(epoch, 10, (32, 32), 0.5, 0.2)[0] for epoch in range(10)]
    [16, 16, 20, 20, 24, 24, 28, 28, 32, 32]
    """
    growing = epochs * (1 - finetune_fraction)
    scale = initial_scale + (1 - initial_scale) * (min(1.0, epoch / growing) if growing > 0 else 1.0)
    height, width = (side if scale >= 1 else max(1, min(side, int(side * scale / INCREMENT) * INCREMENT or INCREMENT)) for side in size)
    return height, width


def resize(images_NCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Return images in a size, filtered so that fine patterns do not alias; those that have it as they are."""
    if tuple(images_NCHW.shape[-2:]) == size:
        return images_NCHW
    return functional.interpolate(images_NCHW, size, mode="bilinear", antialias=True, align_corners=False)


def check(model: nn.Module, image: tuple[int, ...], size: tuple[int, int], device: torch.device) -> None:
    """Raise RunError where a network does not take images smaller than those it was made for."""
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(2, *image[:-2], *size, device=device))
    except Exception as error:  # of any network
        raise RunError(
            f"train.initial_scale makes images of {size[0]}x{size[1]} pixels in the first epochs, which this network does not take "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}): use train.initial_scale=1, or a network for images of any "
            "size, such as airnet or resnet18"
        ) from error
    finally:
        model.train(training)
