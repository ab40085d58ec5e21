"""Initial weights: their spread, and what is left alone."""

import math

import pytest
import torch
from torch import nn

from zhurnal.core import settings
from zhurnal.core.errors import RunError
from zhurnal.train.data import Split
from zhurnal.train.data.images import in_memory
from zhurnal.train.init import INITS, NEEDS_IMAGES, images_of
from zhurnal.train.models import MODELS, make
from zhurnal.train.models.resnet import resnet20


def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(400, 300), nn.Linear(300, 10, bias=False))
    nn.init.constant_(layers[1].weight, 5)
    nn.init.constant_(layers[1].bias, 5)
    return layers


def spread(weight):
    """Deviation, and whether the values look normal: 4.55 % of a normal lie beyond two deviations, none of a uniform."""
    std = weight.std().item()
    return std, (weight.abs() > 2 * std).float().mean().item()


def test_default_changes_nothing():
    before, after = network().state_dict(), network()
    INITS["default"](after)
    assert all(torch.equal(before[k], v) for k, v in after.state_dict().items())


def test_kaiming_is_normal_by_fan_out_on_convolutions_only():
    before, layers = network(), network()
    INITS["kaiming"](layers)
    std, tail = spread(layers[0].weight)
    assert std == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.03)  # fan_out is 64 * 3 * 3; fan_in would be half
    assert tail == pytest.approx(0.0455, abs=0.01)
    assert layers[1].weight.eq(1).all()
    assert layers[1].bias.eq(0).all()
    for left in ("0.bias", "3.weight", "3.bias", "4.weight"):
        assert torch.equal(layers.state_dict()[left], before.state_dict()[left]), left


def test_xavier_is_normal_by_both_fans_on_both_kinds_with_zero_biases():
    layers = network()
    INITS["xavier"](layers)
    for layer, fans in ((layers[0], 9 * (32 + 64)), (layers[3], 700)):
        std, tail = spread(layer.weight)
        assert std == pytest.approx(math.sqrt(2 / fans), rel=0.03)
        assert tail == pytest.approx(0.0455, abs=0.01)
        assert not layer.bias.any()
    assert layers[1].weight.eq(5).all()


def test_orthogonal_is_orthogonal_on_both_kinds_and_leaves_biases():
    before, layers = network(), network()
    INITS["orthogonal"](layers)
    for layer in (layers[0], layers[3], layers[4]):
        matrix = layer.weight.flatten(1)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-5, rtol=0)
    for left in ("0.bias", "1.weight", "1.bias", "3.bias"):
        assert torch.equal(layers.state_dict()[left], before.state_dict()[left]), left


def test_trunc_normal_is_normal_with_zero_biases():
    layers = network()
    INITS["trunc_normal"](layers)
    for layer in (layers[0], layers[3]):
        std, tail = spread(layer.weight)
        assert std == pytest.approx(0.02, rel=0.03)
        assert tail == pytest.approx(0.0455, abs=0.01)
        assert not layer.bias.any()
    assert layers[1].weight.eq(5).all()


@pytest.mark.parametrize("fill", [0.3, 30.0])
def test_lsuv_gives_every_layer_unit_variance(fill):
    """Also where the images are scaled, and behind layers that change the variance."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 16, 10))
    images_NCHW = fill * torch.randn(64, 3, 8, 8)
    INITS["lsuv"](layers, lambda: images_NCHW)
    assert layers.training
    assert not layers[3].num_batches_tracked
    layers.eval()
    x = images_NCHW
    for layer in layers:
        x = layer(x)
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            assert x.var().item() == pytest.approx(1, abs=0.05)  # the variance of the bias comes to it
            matrix = layer.weight.flatten(1)
            gram = (matrix @ matrix.T).detach()
            torch.testing.assert_close(gram, gram[0, 0] * torch.eye(len(gram)), atol=1e-4 * float(gram[0, 0]), rtol=0)


def test_lsuv_scales_a_layer_once_and_tells_of_a_dead_one():
    class Twice(nn.Sequential):
        def forward(self, x):
            return self[0](torch.relu(self[0](x)))

    torch.manual_seed(0)
    layers = Twice(nn.Linear(8, 8))
    images_NC = 100 * torch.randn(64, 8)
    INITS["lsuv"](layers, lambda: images_NC)
    assert layers[0](images_NC).var().item() == pytest.approx(1, abs=0.11)
    matrix = layers[0].weight.detach() @ layers[0].weight.detach().T
    assert matrix[0, 0].item() == pytest.approx(1e-4, rel=0.2)
    with pytest.raises(RunError, match=r"model.init=lsuv: 0 gives the same output for all images, must vary"):
        INITS["lsuv"](nn.Sequential(nn.Linear(8, 8)), lambda: torch.zeros(4, 8))


def test_dirac_passes_channels_on_in_the_first_filters():
    before = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1), nn.Conv2d(6, 12, 3, padding=1, groups=3))
    layers = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1), nn.Conv2d(6, 12, 3, padding=1, groups=3))
    layers.load_state_dict(before.state_dict())
    INITS["dirac"](layers)
    assert torch.equal(layers[0].weight[4:], before[0].weight[4:])
    assert torch.equal(layers[0].bias, before[0].bias)
    for layer in layers:
        nn.init.zeros_(layer.bias)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(layers[0](x)[:, :4], x)
    x = torch.randn(2, 6, 5, 5)
    assert torch.equal(layers[1](x), x[:, :3])
    assert torch.equal(layers[2](x).unflatten(1, (3, 4))[:, :, :2].flatten(1, 2), x)


def test_whitening_makes_patches_white():
    """The covariance of what the layer gives is the identity, as far as eps lets it; the second half is the first negated."""
    torch.manual_seed(0)
    mix = torch.randn(3, 3)
    images_NCHW = torch.einsum("dc,nchw->ndhw", mix, torch.randn(300, 3, 9, 9))
    images_NCHW = (images_NCHW + images_NCHW.roll(1, 3)) / 2  # neighbours are alike
    layers = nn.Sequential(nn.Conv2d(3, 24, 2), nn.GELU(), nn.Flatten(), nn.Linear(24 * 64, 10))
    before = layers[0].bias.clone()
    INITS["whitening"](layers, lambda: images_NCHW)
    assert torch.equal(layers[0].bias, before)
    assert [p.requires_grad for p in layers.parameters()] == [False, True, True, True]
    weight = layers[0].weight.detach()
    assert torch.equal(weight[:12], -weight[12:])
    out_PD = nn.functional.conv2d(images_NCHW, weight[:12]).transpose(0, 1).flatten(1).T
    covariance_DD = out_PD.T @ out_PD / len(out_PD)
    torch.testing.assert_close(covariance_DD, torch.eye(12), atol=0.05, rtol=0)
    norms = weight[:12].flatten(1).norm(dim=1)
    assert norms.tolist() == sorted(norms.tolist())  # the largest eigenvalue first


def test_whitening_is_the_source_s_formula():
    """Written out once more, as in the source: patches by unfold, eps inside the root."""
    images_NCHW = torch.rand(40, 2, 7, 6, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Conv2d(2, 16, 2), nn.Flatten(), nn.LazyLinear(3))
    layers(images_NCHW)
    INITS["whitening"](layers, lambda: images_NCHW)
    patches = images_NCHW.unfold(2, 2, 1).unfold(3, 2, 1).transpose(1, 3).reshape(-1, 2, 2, 2).flatten(1)
    # transpose(1, 3) swaps channels and columns: patches stay (channel, row, column)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    expected = vectors.T.flip(0).unflatten(1, (2, 2, 2)) / (values.flip(0).view(-1, 1, 1, 1) + 5e-4).sqrt()
    found = layers[0].weight.detach()[:8]
    signs = torch.sign((found * expected).flatten(1).sum(1)).view(-1, 1, 1, 1)
    torch.testing.assert_close(found, signs * expected, atol=1e-3, rtol=1e-3)


def test_whitening_with_fewer_and_more_filters_than_the_patch_has_numbers():
    images_NCHW = torch.rand(20, 1, 8, 8)
    torch.manual_seed(0)
    few, many = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2)), nn.Sequential(nn.Conv2d(1, 20, 3))
    rest = many[0].weight[18:].clone()
    for layers in (few, many):
        INITS["whitening"](layers, lambda: images_NCHW)
    assert torch.equal(few[0].weight[:3], -few[0].weight[3:])
    assert torch.equal(many[0].weight[18:], rest)
    for wrong in (nn.Sequential(nn.Linear(8, 8)), nn.Sequential(nn.Conv1d(8, 8, 3)), nn.Sequential(nn.Conv2d(2, 4, 3, groups=2))):
        with pytest.raises(RunError, match=r"model.init=whitening needs a first nn.Conv2d without groups"):
            INITS["whitening"](wrong, lambda: images_NCHW)


def test_zero_gamma_makes_blocks_the_identity():
    torch.manual_seed(0)
    layers = resnet20((1, 8, 8), 10)
    INITS["zero_gamma"](layers)
    zeros = [key for key, p in layers.named_parameters() if not p.any() and key.endswith("weight")]
    assert zeros == [f"layer{g}.{b}.bn2.weight" for g in (1, 2, 3) for b in range(3)]


@pytest.mark.parametrize("name", [n for n in INITS if n not in ("default", "whitening")])
def test_an_init_without_effect_warns(name):
    images = [lambda: torch.zeros(2, 3)] if name in NEEDS_IMAGES else []
    with pytest.warns(UserWarning, match=f"model.init={name} changes no weight"):
        INITS[name](nn.Sequential(nn.BatchNorm1d(3)), *images)


@pytest.mark.parametrize("name", [n for n in INITS if n != "zero_gamma"])
def test_every_init_of_a_network_by_name(name):
    images = images_of(
        Split(in_memory(torch.randint(0, 256, (30, 1, 8, 8), dtype=torch.uint8)), torch.zeros(30), torch.arange(30)), lambda x: x / 255
    )
    made = [make(settings.MODELS["lenet"](init=name), (1, 8, 8), 10, seed=seed, base=None, images=images) for seed in (1, 1, 2)]
    a, b, c = (m.state_dict() for m in made)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)
    if name != "default":
        plain = make(settings.MODELS["lenet"](), (1, 8, 8), 10, seed=1, base=None).state_dict()
        assert any(not torch.equal(a[k], plain[k]) for k in a)
    if name in NEEDS_IMAGES:
        with pytest.raises(RunError, match=f"model.init={name} of lenet looks at training images, and there are none"):
            make(settings.MODELS["lenet"](init=name), (1, 8, 8), 10, seed=1, base=None)


def test_images_are_spread_over_the_split_and_normalized():
    pixels_NCHW = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 1, 4, 4)
    split = Split(in_memory(pixels_NCHW), torch.zeros(10), torch.arange(10))
    assert images_of(split, lambda x: x / 2, 4)()[:, 0, 0, 0].tolist() == [0, 1.5, 3, 4.5]
    assert len(images_of(split, lambda x: x.float(), 99)()) == 10
    assert set(MODELS) == set(settings.MODELS)


def test_a_norm_without_weights_is_left_alone():
    INITS["kaiming"](nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, affine=False)))
