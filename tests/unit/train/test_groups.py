"""Parameter groups: which weights get which learning rate and weight decay."""

import pytest
import torch
from torch import nn

from zhurnal.core import settings
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train import groups
from zhurnal.train.models import MODELS
from zhurnal.train.optimizers import effective, make_optimizer


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, bias=False), nn.BatchNorm2d(width)


class Net(nn.Module):
    """A network with a position embedding, a stem, two blocks in a stage, a norm and a head."""

    def __init__(self, head="fc"):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 4, 5))
        self.stem = nn.Conv2d(3, 4, 3)
        self.stem_norm = nn.BatchNorm2d(4)
        self.stage = nn.Sequential(Block(4), Block(4))
        self.norm = nn.LayerNorm(4)
        self.add_module(head, nn.Linear(4, 2))


def names(module, found):
    of = {id(p): n for n, p in module.named_parameters()}
    return {g.get("name"): [of[id(p)] for p in g["params"]] for g in found}


def section(name="sgd", **options):
    return settings.section_class("optimizer", name)(name=name, **options)


def test_no_decay_spares_biases_and_norms():
    net = Net()
    optimizer = make_optimizer(section(weight_decay=0.1, no_decay="norm_bias"), net, None)
    assert names(net, optimizer.param_groups) == {
        "all": ["position", "stem.weight", "stage.0.conv.weight", "stage.1.conv.weight", "fc.weight"],
        "all, no decay": [
            "stem.bias", "stem_norm.weight", "stem_norm.bias", "stage.0.norm.weight", "stage.0.norm.bias", "stage.1.norm.weight",
            "stage.1.norm.bias", "norm.weight", "norm.bias", "fc.bias",
        ],
    }  # fmt: skip
    assert [(g["weight_decay"], g["lr"]) for g in effective(optimizer)] == [(0.1, 0.01), (0.0, 0.01)]


def test_a_norm_over_several_dimensions_is_a_norm():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.LayerNorm([2, 4, 4]), nn.Flatten(), nn.Linear(32, 2))
    found = names(net, make_optimizer(section(no_decay="norm_bias"), net, None).param_groups)
    assert found["all"] == ["0.weight", "3.weight"]


def test_layer_decay_counts_from_the_head_down():
    net = Net()
    optimizer = make_optimizer(section(lr=1.0, layer_decay=0.5), net, None)
    assert names(net, optimizer.param_groups) == {
        "head": ["fc.weight", "fc.bias"],
        "1 below the head": ["stage.1.conv.weight", "stage.1.norm.weight", "stage.1.norm.bias", "norm.weight", "norm.bias"],
        "2 below the head": ["stage.0.conv.weight", "stage.0.norm.weight", "stage.0.norm.bias"],
        "3 below the head": ["position", "stem.weight", "stem.bias", "stem_norm.weight", "stem_norm.bias"],
    }
    assert [g["lr"] for g in effective(optimizer)] == [1, 0.5, 0.25, 0.125]
    assert [g["initial_lr"] for g in effective(optimizer)] == [1, 0.5, 0.25, 0.125]


def test_all_together():
    net = Net()
    optimizer = make_optimizer(section("adamw", lr=1.0, layer_decay=0.5, head_lr=5.0, no_decay="norm_bias"), net, None)
    found = [(g["name"], g["lr"], g["weight_decay"], g["lr_from"], len(g["params"])) for g in optimizer.param_groups]
    assert found == [
        ("1 below the head", 0.5, 0.01, "lr", 1),
        ("1 below the head, no decay", 0.5, 0, "lr", 4),
        ("2 below the head", 0.25, 0.01, "lr", 1),
        ("2 below the head, no decay", 0.25, 0, "lr", 2),
        ("3 below the head", 0.125, 0.01, "lr", 2),
        ("3 below the head, no decay", 0.125, 0, "lr", 3),
        ("head", 5.0, 0.01, "head_lr", 1),
        ("head, no decay", 5.0, 0, "head_lr", 1),
    ]


@pytest.mark.parametrize("head", groups.HEADS)
def test_the_head_is_found_by_its_name(head):
    net = Net(head)
    net.last = nn.Linear(3, 3)  # later, and no head
    assert groups.head_of(net) is getattr(net, head)


def test_the_head_of_networks_without_such_a_name():
    plain = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))
    assert groups.head_of(plain) is plain[2]
    deep = nn.Module()
    deep.classifier = plain
    assert groups.head_of(deep) is plain[2]
    timm = Net()
    timm.get_classifier = lambda: timm.stage[0].conv
    assert groups.head_of(timm) is timm.stage[0].conv
    none = nn.Sequential(nn.Conv2d(1, 2, 3))
    assert groups.head_of(none) is None
    with pytest.raises(RunError, match=r"^optimizer.head_lr is set, but the network has no last layer that can be told: name it fc, head"):
        make_optimizer(section(head_lr=0.1), none, None)
    assert [g["lr"] for g in make_optimizer(section(layer_decay=0.5, lr=1.0), none, None).param_groups] == [1.0]


@pytest.mark.parametrize("options", [{"no_decay": "norm_bias"}, {"head_lr": 0.1}, {"layer_decay": 0.9}, {}], ids=str)
@pytest.mark.parametrize("name", ["sgd", "muon"])
@pytest.mark.parametrize("model", [name for name in MODELS if name not in ("r3d_18", "mc3_18", "r2plus1d_18", "mvit_v2_s")])
def test_each_parameter_is_in_one_group_in_the_same_order_each_time(model, name, options):
    def found():
        part = settings.section_class("model", model)(name=model)
        module = MODELS[model]((4, 3, 32, 32) if model in settings.VIDEO_MODELS else (3, 32, 32), 10, **part.options())
        next(iter(module.parameters())).requires_grad_(False)
        grouped = make_optimizer(section(name, **options), module, None).param_groups
        return [p.requires_grad for g in grouped for p in g["params"]], names(module, grouped), sum(p.requires_grad for p in module.parameters())

    trained, first, count = found()
    assert trained == [True] * count
    assert found()[1] == first
    assert len({n for group in first.values() for n in group}) == count


def test_muon_takes_the_weights_of_layers_below_the_head():
    net = Net()
    net.tokens = nn.Embedding(3, 4)
    optimizer = make_optimizer(section("muon", lr=0.1, other_lr=0.2, head_lr=0.3, weight_decay=0.01), net, None)
    assert names(net, optimizer.param_groups) == {
        "all": ["stem.weight", "stage.0.conv.weight", "stage.1.conv.weight"],
        "biases and norms": [
            "position", "stem.bias", "stem_norm.weight", "stem_norm.bias", "stage.0.norm.weight", "stage.0.norm.bias", "stage.1.norm.weight",
            "stage.1.norm.bias", "norm.weight", "norm.bias", "tokens.weight",
        ],
        "head": ["fc.weight", "fc.bias"],
    }  # fmt: skip
    assert [(g["rule"], g["lr"], g["lr_from"]) for g in effective(optimizer)] == [
        ("muon", 0.1, "lr"),
        ("adamw", 0.2, "other_lr"),
        ("adamw", 0.3, "head_lr"),
    ]


def test_a_change_of_optimizer_keeps_the_groups_and_says_so():
    from zhurnal.core import diff

    parent = settings.parse({"optimizer": {"name": "sgd", "head_lr": 0.2, "no_decay": "norm_bias", "layer_decay": 0.9}})
    changed = diff.apply(parent, {"optimizer": "adamw"})
    kept = changed.settings.optimizer
    assert (kept.head_lr, kept.no_decay, kept.layer_decay) == (0.2, "norm_bias", 0.9)
    assert "no_decay=norm_bias" in changed.notes[0]
    assert diff.apply(parent, {"optimizer": "timm:lion"}).settings.optimizer.head_lr == 0.2


@pytest.mark.parametrize("wrong", [{"head_lr": 0.0}, {"layer_decay": 1.5}, {"no_decay": "bias"}], ids=str)
def test_what_groups_cannot_be(wrong):
    with pytest.raises(SettingsError, match=f"optimizer.{next(iter(wrong))} is"):
        settings.parse({"optimizer": {"name": "sgd", **wrong}})
