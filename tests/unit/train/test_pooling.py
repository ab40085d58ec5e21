"""Max-pooling of our own: the values and gradients of PyTorch's, to the bit."""

import pytest
import torch
from torch import nn

from zhurnal.train.models import pooling
from zhurnal.train.models.lenet import lenet
from zhurnal.train.models.pooling import MaxPool2d, conv_max_pool

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


def test_what_is_pooled_is_left_as_it_was():
    for shape in (*SHAPES, (1, 1, 2, 2)):  # of one window the pixels are one after the other as they are
        maps = torch.randn(shape, generator=torch.Generator().manual_seed(4), requires_grad=True)
        before = maps.detach().clone()
        MaxPool2d()(maps)
        assert torch.equal(maps.detach(), before)


def test_without_gradients_values_are_pytorchs():
    maps = torch.randn((4, 3, 9, 8), generator=torch.Generator().manual_seed(5))
    assert torch.equal(MaxPool2d()(maps), nn.MaxPool2d(2)(maps))


def conv_and_pool(conv: nn.Conv2d, images: torch.Tensor, *, at_once: bool) -> torch.Tensor:
    """Return a convolution's maps after max-pooling, computed at once by us or one after the other by PyTorch."""
    if not at_once:
        return nn.MaxPool2d(2)(conv(images))
    pooled = conv_max_pool(conv, MaxPool2d(), images)
    assert pooled is not None
    return pooled


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
@pytest.mark.parametrize(("size", "padding"), [((32, 32), 0), ((28, 31), 0), ((8, 9), 2), ((6, 6), 0)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_and_its_pooling_at_once_are_those_of_both(size, padding, channels, bias, dtype, tolerance):
    torch.manual_seed(6)
    conv = nn.Conv2d(channels, 6, 5, padding=padding, bias=bias).to(dtype)
    found = []
    for at_once in (True, False):
        images = torch.randn(20, channels, *size, dtype=dtype, generator=torch.Generator().manual_seed(7), requires_grad=True)
        pooled = conv_and_pool(conv, images, at_once=at_once)
        weights = torch.randn(pooled.shape, dtype=dtype, generator=torch.Generator().manual_seed(8))
        found.append([pooled, *torch.autograd.grad((pooled * weights).sum(), [images, *conv.parameters()])])
        with torch.no_grad():
            assert torch.equal(conv_and_pool(conv, images, at_once=at_once), pooled)
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance * float(theirs.detach().abs().max()))


def test_at_once_of_equal_maps_the_first_gets_the_gradient():
    conv = nn.Conv2d(1, 2, 3)
    with torch.no_grad():
        conv.weight.fill_(1.0)
    found = []
    for at_once in (True, False):
        images = torch.ones(16, 1, 6, 6, requires_grad=True)  # every pixel of every window is equal
        found.append(torch.autograd.grad(conv_and_pool(conv, images, at_once=at_once).sum(), images)[0])
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)


def test_weights_of_one_channel_that_are_channels_last_too():
    conv = nn.Conv2d(1, 6, 5)
    images = torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(10))
    expected = conv_and_pool(conv, images, at_once=True)
    conv.weight.data = conv.weight.data.clone(memory_format=torch.channels_last)
    assert conv.weight.is_contiguous()
    torch.testing.assert_close(conv_and_pool(conv, images.clone(memory_format=torch.channels_last), at_once=True), expected)


@pytest.mark.parametrize(
    ("conv", "images"),
    [
        (nn.Conv2d(3, 6, 5), torch.zeros(15, 3, 8, 8)),  # few images
        (nn.Conv2d(3, 6, 5), torch.zeros(16, 3, 8, 8).contiguous(memory_format=torch.channels_last)),
        (nn.Conv2d(3, 6, 5).to(memory_format=torch.channels_last), torch.zeros(16, 3, 8, 8)),
        (nn.Conv2d(3, 6, 5), torch.zeros(16, 3, 5, 8)),  # no window
        (nn.Conv2d(3, 6, 5), torch.zeros(16, 4, 8, 8)),
        (nn.Conv2d(3, 6, 5), torch.zeros(16, 3, 4, 8, 8)),
        (nn.Conv2d(3, 6, 5), torch.zeros(3, 16, 8)),
        (nn.Conv2d(3, 6, 5, stride=2), torch.zeros(16, 3, 8, 8)),
        (nn.Conv2d(3, 6, 5, dilation=2), torch.zeros(16, 3, 16, 16)),
        (nn.Conv2d(3, 6, 5, groups=3), torch.zeros(16, 3, 8, 8)),
        (nn.Conv2d(3, 6, 5, padding="same"), torch.zeros(16, 3, 8, 8)),
        (nn.Conv2d(3, 6, 5, padding=1, padding_mode="reflect"), torch.zeros(16, 3, 8, 8)),
    ],
)
def test_where_it_does_not_serve_the_two_are_left_to_the_caller(conv, images):
    assert conv_max_pool(conv, MaxPool2d(), images) is None


LISTENERS = {
    "forward hook": lambda module: module.register_forward_hook(lambda *_: None),
    "forward pre-hook": lambda module: module.register_forward_pre_hook(lambda *_: None),
    "backward hook": lambda module: module.register_full_backward_hook(lambda *_: None),
    "backward pre-hook": lambda module: module.register_full_backward_pre_hook(lambda *_: None),
    "hook of all modules": lambda module: nn.modules.module.register_module_forward_hook(lambda *_: None),
}


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("which", [0, 1])
def test_where_somebody_listens_the_two_are_left_to_the_caller(which, listener):
    both, images = (nn.Conv2d(3, 6, 5), MaxPool2d()), torch.zeros(16, 3, 8, 8)
    handle = LISTENERS[listener](both[which])
    try:
        assert conv_max_pool(*both, images) is None
    finally:
        handle.remove()
    assert conv_max_pool(*both, images) is not None


def test_in_bfloat16_the_two_are_left_to_the_caller():
    with torch.autocast("cpu", torch.bfloat16):
        assert conv_max_pool(nn.Conv2d(3, 6, 5), MaxPool2d(), torch.zeros(16, 3, 8, 8)) is None


def test_lenet_takes_its_first_layers_at_once():
    network = lenet((3, 32, 32), 10)
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    assert network._first_two(images) is not None
    together = network(images)
    one_after_the_other = nn.Sequential(*network)(images)
    torch.testing.assert_close(together, one_after_the_other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["conv1", "pool1"])
def test_hooks_on_the_first_layers_of_lenet_are_called(layer):
    network = lenet((3, 32, 32), 10)
    seen = []
    network.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape)))
    network(torch.zeros(16, 3, 32, 32))
    assert seen == [(16, 6, 28, 28) if layer == "conv1" else (16, 6, 14, 14)]


def test_a_changed_lenet_does_what_its_layers_say():
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(11))
    network = lenet((3, 32, 32), 10)
    for changed in (network[:1], network[:2], network[:0], network[2:]):
        given = network[:2](images) if changed[:1] and isinstance(changed[0], nn.ReLU) else images
        torch.testing.assert_close(changed(given), nn.Sequential(*changed)(given), rtol=1e-4, atol=1e-5)
    network.pool1 = nn.AvgPool2d(2)
    network.relu1 = nn.ReLU(inplace=True)
    torch.testing.assert_close(network(images), nn.Sequential(*network)(images), rtol=1e-4, atol=1e-5)


def test_a_layer_that_works_in_place_may_follow():
    network = lenet((3, 32, 32), 10)
    network.relu1 = nn.ReLU(inplace=True)
    network(torch.ones(16, 3, 32, 32)).sum().backward()
    assert network.conv1.weight.grad is not None
