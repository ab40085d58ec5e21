"""What every part keeps to, as functions that try one and return findings: used by the tests of the built-in parts and by `zhurnal check`.

Each function takes a way to make the part and returns a `Finding` for each promise, in order; a promise that depends on a broken one may be absent.

Shapes: N images, C channels, H height, W width, K classes, D draws.
"""

import copy
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..core.errors import ZhurnalError
from ..core.text import printable
from . import random
from .data import Prepared
from .transforms import Transform

Shape = tuple[int, int, int]
SHAPES: tuple[Shape, ...] = ((3, 32, 32), (1, 28, 28))
CLASSES = 10


@dataclass(frozen=True)
class Finding:
    """A promise, and what breaks it (empty where it is kept)."""

    promise: str
    problem: str = ""


class Broken(Exception):
    """A promise is not kept; the text says how."""


def problems(findings: Sequence[Finding]) -> list[str]:
    """Return the broken promises as texts."""
    return [f"{f.promise}: {f.problem}" for f in findings if f.problem]


def attempt(promise: str, work: Callable[[], object]) -> Finding:
    """Return what came of one promise: whatever a part of the user's own raises is a finding."""
    try:
        work()
    except (Broken, ZhurnalError) as error:
        return Finding(promise, printable(str(error)))
    except Exception as error:  # noqa: BLE001
        return Finding(promise, printable(f"{type(error).__name__}: {error}"))
    return Finding(promise)


def _need(kept: bool, text: str) -> None:
    if not kept:
        raise Broken(text)


# --- models ----------------------------------------------------------------------------------------------------------------------------------


def model(build: Callable[[Shape, int, int], nn.Module], shapes: Sequence[Shape] = SHAPES, num_classes: int = CLASSES) -> list[Finding]:
    """Try a network: `build(image, num_classes, seed)` returns it with initial weights, in training mode."""
    findings: list[Finding] = []
    built: list[Shape] = []
    for shape in shapes:
        size = "x".join(map(str, shape))
        findings.append(attempt(f"is built for images of {size}", partial(build, shape, num_classes, 1)))
        if not findings[-1].problem:
            built.append(shape)
            findings.append(attempt(f"learns from images of {size}", partial(_learns, build, shape, num_classes)))
    if not built:
        return findings
    images_NCHW = torch.rand((4, *built[0]), generator=torch.Generator().manual_seed(0))
    fresh = partial(build, built[0], num_classes)
    return [
        *findings,
        attempt("has the same weights for the same seed", lambda: _same_weights(fresh(1), fresh(1))),
        attempt("gives the same twice in evaluation mode", lambda: _same_twice(fresh(1), images_NCHW)),
        attempt("gives an image the same logits in any batch, in evaluation mode", lambda: _any_batch(fresh(1), images_NCHW)),
        attempt("moves to float64", lambda: _moves(fresh(1), images_NCHW)),
        attempt("survives saving its weights and loading them with weights_only", lambda: _survives(fresh(1), fresh(2), images_NCHW)),
    ]


def _learns(build: Callable[[Shape, int, int], nn.Module], shape: Shape, num_classes: int) -> None:
    network = build(shape, num_classes, 1)
    _need(network.training, "is in evaluation mode after it was built: leave it in training mode")
    logits_NK = network(torch.rand((4, *shape), generator=torch.Generator().manual_seed(0)))
    _need(logits_NK.shape == (4, num_classes), f"gives shape {tuple(logits_NK.shape)} in training mode, must be {(4, num_classes)}")
    _need(bool(logits_NK.isfinite().all()), "gives logits that are not finite")
    logits_NK.square().sum().backward()
    wanting = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    _need(bool(wanting), "has no parameter that wants a gradient")
    _need(
        not (without := [n for n, p in wanting if p.grad is None]), f"no gradient reaches {', '.join(without[:5])}: use it in forward, or remove it"
    )
    odd = [n for n, p in wanting if p.grad is not None and not p.grad.isfinite().all()]
    _need(not odd, f"the gradient of {', '.join(odd[:5])} is not finite")


def _same_weights(one: nn.Module, other: nn.Module) -> None:
    a, b = one.state_dict(), other.state_dict()
    unlike = [k for k in a if k not in b or not torch.equal(a[k], b[k])]
    _need(not unlike and len(a) == len(b), f"{', '.join(unlike[:5])} differ: draw them from torch's generator (torch.rand, nn.init) alone")


def _logits(network: nn.Module, images_NCHW: Tensor) -> Tensor:
    network.eval()
    with torch.no_grad():
        logits_NK: Tensor = network(images_NCHW)
    return logits_NK


def _same_twice(network: nn.Module, images_NCHW: Tensor) -> None:
    _need(
        torch.equal(_logits(network, images_NCHW), _logits(network, images_NCHW)), "logits differ: switch randomness off where self.training is false"
    )


def _any_batch(network: nn.Module, images_NCHW: Tensor) -> None:
    together_NK = _logits(network, images_NCHW)
    alone_NK = torch.cat([_logits(network, image[None]) for image in images_NCHW])
    _need(
        torch.allclose(together_NK, alone_NK, rtol=1e-3, atol=1e-4), "logits differ: take no mean or norm over the batch where self.training is false"
    )


def _moves(network: nn.Module, images_NCHW: Tensor) -> None:
    expected_NK = _logits(network, images_NCHW)
    logits_NK = _logits(network.to(torch.float64), images_NCHW.double())
    _need(logits_NK.dtype == torch.float64, f"gives {logits_NK.dtype} then: register constants with register_buffer")
    _need(torch.allclose(logits_NK.float(), expected_NK, rtol=1e-3, atol=1e-4), "its logits differ then")


def _survives(network: nn.Module, other: nn.Module, images_NCHW: Tensor) -> None:
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    _need(
        torch.equal(_logits(network, images_NCHW), _logits(other, images_NCHW)),
        "the loaded network gives other logits: keep all that it learned or drew in parameters and buffers",
    )


# --- optimizers ------------------------------------------------------------------------------------------------------------------------------


def optimizer(make: Callable[[nn.Module], torch.optim.Optimizer], *, steps: int = 200, target: float = 0.5) -> list[Finding]:
    """Try an optimizer: `make(module)` returns one of the module's parameters. It must bring a convex loss below `target` of its start."""
    return [
        attempt("is made", lambda: make(_problem()[0])),
        attempt(f"brings a least-squares loss down within {steps} steps", lambda: _descends(make, steps, target)),
        attempt("goes on from its saved state as if it had not stopped", lambda: _goes_on(make)),
        attempt("leaves parameters without a gradient alone", lambda: _leaves_alone(make)),
    ]


def _problem() -> tuple[nn.Linear, Tensor, Tensor]:
    """Return a linear layer of zeros, and inputs and targets that it can meet exactly."""
    generator = torch.Generator().manual_seed(0)
    inputs_ND = torch.randn(64, 5, generator=generator)
    layer = nn.Linear(5, 3)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer, inputs_ND, inputs_ND @ torch.randn(5, 3, generator=generator) + 0.5


def _descend(made: torch.optim.Optimizer, layer: nn.Module, inputs_ND: Tensor, targets_NK: Tensor, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        made.zero_grad()
        loss = (layer(inputs_ND) - targets_NK).square().mean()
        loss.backward()
        made.step()
        losses.append(loss.item())
    return losses


def _descends(make: Callable[[nn.Module], torch.optim.Optimizer], steps: int, target: float) -> None:
    layer, inputs_ND, targets_NK = _problem()
    losses = _descend(make(layer), layer, inputs_ND, targets_NK, steps)
    _need(losses[-1] < target * losses[0], f"the loss is {losses[-1]:.4g} after {losses[0]:.4g} at the start, must be below {target * losses[0]:.4g}")


def _goes_on(make: Callable[[nn.Module], torch.optim.Optimizer]) -> None:
    layer, inputs_ND, targets_NK = _problem()
    made = make(layer)
    _descend(made, layer, inputs_ND, targets_NK, 5)
    file = io.BytesIO()
    torch.save(made.state_dict(), file)
    file.seek(0)
    twin = copy.deepcopy(layer)
    other = make(twin)
    other.load_state_dict(torch.load(file, weights_only=True))
    same = _descend(made, layer, inputs_ND, targets_NK, 5) == _descend(other, twin, inputs_ND, targets_NK, 5)
    _need(same, "losses differ: keep all that changes in self.state or self.param_groups, as torch.optim does")


def _leaves_alone(make: Callable[[nn.Module], torch.optim.Optimizer]) -> None:
    layer, inputs_ND, targets_NK = _problem()
    other = nn.Parameter(torch.ones(3))
    layer.register_parameter("unused", other)
    _descend(make(layer), layer, inputs_ND, targets_NK, 3)
    _need(bool((other == 1).all()), "it changed one: skip those whose grad is None")


# --- losses ----------------------------------------------------------------------------------------------------------------------------------


def loss(function: Callable[[Tensor, Tensor], Tensor], num_classes: int = CLASSES) -> list[Finding]:
    """Try a loss: `function(logits_NK, labels_N)` returns losses_N."""
    logits_NK = 3 * torch.randn((16, num_classes), generator=torch.Generator().manual_seed(0))
    labels_N = torch.arange(16) % num_classes
    findings = [attempt("gives one finite loss for each image", lambda: _one_for_each(function, logits_NK, labels_N))]
    if findings[0].problem:
        return findings
    return [
        *findings,
        attempt("gives a finite gradient", lambda: _gradient(function, logits_NK, labels_N)),
        attempt("gives an image the same loss in any batch", lambda: _same_loss(function, logits_NK, labels_N)),
        attempt("stays finite for logits of -100 to 100", lambda: _one_for_each(function, 100 * logits_NK / logits_NK.abs().max(), labels_N)),
        attempt("is less for a right answer than for a wrong one", lambda: _prefers_right(function, labels_N, num_classes)),
    ]


def _one_for_each(function: Callable[[Tensor, Tensor], Tensor], logits_NK: Tensor, labels_N: Tensor) -> None:
    losses_N = function(logits_NK, labels_N)
    _need(losses_N.shape == labels_N.shape, f"gives shape {tuple(losses_N.shape)} for {len(labels_N)} images: use reduction='none', and no mean")
    _need(bool(losses_N.isfinite().all()), f"gives {int((~losses_N.isfinite()).sum())} losses that are not finite, of {len(losses_N)}")


def _gradient(function: Callable[[Tensor, Tensor], Tensor], logits_NK: Tensor, labels_N: Tensor) -> None:
    logits_NK = logits_NK.clone().requires_grad_()
    losses_N = function(logits_NK, labels_N)
    _need(losses_N.requires_grad, "no gradient reaches the logits: compute it with torch's functions, without detach or item")
    (gradient_NK,) = torch.autograd.grad(losses_N.mean(), logits_NK)
    _need(bool(gradient_NK.isfinite().all()), "the gradient is not finite")
    _need(bool(gradient_NK.any()), "the gradient is zero")


def _same_loss(function: Callable[[Tensor, Tensor], Tensor], logits_NK: Tensor, labels_N: Tensor) -> None:
    alone_N = torch.cat([function(logits_NK[n : n + 1], labels_N[n : n + 1]) for n in range(len(labels_N))])
    _need(
        torch.allclose(function(logits_NK, labels_N), alone_N, rtol=1e-4, atol=1e-5), "losses differ: an image's loss must not depend on the others"
    )


def _prefers_right(function: Callable[[Tensor, Tensor], Tensor], labels_N: Tensor, num_classes: int) -> None:
    right_NK = 5.0 * nn.functional.one_hot(labels_N, num_classes)
    _need(bool((function(right_NK, labels_N) < function(right_NK.roll(1, 1), labels_N)).all()), "it is not")


# --- transforms ------------------------------------------------------------------------------------------------------------------------------


def transform(make: Callable[[Shape], Transform], shapes: Sequence[Shape] = ((3, 32, 32), (1, 28, 28), (3, 9, 14))) -> list[Finding]:
    """Try a transform: `make(image)` returns it for images of shape (C, H, W)."""
    findings: list[Finding] = []
    checks = {"keeps shape and type": _keeps, "leaves what it was given alone": _untouched, "changes an image alike in any batch": _alike}
    for shape in shapes:
        size = "x".join(map(str, shape))
        findings.append(attempt(f"is made for images of {size}", partial(make, shape)))
        if not findings[-1].problem:
            findings += [attempt(f"{promise}, images of {size}", partial(_on_images, check, make, shape)) for promise, check in checks.items()]
    return findings


def _on_images(check: Callable[[Transform, Tensor, Tensor], None], make: Callable[[Shape], Transform], shape: Shape) -> None:
    made = make(shape)
    images_NCHW = torch.randint(0, 256, (37, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    check(made, images_NCHW, random.uniform(7, random.AUGMENT, 2, torch.arange(37), made.num_draws))


def _keeps(made: Transform, images_NCHW: Tensor, draws_ND: Tensor) -> None:
    changed = made.apply(images_NCHW, draws_ND)
    _need(changed.shape == images_NCHW.shape and changed.dtype == torch.uint8, f"gives {changed.dtype} {tuple(changed.shape)}")
    _need(made.apply(images_NCHW[:0], draws_ND[:0]).shape == (0, *images_NCHW.shape[1:]), "gives another shape for an empty batch")


def _untouched(made: Transform, images_NCHW: Tensor, draws_ND: Tensor) -> None:
    images, draws = images_NCHW.clone(), draws_ND.clone()
    made.apply(images, draws)
    _need(torch.equal(images, images_NCHW), "changed the images it was given: work on a copy")
    _need(torch.equal(draws, draws_ND), "changed the draws it was given: work on a copy")


def _alike(made: Transform, images_NCHW: Tensor, draws_ND: Tensor) -> None:
    together = made.apply(images_NCHW, draws_ND)
    alone = torch.cat([made.apply(images_NCHW[n : n + 1], draws_ND[n : n + 1]) for n in range(len(images_NCHW))])
    way = "use the draws given, no other randomness, and nothing of the other images"
    _need(torch.equal(together, alone), f"an image alone comes out otherwise: {way}")
    _need(torch.equal(together, made.apply(images_NCHW, draws_ND)), f"the same call gives something else: {way}")


# --- data sets -------------------------------------------------------------------------------------------------------------------------------


def dataset(load: Callable[[], Prepared]) -> list[Finding]:
    """Try a data set: `load()` prepares it."""
    made: list[Prepared] = []
    findings = [attempt("is read", lambda: made.append(load()))]
    if not made:
        return findings
    return [
        *findings,
        attempt("has images, labels and numbers of the right types and shapes", lambda: _types(made[0])),
        attempt("has parts that do not overlap", lambda: _apart(made[0])),
        attempt("gives images that may be written to", lambda: _copies(made[0])),
        attempt("gives the same when read again", lambda: _read_again(made[0], load())),
    ]


def _types(prepared: Prepared) -> None:
    for split in (prepared.train, prepared.val, prepared.test):
        if split is None:
            continue
        images_NCHW, labels_N, indices_N = split.take(torch.tensor([0, len(split) - 1, 0]))
        _need(
            images_NCHW.dtype == torch.uint8 and images_NCHW.shape == (3, *prepared.image),
            f"images are {images_NCHW.dtype} {tuple(images_NCHW.shape)}",
        )
        _need(images_NCHW.is_contiguous(), "images are not contiguous")
        _need(labels_N.dtype == indices_N.dtype == torch.int64, f"labels are {labels_N.dtype}, numbers {indices_N.dtype}")
        _need(torch.equal(images_NCHW[0], images_NCHW[2]), "the same image taken twice differs")
        _need(0 <= int(split.labels_N.min()) <= int(split.labels_N.max()) < len(prepared.classes), "labels are outside the classes")
        _need(len(split.images) == len(split) == len(split.indices_N), "there are not as many labels as images")
        _need(split.take(torch.tensor([], dtype=torch.int64))[0].shape == (0, *prepared.image), "an empty batch has another shape")


def _apart(prepared: Prepared) -> None:
    numbers_N = torch.cat([split.indices_N for split in (prepared.train, prepared.val, prepared.test) if split is not None])
    _need(len(numbers_N.unique()) == len(numbers_N), "an image is in two parts")


def _copies(prepared: Prepared) -> None:
    first = torch.arange(min(8, len(prepared.train)))
    before = prepared.train.take(first)[0].clone()
    prepared.train.take(first)[0].zero_()
    _need(torch.equal(prepared.train.take(first)[0], before), "writing to a batch changed the data set")


def _read_again(prepared: Prepared, again: Prepared) -> None:
    same = (prepared.fingerprint, prepared.classes, prepared.image) == (again.fingerprint, again.classes, again.image)
    _need(same, "images or labels differ: a load function must return the same each time, so seed whatever it draws")
    _need(torch.equal(prepared.train.indices_N, again.train.indices_N), "the training images differ")
