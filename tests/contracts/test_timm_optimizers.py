"""timm's optimizers by their names, where timm is installed; and what is said where it is not."""

import io
import sys

import pytest
import torch
from torch import nn

from zhurnal.core import diff, settings
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train.optimizers import effective, make_optimizer


def section(name, **options):
    return settings.section_class("optimizer", name)(name=name, **options)


def test_without_timm_the_way_out_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "timm.optim", None)
    with pytest.raises(RunError, match=r"^optimizer timm:lion needs the package timm.*: pip install 'zhurnal\[timm\]'$"):
        make_optimizer(section("timm:lion"), nn.Linear(2, 2), None)


def test_the_settings_take_a_name_of_timm_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    found = settings.parse({"optimizer": {"name": "timm:lion", "lr": 0.0003, "betas": [0.9, 0.98]}})
    assert found.optimizer.options() == {"lr": 0.0003, "weight_decay": 0.0, "betas": [0.9, 0.98]}
    assert settings.parse(found.to_dict()) == found
    parent = settings.parse({})
    assert diff.apply(parent, diff.diff(parent, found)).settings == found
    assert diff.apply(found, diff.diff(found, parent)).settings == parent
    with pytest.raises(SettingsError, match="optimizer: 'timm:' is none of"):
        settings.parse({"optimizer": "timm:"})


@pytest.fixture
def timm():
    from zhurnal.train.vision import torchvision

    torchvision()
    return pytest.importorskip("timm.optim")


@pytest.mark.parametrize("name", ["lion", "lamb", "adopt", "madgrad", "adan", "lookahead_adam"])
def test_timm_s_optimizers_learn_and_go_on(timm, name):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    inputs_ND = torch.randn(32, 4)
    part = section(f"timm:{name}", lr=0.01, head_lr=0.02, no_decay="norm_bias", weight_decay=0.01)

    def train(net, optimizer, steps):
        losses = []
        for _ in range(steps):
            loss = (net(inputs_ND) - inputs_ND.sum(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    net, twin = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)) for _ in range(2))
    optimizer = make_optimizer(part, net, None)
    assert [(g["lr"], g["weight_decay"]) for g in effective(optimizer)] == [(0.01, 0.01), (0.01, 0), (0.02, 0.01), (0.02, 0)]
    losses = train(net, optimizer, 40)
    assert losses[-1] < 0.9 * losses[0]
    buffer = io.BytesIO()
    torch.save([net.state_dict(), optimizer.state_dict()], buffer)
    weights, state = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    other = make_optimizer(part, twin, None)
    twin.load_state_dict(weights)
    other.load_state_dict(state)
    assert train(net, optimizer, 5) == train(twin, other, 5)


def test_what_timm_does_not_have(timm):
    with pytest.raises(SettingsError, match=r"^optimizer: timm has no optimizer 'lionn'; did you mean 'lion'\?$"):
        make_optimizer(section("timm:lionn"), nn.Linear(2, 2), None)
    with pytest.raises(SettingsError, match=r"^optimizer: timm:lion does not take lr, weight_decay or rho so: "):
        make_optimizer(section("timm:lion", rho=2), nn.Linear(2, 2), None)
    with pytest.raises(RunError, match=r"^optimizer timm:adahessian needs second derivatives"):
        make_optimizer(section("timm:adahessian"), nn.Linear(2, 2), None)
