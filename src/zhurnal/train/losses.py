"""What is minimized. To add a loss: a function `(logits_NK, labels_N, *, option=...) -> losses_N`, a line in `LOSSES`, a class in `core/sections/`.

Promises: one loss for each image, never a mean, so that the caller can average over images (not over batches of unlike size) and keep each.

Shapes: N images, K classes; labels_N int64, losses_N of the logits' type.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..core import settings
from ..core.errors import RunError, ZhurnalError
from .own import Own, call_own, check_arguments, describe, find

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def cross_entropy(
    logits_NK: torch.Tensor, labels_N: torch.Tensor, *, label_smoothing: float = 0.0, class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Return losses_N, the cross-entropy of each image in nats, against labels of which `label_smoothing` is spread over all K classes.

    `class_weights` (K) multiplies the part of each class, as torch.nn.CrossEntropyLoss(weight=..., reduction="none").
    """
    weights_K = None if class_weights is None else class_weights.to(logits_NK)  # a copy only where they are elsewhere
    return F.cross_entropy(logits_NK, labels_N, weights_K, reduction="none", label_smoothing=label_smoothing)


def weigh_classes(weights: str | Sequence[float], labels_N: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return weights_K, float32, scaled to 1 on average over the training images, so that a learning rate keeps its meaning.

    Args:
        weights: `balanced` (N / (K * images of the class), scikit-learn's rule; 0 for a class without images), or a weight for each class.
        labels_N: labels of the training images, int64.
        num_classes: K.

    Raises:
        RunError: there is not one weight for each class.
    """
    counts_K = torch.bincount(labels_N.cpu(), minlength=num_classes).double()
    if isinstance(weights, str):
        weights_K = torch.where(counts_K > 0, len(labels_N) / (num_classes * counts_K.clamp(min=1)), 0.0)
    elif len(weights) != num_classes:
        raise RunError(f"loss.class_weights has {len(weights)} weights, must have one for each of the {num_classes} classes")
    else:
        weights_K = torch.tensor(list(weights), dtype=torch.float64)
    return (weights_K * len(labels_N) / (weights_K * counts_K).sum()).float()


LOSSES: dict[str, Callable[..., torch.Tensor]] = {"cross_entropy": cross_entropy}


def make_loss(
    loss: settings.Loss,
    base: Path,
    *,
    training: bool = True,
    labels_N: torch.Tensor | None = None,
    num_classes: int | None = None,
    device: torch.device | None = None,
) -> Loss:
    """Return a function (logits_NK, labels_N) -> losses_N.

    A loss of the user's own is either a function, called as `focal(logits_NK, labels_N, **options)`, or a class, made once as `Focal(**options)` and
    then called with the two.

    Args:
        loss: the section `loss` of the settings.
        base: the lab's folder, to which the path of a loss of the user's own is relative.
        training: False leaves out label smoothing and class weights, which are part of training: validation losses then compare between experiments.
        labels_N: labels of the training images, which class weights are computed of; needed for these alone.
        num_classes: K, needed for class weights alone.
        device: where logits will be, for class weights.

    Raises:
        SettingsError: a loss of the user's own that is not there or does not take its options.
        RunError: it cannot be made, as where there is not one class weight for each class; and, when called, it failed or did not return one loss
            for each image.
    """
    options = loss.options()
    own = find("loss", loss.name, base)
    if own is not None:
        return _own_loss(own, options)
    if not training:
        options.pop("label_smoothing", None)
        options.pop("class_weights", None)
    if options.get("class_weights") is not None:
        if labels_N is None or num_classes is None:
            raise RunError("loss.class_weights needs the labels of the training images: make_loss(..., labels_N=..., num_classes=...)")
        options["class_weights"] = weigh_classes(options["class_weights"], labels_N, num_classes).to(device)
    return partial(LOSSES[loss.name], **options)


def _own_loss(own: Own, options: dict[str, Any]) -> Loss:
    if isinstance(own.function, type):
        function = call_own(own, "loss", options)
        held = [name for name, p in function.named_parameters() if p.requires_grad] if isinstance(function, nn.Module) else []
        if held:
            raise RunError(
                f"loss {own.spec} has parameters of its own that want a gradient ({', '.join(held[:4])}), which nothing trains or saves: make them "
                "part of the model, or constants (requires_grad=False)"
            )
    else:
        check_arguments(own, "loss", [*options], num_given=2)
        function = partial(own.function, **options)

    def losses(logits_NK: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        if isinstance(function, nn.Module):
            function.to(logits_NK.device)
        try:
            losses_N = function(logits_NK, labels_N)
        except ZhurnalError:
            raise
        except Exception as error:
            raise RunError(f"{describe(error, own)} (loss {own.spec} of logits of shape {tuple(logits_NK.shape)})") from error
        if not isinstance(losses_N, torch.Tensor) or losses_N.shape != labels_N.shape:
            got = f"a tensor of shape {tuple(losses_N.shape)}" if isinstance(losses_N, torch.Tensor) else f"a {type(losses_N).__name__}"
            rule = f"must return one loss for each image, shape {tuple(labels_N.shape)}: use reduction='none', and no mean"
            raise RunError(f"loss {own.spec} returns {got} for {len(labels_N)} images, {rule}")
        return losses_N

    return losses
