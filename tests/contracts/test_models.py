"""What every network keeps to, built-in or the user's own."""

import io

import pytest
import torch
from torch import nn

from zhurnal.core import settings
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train.models import MODELS as ALL_MODELS
from zhurnal.train.models import lenet, make, vgg, vgg_bn

MODELS = {name: build for name, build in ALL_MODELS.items() if name not in settings.VIDEO_MODELS}  # test_video_models.py has the others
SHAPES = [(3, 32, 32), (1, 28, 28), (1, 8, 8), (3, 64, 48)]
OWN = """
from torch import nn

class Tiny(nn.Module):
    def __init__(self, image, num_classes, width=4):
        super().__init__()
        self.conv = nn.Conv2d(image[0], width, 3)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, images_NCHW):
        return self.fc(self.conv(images_NCHW).relu().mean((2, 3)))

class Fixed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.LazyLinear(10))

class Frozen(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 32 * 32, num_classes))
        self[0].eval()

def build(image, num_classes, **options):
    return Tiny(image, num_classes, **options)

def breaks(num_classes):
    return nn.Linear(7, num_classes)

def no_module():
    return "net"
"""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "my_net.py").write_text(OWN)
    return tmp_path


def section(name, **options):
    cls = settings.section_class("model", name)
    return cls(name=name, **options)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_learns_from_every_weight_at_every_size(name, shape):
    torch.manual_seed(0)
    network = MODELS[name](shape, 10)
    logits_NK = network(torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)))
    assert logits_NK.shape == (2, 10)
    logits_NK.square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", MODELS)
def test_is_a_function_of_its_seed_and_leaves_torch_s_generator(name):
    networks = []
    for seed, others in ((1, 123), (1, 124), (2, 123)):
        torch.manual_seed(others)
        state = torch.random.get_rng_state()
        networks.append(make(section(name), (1, 8, 8), 10, seed=seed, base=None))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert networks[-1].training
    assert same(networks[0], networks[1])
    assert not same(networks[0], networks[2])


@pytest.mark.parametrize("name", MODELS)
def test_survives_a_file_and_a_change_of_type(name):
    torch.manual_seed(0)
    network = MODELS[name]((1, 8, 8), 10)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    with torch.device("meta"):
        other = MODELS[name]((1, 8, 8), 10)
    other.load_state_dict(torch.load(file, weights_only=True), assign=True)
    assert same(network, other)
    images_NCHW = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        expected_NK = network.eval()(images_NCHW)
        logits_NK = other.eval().to(torch.float64)(images_NCHW.double())
    assert logits_NK.dtype == torch.float64
    torch.testing.assert_close(logits_NK.float(), expected_NK, rtol=1e-3, atol=1e-4)


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_numbers_of_parameters():
    assert count(lenet((3, 32, 32), 10)) == 62_006
    assert lenet((1, 28, 28), 10).fc1.in_features == 16 * 4 * 4
    with torch.device("meta"):
        assert count(vgg((3, 32, 32), 10)) == 14_714_688 + 5_130
        assert count(vgg((3, 32, 32), 10, num_fc=3)) == 14_714_688 + 2 * 262_656 + 5_130
        assert count(vgg_bn((3, 32, 32), 10)) == 14_714_688 + 5_130 + 2 * 4_224
        assert not any(isinstance(m, nn.AdaptiveAvgPool2d) for m in vgg((3, 32, 32), 10))


@pytest.mark.parametrize(("build", "convolutions_then"), [(vgg, 0), (vgg_bn, 1)])
@pytest.mark.parametrize(("relu_inside", "relus"), [(True, 13), (False, 5)])
def test_vgg_has_relu_where_asked(build, convolutions_then, relu_inside, relus):
    with torch.device("meta"):
        layers = list(build((3, 32, 32), 10, relu_inside=relu_inside, num_fc=3))
    kinds = [type(m).__name__ for m in layers]
    assert kinds.count("Conv2d") == 13
    assert kinds.count("BatchNorm2d") == 13 * convolutions_then
    assert kinds.count("ReLU") == relus + 2
    assert kinds.count("MaxPool2d") == 5
    assert kinds[-5:] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]


@pytest.mark.parametrize(("shape", "pools", "averages"), [((3, 64, 48), 5, 1), ((1, 28, 28), 4, 0), ((1, 8, 8), 3, 0), ((1, 4, 40), 2, 1)])
def test_vgg_pools_as_far_as_the_image_goes(shape, pools, averages):
    with torch.device("meta"):
        kinds = [type(m).__name__ for m in vgg(shape, 10)]
    assert kinds.count("MaxPool2d") == pools
    assert kinds.count("AdaptiveAvgPool2d") == averages


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)], ids=str)
def test_pooling_before_relu_is_relu_before_pooling_exactly(shape):
    network = make(section("lenet"), shape, 10, seed=1, base=None)
    names = dict(network.named_children())
    images_NCHW = torch.randn(8, *shape, generator=torch.Generator().manual_seed(0))
    images_NCHW[:, :, ::2] = images_NCHW[:, :, ::2].round()  # some values equal
    results = []
    for order in (list(names), ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2", *list(names)[6:]]):
        network.zero_grad()
        x = images_NCHW.clone().requires_grad_()
        y = x
        for key in order:
            y = names[key](y)
        y.square().sum().backward()
        results.append([y.detach(), x.grad, *(p.grad.clone() for p in network.parameters())])
    assert list(names)[1:3] == ["pool1", "relu1"]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_lenet_at_its_smallest_and_below():
    assert lenet((1, 4, 4), 10)(torch.rand(2, 1, 4, 4)).shape == (2, 10)
    for side in (19, 20):
        assert lenet((1, side, side), 10)(torch.rand(2, 1, side, side)).shape == (2, 10)
    with pytest.raises(RunError, match=r"^images of 3x8 pixels are too small for model lenet, must be at least 4x4: set data.image_size=32$"):
        lenet((1, 3, 8), 10)


@pytest.mark.parametrize(("name", "options"), [("Tiny", {}), ("Tiny", {"width": 7}), ("Fixed", {}), ("Frozen", {}), ("build", {"width": 7})])
def test_networks_of_one_s_own(lab, name, options):
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    network = make(section(f"my_net.py:{name}", init="xavier", **options), (3, 32, 32), 10, seed=1, base=lab)
    again = make(section(f"my_net.py:{name}", init="xavier", **options), (3, 32, 32), 10, seed=1, base=lab)
    assert same(network, again)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert network.training
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    assert not linear.bias.any()  # init reaches it, lazy or not


def test_the_check_leaves_modes_and_statistics(lab):
    network = make(section("my_net.py:Frozen"), (3, 32, 32), 10, seed=1, base=lab)
    assert not network[0].training
    assert network[1].training
    assert network[0].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("name", "options", "error", "text"),
    [
        ("Fixed", {}, RunError, r"gives logits of shape \(2, 10\) for 2 images of shape \(3, 32, 32\), must be logits of shape \(2, 7\)"),
        ("breaks", {}, RunError, r"my_net.py: RuntimeError: .* \(model my_net.py:breaks on images of shape \(2, 3, 32, 32\)\)"),
        ("no_module", {}, RunError, "my_net.py:no_module returns a str, must be or return a torch.nn.Module"),
        ("Tiny", {"widht": 3}, SettingsError, r"model.widht: my_net.py:Tiny has no such setting; did you mean 'width'\? it has width"),
        ("Tiny", {"width": -1}, RunError, r"my_net.py:7: .* \(calling my_net.py:Tiny, which model.name asks for\)"),
    ],
)
def test_what_is_wrong_with_a_network_of_one_s_own(lab, name, options, error, text):
    with pytest.raises(error, match=text):
        make(section(f"my_net.py:{name}", **options), (3, 32, 32), 7, seed=1, base=lab)
