"""What every optimizer keeps to, built-in or the user's own."""

import copy
import io
import json

import pytest
import torch
from torch import nn

from zhurnal.core import settings
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train.optimizers import OPTIMIZERS, effective, make_optimizer

OWN = """
import torch

def make(params, lr, scale=1.0, betas=(0.9, 0.99)):
    return torch.optim.SGD(params, lr=lr * scale)

class Mine(torch.optim.SGD):
    pass

def needs(parameters, lr, rho):
    return torch.optim.SGD(parameters, lr=lr)

def options(parameters, **options):
    return torch.optim.AdamW(parameters, **options)

def wrong(parameters, lr):
    return lr
"""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "my_opt.py").write_text(OWN)
    return tmp_path


def section(name, **options):
    return settings.section_class("optimizer", name)(name=name, **options)


def problem():
    """A least-squares problem: a linear layer, inputs and targets that it can meet exactly."""
    generator = torch.Generator().manual_seed(0)
    inputs_ND = torch.randn(64, 5, generator=generator)
    targets_NK = inputs_ND @ torch.randn(5, 3, generator=generator) + 0.5
    layer = nn.Linear(5, 3)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer, inputs_ND, targets_NK


def descend(optimizer, layer, inputs_ND, targets_NK, steps):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (layer(inputs_ND) - targets_NK).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# Where 0.05 is not a good learning rate for the problem; the layer is a head, which muon leaves to AdamW.
GOOD = {"adagrad": {"lr": 1.0}, "adadelta": {"eps": 1e-3}, "muon": {"other_lr": 0.05}, "adafactor": {"lr": 1.0}}


@pytest.mark.parametrize("name", [*OPTIMIZERS, "my_opt.py:make", "my_opt.py:Mine"])
def test_descends(name, lab):
    layer, *data = problem()
    losses = descend(make_optimizer(section(name, **GOOD.get(name, {"lr": 0.05})), layer, lab), layer, *data, 200)
    assert losses[-1] < 0.02 * losses[0]


PLAIN = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}
PLAIN |= {"nadam": torch.optim.NAdam, "radam": torch.optim.RAdam, "adamax": torch.optim.Adamax, "adagrad": torch.optim.Adagrad}
PLAIN |= {"adadelta": torch.optim.Adadelta, "asgd": torch.optim.ASGD, "adafactor": torch.optim.Adafactor}
FUSED = ("sgd", "adam", "adamw")
OTHERWISE = {  # every option at another value than its default
    "sgd": {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    "adam": {"lr": 0.02, "betas": (0.8, 0.98), "eps": 1e-5, "weight_decay": 0.02},
    "adamw": {"lr": 0.02, "betas": (0.8, 0.98), "eps": 1e-5, "weight_decay": 0.3},
    "rmsprop": {"lr": 0.002, "alpha": 0.9, "eps": 1e-5, "momentum": 0.5, "weight_decay": 0.02},
    "nadam": {"lr": 0.02, "betas": (0.8, 0.98), "eps": 1e-5, "weight_decay": 0.02, "momentum_decay": 0.01, "decoupled_weight_decay": True},
    "radam": {"lr": 0.02, "betas": (0.8, 0.98), "eps": 1e-5, "weight_decay": 0.02, "decoupled_weight_decay": True},
    "adamax": {"lr": 0.02, "betas": (0.8, 0.98), "eps": 1e-5, "weight_decay": 0.02},
    "adagrad": {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.1, "eps": 1e-5, "weight_decay": 0.02},
    "adadelta": {"lr": 2.0, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.02},
    "asgd": {"lr": 0.02, "lambd": 0.1, "alpha": 0.5, "weight_decay": 0.02},
    "adafactor": {"lr": 0.02, "beta2_decay": -0.5, "d": 2.0, "weight_decay": 0.02},
    "muon": {
        "lr": 0.03, "momentum": 0.8, "nesterov": False, "weight_decay": 0.02, "ns_steps": 3, "renormalize": True, "other": "sgd",
        "other_lr": 0.02, "other_momentum": 0.8,
    },
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", PLAIN)
def test_every_option_arrives_and_fused_agrees_with_the_plain_loop(name, dtype):
    options = OTHERWISE[name]
    part = section(name, **options)
    layer, *data = problem()
    data = [x.to(dtype) for x in data]
    layer, twin = layer.to(dtype), copy.deepcopy(layer).to(dtype)
    ours = make_optimizer(part, layer, None)
    descend(ours, layer, *data, 50)
    descend(PLAIN[name](twin.parameters(), foreach=False, **options), twin, *data, 50)
    assert bool(ours.defaults.get("fused")) == (name in FUSED)
    rtol = 1e-4 if dtype == torch.float32 else 1e-10
    torch.testing.assert_close(layer.weight, twin.weight, rtol=rtol, atol=rtol)


def saved_and_loaded(value):
    """Through the bytes of a checkpoint, as `state.save` writes and `state.latest` reads it."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def network():
    """Convolutions, a norm and a head: groups of every kind."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(3 * 4, 3))


@pytest.mark.parametrize("grouped", [{}, {"no_decay": "norm_bias", "head_lr": 0.05, "layer_decay": 0.8}], ids=["plain", "grouped"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_goes_on_from_its_saved_state_bit_for_bit(name, grouped):
    generator = torch.Generator().manual_seed(1)
    data = torch.randn(16, 1, 6, 6, generator=generator), torch.randn(16, 3, generator=generator)
    part = section(name, **grouped)
    model = network()
    optimizer = make_optimizer(part, model, None)
    descend(optimizer, model, *data, 5)
    twin = network()
    twin.load_state_dict(saved_and_loaded(model.state_dict()))
    other = make_optimizer(part, twin, None)
    other.load_state_dict(saved_and_loaded(optimizer.state_dict()))
    assert descend(optimizer, model, *data, 5) == descend(other, twin, *data, 5)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True))
    fresh = make_optimizer(part, network_of := copy.deepcopy(twin), None)  # the state is needed: without it, the steps are others
    assert name == "asgd" or descend(fresh, network_of, *data, 3) != descend(other, twin, *data, 3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_option_is_tried_at_another_value_than_its_default(name):
    options = OTHERWISE[name]
    part = section(name, **options)
    assert all(value != part.__class__.model_fields[option].default for option, value in options.items())
    assert part.options() == options


@pytest.mark.parametrize("name", PLAIN)
def test_effective_is_what_it_got_and_json(name):
    layer, *_ = problem()
    optimizer = make_optimizer(section(name, **OTHERWISE[name]), layer, None)
    (group,) = effective(optimizer)
    assert json.loads(json.dumps(group, allow_nan=False)) == group
    assert "params" not in group
    assert group["num_parameters"] == 18
    for option, value in OTHERWISE[name].items():
        assert group[option] == (list(value) if isinstance(value, tuple) else value)


def test_effective_tells_what_an_optimizer_changed_behind_its_settings(lab):
    layer, *_ = problem()
    optimizer = make_optimizer(section("my_opt.py:make", lr=0.1, scale=0.5), layer, lab)
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(4))], "lr": torch.tensor(0.25), "note": (torch.float32, float("inf"))})
    first, second = effective(optimizer)
    assert first["lr"] == 0.05
    assert (second["lr"], second["num_parameters"], second["note"]) == (0.25, 4, ["torch.float32", "inf"])


def test_frozen_weights_are_left_out():
    layer, *_ = problem()
    layer.weight.requires_grad_(False)
    assert effective(make_optimizer(section("sgd"), layer, None))[0]["num_parameters"] == 3
    layer.bias.requires_grad_(False)
    with pytest.raises(RunError, match=r"^the model has no parameter to train"):
        make_optimizer(section("sgd"), layer, None)


def test_half_precision_is_not_fused():
    assert make_optimizer(section("sgd"), nn.Linear(2, 2, dtype=torch.bfloat16), None).defaults["fused"] is None


def test_weight_decay_reaches_an_optimizer_of_one_s_own_or_is_an_error(lab):
    layer, *_ = problem()
    assert effective(make_optimizer(section("my_opt.py:options"), layer, lab))[0]["weight_decay"] == 0  # not AdamW's own 0.01
    assert effective(make_optimizer(section("my_opt.py:Mine", weight_decay=0.1), layer, lab))[0]["weight_decay"] == 0.1
    with pytest.raises(SettingsError, match=r"^optimizer.weight_decay: my_opt.py:make has no such setting; it has lr, scale or betas$"):
        make_optimizer(section("my_opt.py:make", weight_decay=0.1), layer, lab)


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("needs", SettingsError, "^optimizer.rho: my_opt.py:needs needs it; set optimizer.rho=VALUE, or give it a default in my_opt.py$"),
        ("wrong", RunError, "^my_opt.py:wrong returns a float, must be or return a torch.optim.Optimizer$"),
    ],
)
def test_what_is_wrong_with_an_optimizer_of_one_s_own(lab, name, error, text):
    layer, *_ = problem()
    with pytest.raises(error, match=text):
        make_optimizer(section(f"my_opt.py:{name}"), layer, lab)
