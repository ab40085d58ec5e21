"""One training step, one epoch's batches, and one evaluation pass: all of training on a screen.

N images in a batch, C channels, H height, W width, K classes.

No line of a step waits for the device: sums stay there, and are read when a row is logged.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import random
from .data import Split
from .mix import mixed_losses
from .resize import resize
from .transforms import Transform, draw
from .tta import tta_logits

Losses = Callable[[Tensor, Tensor], Tensor]  # logits_NK, labels_N -> losses_N
Normalizer = Callable[[Tensor], Tensor]  # images_NCHW uint8 or float in 0..255 -> float32


@dataclass(frozen=True)
class Feed:
    """What training images go through on their way to the network."""

    split: Split
    transform: Transform
    normalize: Normalizer
    seed: int
    batch_size: int
    drop_last: bool
    device: torch.device
    ahead: bool  # prepare the next batch in a thread while this one trains: for images decoded on the way, and where a core is spare
    size: Callable[[int], tuple[int, int]] | None = None  # height and width of the images of an epoch, where they grow
    at_once: int = 1  # batches that are taken and augmented together

    @property
    def num_batches(self) -> int:
        """Training steps in an epoch."""
        whole, rest = divmod(len(self.split), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def batch(self, positions_N: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Return augmented, normalized images_NCHW and labels_N."""
        return next(self.prepare([positions_N], epoch))

    def prepare(self, parts: Sequence[Tensor], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield augmented, normalized images_NCHW and labels_N of each of `parts`, positions_N.

        All parts are augmented at once, for what was cold in the caches after a step is then met once; each image depends on (seed, epoch, its own
        number) alone, so the result is the same.
        """
        images_NCHW, labels_N, numbers_N = self.split.take(torch.cat(list(parts)))
        draws_ND = draw(self.transform, self.seed, epoch, numbers_N)
        images_NCHW = self.transform.apply(images_NCHW.to(self.device), draws_ND.to(self.device))
        sizes = [len(p) for p in parts]
        for part_NCHW, part_N in zip(images_NCHW.split(sizes), labels_N.to(self.device).split(sizes), strict=True):
            normal_NCHW = self.normalize(part_NCHW)
            yield resize(normal_NCHW, self.size(epoch)) if self.size else normal_NCHW, part_N

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an epoch from number `start` on, in the order that (seed, epoch) gives."""
        order = random.permutation(self.seed, random.ORDER, epoch, len(self.split))
        parts = [order[b * self.batch_size : (b + 1) * self.batch_size] for b in range(start, self.num_batches)]
        groups = [parts[i : i + self.at_once] for i in range(0, len(parts), self.at_once)]
        if not self.ahead:
            for group in groups:
                yield from self.prepare(group, epoch)
            return
        threads = torch.get_num_threads()
        with ThreadPoolExecutor(1) as thread:
            thread.submit(torch.set_num_threads, 1).result()  # of that thread; the call also changes what new threads get
            torch.set_num_threads(threads)
            coming = [thread.submit(list, self.prepare(g, epoch)) for g in groups[:2]]
            for g in groups[2:]:
                yield from coming.pop(0).result()
                coming.append(thread.submit(list, self.prepare(g, epoch)))
            for future in coming:
                yield from future.result()


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Losses,
    images_NCHW: Tensor,
    labels_N: Tensor,
    *,
    partners_N: Tensor | None = None,
    weight: float = 1.0,
    num_parts: int = 1,
    clip_grad_norm: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Update the model by one batch; return the sum of its losses and the number it had right, both left on the device.

    Images mixed of two (mix.py) have `weight` of the loss of their labels, the rest of that of their partners', and count as the heavier of the two.
    The gradient is that of the mean loss over the batch, computed in `num_parts` parts of it, and scaled down to the norm `clip_grad_norm`.
    """
    optimizer.zero_grad(set_to_none=True)
    loss_sum, correct = torch.zeros((), device=images_NCHW.device), torch.zeros((), dtype=torch.int64, device=images_NCHW.device)
    others_N = labels_N if partners_N is None else partners_N
    for part_NCHW, part_N, other_N in zip(images_NCHW.chunk(num_parts), labels_N.chunk(num_parts), others_N.chunk(num_parts), strict=True):
        logits_NK = model(part_NCHW)
        part_sum = mixed_losses(loss, logits_NK, part_N, other_N, weight).sum()
        (part_sum / len(labels_N)).backward()
        loss_sum += part_sum.detach()
        correct += (logits_NK.detach().argmax(1) == (part_N if weight >= 0.5 else other_N)).sum()
    if clip_grad_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip_grad_norm)
    optimizer.step()
    return loss_sum, correct


@dataclass(frozen=True)
class Evaluation:
    """A pass over images without learning."""

    loss: float  # mean over images
    accuracy: float  # in [0, 1]
    losses_N: Tensor  # float32, in the order of the split
    predicted_N: Tensor  # int64
    confidence_N: Tensor  # float32, the probability of the predicted class
    tta_accuracy: float | None = None  # of the mean over views, where that is measured too


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loss: Losses,
    split: Split,
    normalize: Normalizer,
    batch_size: int,
    device: torch.device,
    each: Callable[[int], None] = lambda images: None,
    tta: str = "none",
) -> Evaluation:
    """Measure the model on a split, in evaluation mode; `each` is called with the number of images done in a batch."""
    training = model.training
    model.eval()
    losses, predicted, confidence, of_views = [], [], [], []
    for positions_N in torch.arange(len(split)).split(batch_size):
        images_NCHW, labels_N, _ = split.take(positions_N)
        images_NCHW = normalize(images_NCHW.to(device))
        logits_NK = model(images_NCHW)
        losses.append(loss(logits_NK, labels_N.to(device)))
        predicted.append(logits_NK.argmax(1))
        confidence.append(logits_NK.softmax(1).gather(1, predicted[-1][:, None])[:, 0])
        if tta != "none":
            of_views.append(tta_logits(model, images_NCHW, tta, logits_NK).argmax(1).cpu())
        each(len(positions_N))
    model.train(training)
    losses_N, confidence_N, predicted_N = torch.cat(losses).float().cpu(), torch.cat(confidence).float().cpu(), torch.cat(predicted).cpu()
    correct = int((predicted_N == split.labels_N).sum())
    tta_accuracy = float((torch.cat(of_views) == split.labels_N).double().mean()) if of_views else None
    return Evaluation(float(losses_N.double().mean()), correct / len(split), losses_N, predicted_N, confidence_N, tta_accuracy)
