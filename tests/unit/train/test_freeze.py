"""Freezing: what is named, what stays as it is, and an exact return."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from zhurnal.core import settings
from zhurnal.core.errors import SettingsError
from zhurnal.train.freeze import follow, freeze, head_of, is_frozen, join, unfreeze
from zhurnal.train.optimizers import make_optimizer


@pytest.fixture
def network():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    features = nn.Sequential(*(m for _ in range(4) for m in (nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())))
    net = nn.Sequential()
    net.add_module("features", features)
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc1", nn.Linear(3 * 16, 8))
    net.add_module("head", nn.Linear(8, 10))
    return net


def trained(network):
    return [name for name, p in network.named_parameters() if p.requires_grad]


@pytest.mark.parametrize(
    ("spec", "left"),
    [
        ("none", ["features", "fc1", "head"]),
        ("backbone", ["head"]),
        ("features", ["fc1", "head"]),
        ("features.0-10", ["fc1", "head"]),
        ("features.0-10,fc1", ["head"]),
        ("fc1", ["features", "head"]),
    ],
)
def test_specs(network, spec, left):
    before = trained(network)
    names = freeze(network, spec)
    assert sorted(names + trained(network)) == sorted(before)
    assert {name.split(".")[0] for name in trained(network)} == set(left)


def test_a_range_has_both_ends_and_no_more(network):
    freeze(network, "features.1-3")
    assert [n for n in trained(network) if n.startswith("features")][:4] == [
        "features.0.weight",
        "features.0.bias",
        "features.4.weight",
        "features.4.bias",
    ]
    assert not network.features[1].weight.requires_grad
    assert not network.features[3].weight.requires_grad
    assert freeze(network, "features.0") == ["features.0.weight", "features.0.bias"]
    assert network.features[10].weight.requires_grad  # features.1 is no beginning of features.10


def test_several_parts_of_a_name():
    from zhurnal.train.models import vgg

    with torch.device("meta"):
        net = vgg((3, 32, 32), 10)
    assert freeze(net, "conv1_1-2, conv2_1") == ["conv1_1.weight", "conv1_1.bias", "conv1_2.weight", "conv1_2.bias", "conv2_1.weight", "conv2_1.bias"]
    assert head_of(net) == "fc1"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("featurs", r"no module 'featurs'; did you mean 'features'\? it has features, flatten, fc1 or head; or backbone, or none"),
        ("features.0-40", r"no module features.0-40 with 'features.40'; did you mean 'features\.\d+'\?"),
        ("features.5-2", r"features.5-2 runs backwards: write features.2-5"),
        ("features,fc1,head", r"leaves nothing to train"),
        ("", r"no module ''"),
    ],
)
def test_what_cannot_be_frozen(network, spec, text):
    before = trained(network)
    with pytest.raises(SettingsError, match=text):
        freeze(network, spec)
    assert trained(network) == before


def test_frozen_batch_norm_stays_in_evaluation_whatever_is_called(network):
    names = freeze(network, "features.0-4")
    network.train()
    before = [b.clone() for b in network.buffers()]
    network(torch.randn(8, 3, 4, 4))
    changed = [not torch.equal(a, b) for a, b in zip(before, network.buffers(), strict=True)]
    assert changed == [False] * 6 + [True] * 6  # mean, variance and count, of each of four
    unfreeze(network, names)
    assert network.features[1].training
    network(torch.randn(8, 3, 4, 4))
    assert not any(torch.equal(a, b) for a, b in zip(before, network.buffers(), strict=True))


def test_what_the_network_froze_itself_stays_frozen(network):
    network.features[0].weight.requires_grad_(False)
    before = trained(network)
    names = freeze(network, "backbone")
    assert "features.0.weight" not in names
    unfreeze(network, names)
    assert trained(network) == before


def test_a_parameter_of_the_network_itself():
    from zhurnal.train.models.vit import vit

    net = vit((1, 8, 8), 10, width=24, depth=1)
    names = freeze(net, "backbone")
    assert {"cls_token", "positions", "norm.weight", "patches.weight"} <= set(names)
    assert trained(net) == ["head.weight", "head.bias"]


def section(**values):
    return settings.MODELS["lenet"](**values)


def whole_settings(model, optimizer=None):
    return SimpleNamespace(model=model, optimizer=optimizer or settings.OPTIMIZERS["sgd"]())


def test_frozen_until_its_epoch():
    assert [is_frozen(section(freeze="backbone", unfreeze_epoch=3), done) for done in range(4)] == [True, True, False, False]
    assert is_frozen(section(freeze="backbone"), 10**6)
    assert not is_frozen(section(), 0)


def train(network, optimizer, first, last):
    for step in range(first, last):
        images_NCHW = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(images_NCHW).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", [lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1)])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_stopped_at_any_epoch_goes_on_as_if_it_was_not(network, kind, stop):
    import copy

    model = section(freeze="backbone", unfreeze_epoch=3)

    def start():
        net = copy.deepcopy(network)
        names = freeze(net, model.freeze)
        return net, names, kind([p for p in net.parameters() if p.requires_grad])

    def run(net, names, optimizer, first, last):
        for epoch in range(first, last):
            train(net, optimizer, 3 * epoch, 3 * epoch + 3)
            follow(whole_settings(model), net, optimizer, names, epoch + 1)

    whole = start()
    run(*whole, 0, 5)
    first = start()
    run(*first, 0, stop)
    saved = copy.deepcopy((first[0].state_dict(), first[2].state_dict()))
    net, names, optimizer = start()
    assert follow(whole_settings(model), net, optimizer, names, stop) == (stop >= 2)
    assert not follow(whole_settings(model), net, optimizer, names, stop)  # twice is once
    net.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    run(net, names, optimizer, stop, 5)
    for (key, a), b in zip(net.state_dict().items(), whole[0].state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    assert not torch.equal(net.features[0].weight, network.features[0].weight)


def test_until_its_epoch_nothing_frozen_moves(network):
    model = section(freeze="backbone", unfreeze_epoch=2)
    before = network.features[0].weight.clone()
    names = freeze(network, model.freeze)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    train(network, optimizer, 0, 3)
    assert torch.equal(network.features[0].weight, before)
    assert follow(whole_settings(model), network, optimizer, names, 1)
    train(network, optimizer, 3, 4)
    assert not torch.equal(network.features[0].weight, before)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adamw", {"lr": 1e-4, "head_lr": 1e-2}),
        ("adamw", {"lr": 1e-3, "layer_decay": 0.7, "weight_decay": 0.1}),
        ("sgd", {"lr": 0.1, "no_decay": "norm_bias", "weight_decay": 0.1}),
        ("sgd", {"lr": 0.1, "weight_decay": 0.1}),
        ("muon", {"lr": 0.02, "other_lr": 0.3}),
        ("muon", {"lr": 0.24, "head_lr": 5.0, "weight_decay": 0.1, "renormalize": True, "other": "sgd"}),
    ],
)
def test_what_joins_has_the_settings_that_it_would_have_had_from_the_start(network, tmp_path, name, options):
    import copy

    optimizer = settings.OPTIMIZERS[name](**options)
    whole, later = copy.deepcopy(network), copy.deepcopy(network)
    model = section(freeze="backbone", unfreeze_epoch=2)
    names = freeze(later, model.freeze)
    given = {}
    for net in (whole, later):
        made = make_optimizer(optimizer, net, tmp_path)
        if net is later:
            for group in made.param_groups:
                group.setdefault("initial_lr", group["lr"])  # as a schedule does
                group["lr"] = 1e-9
            assert follow(whole_settings(model, optimizer), net, made, names, 1)
        names_of = {id(p): n for n, p in net.named_parameters()}
        given[net is later] = {
            names_of[id(p)]: {k: v for k, v in group.items() if k not in ("params", "lr")} | {"lr": group.get("initial_lr", group["lr"])}
            for group in made.param_groups
            for p in group["params"]
        }
        train(net, made, 0, 2)
    for groups in given.values():
        for group in groups.values():
            group.pop("initial_lr", None)
    assert given[True] == given[False]


def test_what_joins_has_the_optimizer_s_settings_before_the_schedule():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([a], lr=0.5, momentum=0.9, weight_decay=0.01)
    optimizer.param_groups[0].update(initial_lr=0.5, lr=0.005)
    join(optimizer, [b])
    group = optimizer.param_groups[1]
    assert (group["lr"], group["initial_lr"], group["momentum"], group["weight_decay"]) == (0.5, 0.5, 0.9, 0.01)
