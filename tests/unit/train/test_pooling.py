"""Max-pooling of our own: the values and gradients of PyTorch's, to the bit."""

import pytest
import torch
from torch import nn

from zhurnal.train.models import pooling
from zhurnal.train.models.pooling import MaxPool2d

SHAPES = [(5, 3, 8, 8), (4, 6, 28, 28), (3, 2, 7, 10), (2, 4, 9, 5), (1, 1, 2, 3), (7, 1, 2, 2), (0, 3, 8, 8)]


def both(maps_NCHW: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return values and gradients of ours and of PyTorch's."""
    found = []
    for pool in (MaxPool2d(), nn.MaxPool2d(2)):
        given = maps_NCHW.clone(memory_format=torch.preserve_format).requires_grad_()
        pooled = pool(given)
        weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1))
        (pooled * weights).sum().backward()
        assert given.grad is not None
        found.append((pooled.detach(), given.grad))
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_pytorchs(shape, memory_format):
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=memory_format)
    (ours, our_gradient), (theirs, their_gradient) = both(maps)
    assert torch.equal(ours, theirs)
    assert torch.equal(our_gradient, their_gradient)


def test_of_equal_pixels_the_first_gets_the_gradient():
    maps = torch.randint(0, 3, (64, 5, 8, 6), generator=torch.Generator().manual_seed(2)).float()  # most windows have equal pixels
    (ours, our_gradient), (theirs, their_gradient) = both(maps)
    assert torch.equal(ours, theirs)
    assert torch.equal(our_gradient, their_gradient)


def test_in_chunks_it_is_the_same(monkeypatch):
    maps = torch.randn((9, 3, 8, 8), generator=torch.Generator().manual_seed(3))
    whole = both(maps)[0]
    monkeypatch.setattr(pooling, "CHUNK", 2 * 3 * 8 * 8 * 4)
    parts = both(maps)[0]
    assert torch.equal(whole[0], parts[0])
    assert torch.equal(whole[1], parts[1])


def test_maps_without_a_window_are_refused_as_by_pytorch():
    with pytest.raises(RuntimeError, match="too small"):
        MaxPool2d()(torch.zeros(1, 1, 1, 4))


def test_a_second_derivative_is_refused():
    maps = torch.randn((1, 1, 4, 4), requires_grad=True)
    (gradient,) = torch.autograd.grad(MaxPool2d()(maps).square().sum(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
