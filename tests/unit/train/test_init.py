"""Initial weights: their spread, and what is left alone."""

import math

import pytest
import torch
from torch import nn

from zhurnal.train.init import INITS


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


@pytest.mark.parametrize("name", ["kaiming", "xavier"])
def test_an_init_without_effect_warns(name):
    with pytest.warns(UserWarning, match=f"model.init={name} changes no weight"):
        INITS[name](nn.Sequential(nn.BatchNorm1d(3)))


def test_a_norm_without_weights_is_left_alone():
    INITS["kaiming"](nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, affine=False)))
