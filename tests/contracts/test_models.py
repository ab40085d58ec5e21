"""What every network keeps to, built-in or the user's own."""

import io

import pytest
import torch
from torch import nn

from zhurnal.core import settings
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train.models import MODELS as ALL_MODELS
from zhurnal.train.models import lenet, make, vgg, vgg_bn
from zhurnal.train.models.airnet import WIDTHS, airnet
from zhurnal.train.models.resnet import PadChannels, resnet18, resnet20
from zhurnal.train.models.resnet9 import resnet9
from zhurnal.train.models.vit import Attention, vit

MODELS = {name: build for name, build in ALL_MODELS.items() if name not in settings.VIDEO_MODELS}  # test_video_models.py has the others
SHAPES = [(3, 32, 32), (1, 28, 28), (1, 8, 8), (3, 64, 48)]
# Options that keep the tests fast; those without have many weights, and take long.
SMALL = {"airnet": {"width": "small"}, "vit": {"width": 24, "depth": 2}}
LARGE = ("resnet18", "resnet9")
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in MODELS]
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


def images(shape):
    return lambda: torch.randn((20, *shape), generator=torch.Generator().manual_seed(3))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_learns_from_every_weight_at_every_size(name, shape):
    torch.manual_seed(0)
    network = MODELS[name](shape, 10, **SMALL.get(name, {}))
    logits_NK = network(torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)))
    assert logits_NK.shape == (2, 10)
    logits_NK.square().sum().backward()
    for key, parameter in network.named_parameters():
        if name == "airnet" and (key == "whiten.weight" or ("norm" in key and key.endswith("weight"))):
            assert not parameter.requires_grad, key  # as in its source
            continue
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", NAMES)
def test_is_a_function_of_its_seed_and_leaves_torch_s_generator(name):
    networks = []
    for seed, others in ((1, 123), (1, 124), (2, 123)):
        torch.manual_seed(others)
        state = torch.random.get_rng_state()
        networks.append(make(section(name, **SMALL.get(name, {})), (1, 8, 8), 10, seed=seed, base=None, images=images((1, 8, 8))))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert networks[-1].training
    assert same(networks[0], networks[1])
    assert not same(networks[0], networks[2])


@pytest.mark.parametrize("name", NAMES)
def test_survives_a_file_and_a_change_of_type(name):
    torch.manual_seed(0)
    network = MODELS[name]((1, 8, 8), 10, **SMALL.get(name, {}))
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    with torch.device("meta"):
        other = MODELS[name]((1, 8, 8), 10, **SMALL.get(name, {}))
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
        assert count(resnet18((3, 32, 32), 10)) == 11_173_962
        assert count(resnet20((3, 32, 32), 10)) == 269_722  # the paper's 0.27 M, for option A
        assert count(resnet20((3, 32, 32), 10, shortcut="projection")) == 269_722 + 32 * 16 + 2 * 32 + 64 * 32 + 2 * 64
        assert count(resnet9((3, 32, 32), 10)) == 6_573_120
        assert [count(airnet((3, 32, 32), 10, width=w)) for w in WIDTHS] == [146_744, 569_656, 1_972_792, 4_606_520]
        assert count(vit((3, 32, 32), 10)) == 192 * 48 + 192 + 192 + 65 * 192 + 6 * (12 * 192**2 + 13 * 192) + 2 * 192 + 1_930


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


def test_the_shortcut_without_weights_takes_every_second_pixel_and_pads_zeros():
    images_NCHW = torch.rand(2, 3, 5, 4)
    out_NCHW = PadChannels(2, 3)(images_NCHW)
    assert torch.equal(out_NCHW[:, :3], images_NCHW[:, :, ::2, ::2])
    assert out_NCHW.shape == (2, 6, 3, 2)
    assert not out_NCHW[:, 3:].any()


@pytest.mark.parametrize(("shape", "pools"), [((3, 32, 32), 3), ((1, 8, 8), 2), ((1, 2, 2), 0), ((2, 64, 48), 3)])
def test_airnet_pools_as_far_as_the_image_goes(shape, pools):
    network = airnet(shape, 10, width="small")
    assert [m.kernel_size for m in network.modules() if isinstance(m, nn.MaxPool2d)] == [2] * pools
    assert network.whiten.out_channels == 8 * shape[0]
    assert network(torch.rand(2, *shape)).shape == (2, 10)
    with pytest.raises(RunError, match="images of 1x8 pixels are too small for model airnet, must be at least 2x2"):
        airnet((1, 1, 8), 10)


def test_airnet_starts_as_its_source_says():
    network = make(section("airnet", width="small"), (3, 12, 12), 10, seed=1, base=None, images=images((3, 12, 12)))
    conv = network.group2.conv1  # 32 -> 64
    assert torch.equal(conv.weight[:32], nn.init.dirac_(torch.empty(32, 32, 3, 3)))
    assert conv.weight[32:].std() > 0.01
    assert network.head.weight.std().item() == pytest.approx(1)
    assert torch.equal(network.whiten.weight[:12], -network.whiten.weight[12:])
    assert network.scale.factor == 1 / 64
    other = make(section("airnet", width="small", scale=0.1), (3, 12, 12), 10, seed=1, base=None, images=images((3, 12, 12)))
    assert other.head.weight.std() < 0.2
    assert (other.group1.norm1.momentum, other.group1.norm1.eps) == (0.4, 1e-12)
    with pytest.raises(RunError, match=r"model.init=default of airnet looks at training images, and there are none here"):
        make(section("airnet", width="small"), (3, 12, 12), 10, seed=1, base=None)
    make(section("airnet", width="small", init="kaiming"), (3, 12, 12), 10, seed=1, base=None)


def test_vit_says_what_it_cannot_cut():
    with pytest.raises(
        RunError, match=r"^images of 30x28 pixels cannot be cut into patches of 4x4 for model vit: set data.image_size=28, or a model.patch"
    ):
        vit((1, 30, 28), 10)
    with pytest.raises(RunError, match=r"^model.width is 100, must be a multiple of model.num_heads=3: set model.width=99$"):
        vit((1, 28, 28), 10, width=100)


def test_vit_sees_where_a_patch_is():
    torch.manual_seed(0)
    network = vit((1, 8, 8), 10, width=24, depth=1).eval()
    images_NCHW = torch.rand(1, 1, 8, 8)
    assert not torch.allclose(network(images_NCHW), network(images_NCHW.roll(4, 3)), atol=1e-5)
    with torch.no_grad():
        network.positions.zero_()
    torch.testing.assert_close(network(images_NCHW), network(images_NCHW.roll(4, 3)))


def test_attention_is_pytorch_s():
    torch.manual_seed(0)
    attention = Attention(24, 3)
    tokens_NTD = torch.randn(2, 5, 24)
    expected = nn.MultiheadAttention(24, 3, batch_first=True)
    expected.in_proj_weight, expected.in_proj_bias, expected.out_proj = attention.qkv.weight, attention.qkv.bias, attention.proj
    torch.testing.assert_close(attention(tokens_NTD), expected(tokens_NTD, tokens_NTD, tokens_NTD)[0])


def test_residual_blocks_add_their_input():
    torch.manual_seed(0)
    network = resnet20((1, 8, 8), 10).eval()
    block = network.layer1[0]
    nn.init.zeros_(block.bn2.weight)
    images_NCHW = torch.rand(2, 16, 8, 8)
    assert torch.equal(block(images_NCHW), images_NCHW)
    residual = resnet9((1, 8, 8), 10).residual1.eval()
    nn.init.zeros_(residual.inner.res2.bn.weight)
    images_NCHW = torch.rand(2, 128, 4, 4)
    assert torch.equal(residual(images_NCHW), images_NCHW)


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
