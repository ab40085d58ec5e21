"""What a network is made of: counts that can be done by hand, marks, and the drawing."""

import re
import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

from zhurnal.core import settings
from zhurnal.train import graph, summary
from zhurnal.train.models import lenet
from zhurnal.train.models.resnet import resnet20
from zhurnal.train.models.vit import vit


class Odd(nn.Module):
    """A pool used twice, a layer never used, a branch, and a way that torch.fx cannot follow where asked."""

    def __init__(self, dynamic=False):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.norm = nn.MaxPool2d(2), nn.BatchNorm2d(4)
        self.left, self.spare = nn.Conv2d(4, 4, 1), nn.Linear(7, 7)
        self.head = nn.Linear(4, 10)
        self.dynamic = dynamic

    def forward(self, images_NCHW):
        x = self.pool(self.conv1(images_NCHW))
        x = self.norm(self.conv2(x)) + self.left(x)
        if self.dynamic and x.sum() > 1e9:
            x = -x
        return self.head(self.pool(x).mean((2, 3)))


class Nested(nn.Module):
    """Branches of several lengths that end together, and a shortcut within a shortcut."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(8))
        self.flatten, self.head = nn.Flatten(), nn.Linear(8, 10)

    def forward(self, images_NCHW):
        a, b, c, d, side, late, e, f = self.layers
        x = a(self.flatten(images_NCHW))
        y = b(x)
        z = d(c(y)) + side(x) + late(y)
        w = e(z)
        return self.head(z + (w + f(w)))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_counts_of_lenet_by_hand():
    found = summary.summarize(lenet((3, 32, 32), 10), (3, 32, 32))
    layers = {layer.name: layer for layer in found.layers}
    assert [layer.name for layer in found.layers][:3] == ["conv1", "pool1", "relu1"]
    assert layers["conv1"].shape == (6, 28, 28)
    assert layers["conv1"].parameters == 6 * 75 + 6
    assert layers["conv1"].flops == 2 * 75 * 6 * 28 * 28
    assert layers["fc1"].flops == 2 * 400 * 120
    assert layers["pool1"].flops == layers["relu1"].parameters == 0
    assert found.parameters == found.trained == 62_006
    assert found.forward_flops == sum(layer.flops for layer in found.layers) == 2 * (75 * 6 * 784 + 150 * 16 * 100 + 400 * 120 + 120 * 84 + 84 * 10)
    # backward: twice the forward pass, without the gradient of the images
    assert found.training_flops == 3 * found.forward_flops - layers["conv1"].flops
    assert not found.shared
    assert not found.unused


def test_attention_counts_what_its_layers_do_not():
    network = vit((1, 8, 8), 10, width=24, depth=1)
    layers = {layer.name: layer for layer in summary.summarize(network, (1, 8, 8)).layers}
    assert layers["blocks.0.attention"].flops == 2 * 2 * 5 * 5 * 24  # queries by keys, weights by values, for 5 tokens
    assert layers["blocks.0.attention"].parameters == 0
    assert layers[""].parameters == 24 + 5 * 24  # class token and positions
    assert "blocks.0" not in layers


def test_marks_and_the_network_is_left_as_it_was():
    network = Odd()
    network.left.eval()
    network.left.weight.requires_grad_(False)
    network.head.weight.grad = torch.ones(10, 4)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    state = torch.random.get_rng_state()
    found = summary.summarize(network, (1, 8, 8))
    graph.graph(network, (1, 8, 8))
    assert [(layer.name, layer.uses) for layer in found.shared] == [("pool", 2)]
    assert [layer.name for layer in found.unused] == ["spare"]
    assert found.unused[0].shape is None
    assert found.parameters - found.trained == 16
    assert found.layers[-1].name == "spare"
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in before.items())
    assert (network.training, network.left.training) == (True, False)
    assert network.head.weight.grad.eq(1).all()
    assert network.conv1.weight.grad is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_shared_weight_is_counted_once():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 10))
    network[2].weight = network[1].weight
    found = summary.summarize(network, (1, 4, 4))
    assert [layer.parameters for layer in found.layers] == [0, 272, 16, 170]
    assert found.parameters == 272 + 16 + 170


@pytest.mark.slow
def test_known_networks_without_computing():
    found = {k.name: k for k in summary.known((3, 32, 32), 10)}
    assert list(found) == list(settings.MODELS)
    # gigaflops of training, as published or counted elsewhere
    for name, expected in {"lenet": 0.0032, "resnet20": 0.242, "resnet9": 2.27, "resnet18": 3.33, "airnet": 0.708}.items():
        assert found[name].training_flops / 1e9 == pytest.approx(expected, rel=0.005), name
    odd = {k.name: k.problem for k in summary.known((3, 30, 30), 10)}
    assert "cannot be cut into patches" in odd["vit"]
    assert not odd["lenet"]


def test_shapes_of_known_data_sets():
    from zhurnal.train.data import builtin

    assert summary.shape_of(settings.Data(name="cifar100")) == ((3, 32, 32), 100)
    assert summary.shape_of(settings.Data(name="mnist", image_size=40, channels=3)) == ((3, 40, 40), 10)
    assert summary.shape_of(settings.Data(name="folder", path="x")) is None
    assert set(summary.SHAPES) == {*builtin.TORCHVISION, "digits"}
    digits = builtin.digits()
    assert (digits.images.shape, len(digits.classes)) == summary.SHAPES["digits"]


# --- the graph -------------------------------------------------------------------------------------------------------------------------------


def edges(found):
    return {(found.nodes[j].name, node.name) for node in found.nodes for j in node.inputs}


def test_the_graph_has_branches_and_marks():
    found = graph.graph(Odd(), (1, 8, 8))
    assert found.traced
    assert {("pool", "conv2"), ("pool", "left"), ("norm", "add"), ("left", "add"), ("add", "pool"), ("mean", "head")} <= edges(found)
    assert [(n.name, n.mark) for n in found.nodes if n.mark] == [("pool", "used 2x"), ("pool", "used 2x")]
    assert found.unused == ("spare",)
    assert found.nodes[-1].shape == (10,)
    assert next(n for n in found.nodes if n.name == "conv2").text == "Conv2d 4 3x3"


def test_a_network_that_cannot_be_traced_is_a_chain():
    found = graph.graph(Odd(dynamic=True), (1, 8, 8))
    assert not found.traced
    assert [n.name for n in found.nodes] == ["images", "conv1", "pool", "conv2", "norm", "left", "pool", "head", "logits"]
    assert [n.inputs for n in found.nodes] == [(), *((i,) for i in range(8))]
    assert [n.name for n in found.nodes if n.mark] == ["pool", "pool"]
    assert "torch.fx cannot trace" in graph.svg(found)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (Nested, (1, 2, 4)),
        (lambda: Odd(), (1, 8, 8)),
        (lambda: resnet20((1, 8, 8), 10, shortcut="projection"), (1, 8, 8)),
        (lambda: vit((1, 8, 8), 10, depth=2), (1, 8, 8)),
    ],
)
def test_no_box_lies_on_another_and_arrows_go_down(build, shape):
    found = graph.graph(build(), shape)
    places = graph.place(found)
    assert found.traced
    assert len(set(places)) == len(places)
    for i, node in enumerate(found.nodes):
        for j in node.inputs:
            assert places[j][1] < places[i][1]
            if places[j][0] > 0:  # its arrow runs down its column: nothing else is there
                between = [(places[j][0], r) for r in range(places[j][1] + 1, places[i][1])]
                assert not set(between) & set(places)
    lanes = graph._arcs(found, places)
    if build is Nested:
        assert sorted(lanes.values()) == [0, 1]
        assert {c for c, _ in places} == {0, 1, 2}
    for (a, b), lane in lanes.items():
        for (c, d), other in lanes.items():
            if lane == other and (a, b) != (c, d):
                assert places[b][1] <= places[c][1] or places[d][1] <= places[a][1]


def test_the_drawing_is_xml_of_its_own_with_every_node():
    network = nn.Sequential()
    network.add_module("a_long_name_of_a_module_that_does_not_fit", nn.Conv2d(1, 2, 3))
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc", nn.Linear(2 * 36, 10))
    found = graph.graph(network, (1, 8, 8))
    text = graph.svg(found, "a < b & c")
    root = ET.fromstring(text)
    width, height = float(root.get("width")), float(root.get("height"))
    boxes = [e for e in root.iter() if e.tag.endswith("rect")]
    assert len(boxes) == 1 + len(found.nodes)
    for box in boxes[1:]:
        assert 0 <= float(box.get("x")) < float(box.get("x")) + float(box.get("width")) <= width
        assert 0 <= float(box.get("y")) < float(box.get("y")) + float(box.get("height")) <= height
    words = [e.text for e in root.iter() if e.tag.endswith("text")]
    assert "a < b & c" in words
    assert any(w and w.startswith("…") and w.endswith("does_not_fit") for w in words)
    assert not re.search(r"http(?!://www.w3.org)", text)
    assert text == graph.svg(graph.graph(network, (1, 8, 8)), "a < b & c")
