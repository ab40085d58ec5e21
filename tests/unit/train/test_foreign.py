"""Networks of torchvision and timm: new heads, other channels and sizes, weights from this machine only."""

import hashlib
import importlib.util
import io

import pytest
import torch
from torch import nn

from zhurnal.core import settings
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train.models import make, notes_of
from zhurnal.train.models.foreign import Adapt, _import_timm

TIMM = importlib.util.find_spec("timm") is not None


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch, tmp_path):
    """No network, and empty caches."""

    def refuse(*_, **__):
        raise AssertionError("something was to be downloaded")

    torch.set_num_threads(1)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))


def build(name, shape=(3, 32, 32), classes=7, base=None, **options):
    return make(settings.section_class("model", name)(name=name, **options), shape, classes, seed=1, base=base)


def check(network, shape, classes=7):
    logits_NK = network.train()(torch.rand(2, *shape))
    assert logits_NK.shape == (2, classes)
    logits_NK.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    file = io.BytesIO()
    torch.save(network.state_dict(), file)


# One of each way to end: Linear, Linear in a list, Conv2d.
@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "mobilenet_v3_small", "squeezenet1_1"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)], ids=str)
def test_torchvision_s_get_a_new_head_and_other_channels(name, shape):
    network = build(f"torchvision:{name}", shape)
    again = build(f"torchvision:{name}", shape)
    assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True))
    check(network, shape)
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    assert first.in_channels == shape[0]


def test_images_that_do_not_fit_are_resized_and_it_is_said():
    network = build("torchvision:squeezenet1_1", (3, 12, 10))
    assert notes_of(network) == ("images are resized from 12x10 to 32x32 inside the network: torchvision:squeezenet1_1 takes none of 12x10",)
    seen = []
    network.features[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images_NCHW = torch.rand(2, 3, 12, 10)
    network(images_NCHW)
    expected = nn.functional.interpolate(images_NCHW, (32, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(seen[0], expected)
    asked = build("torchvision:shufflenet_v2_x0_5", (3, 32, 32), input_size=48)
    assert notes_of(asked) == ("images are resized from 32x32 to 48x48 inside the network: model.input_size asks for it",)
    assert notes_of(build("torchvision:shufflenet_v2_x0_5")) == ()
    assert [*asked.state_dict()] == [*build("torchvision:shufflenet_v2_x0_5").state_dict()]


def test_resizing_to_fewer_pixels_averages_and_gray_is_repeated():
    images_NCHW = torch.rand(2, 1, 32, 32)
    (found_NCHW,) = Adapt((8, 8), 3)(nn.Identity(), (images_NCHW,))
    assert found_NCHW.shape == (2, 3, 8, 8)
    assert torch.equal(found_NCHW[:, 0], found_NCHW[:, 2])
    assert found_NCHW.std() < images_NCHW.std() / 2.5  # of four pixels across; two, as without antialiasing, would leave a half
    torch.testing.assert_close(found_NCHW.mean(), images_NCHW.mean(), atol=0.02, rtol=0)


@pytest.mark.slow
def test_a_network_of_one_size_only_gets_it():
    network = build("torchvision:vit_b_16", (3, 32, 32))
    assert "resized from 32x32 to 224x224" in notes_of(network)[0]


def library_weights(name):
    """A file such as the library has, of a network with random weights."""
    from zhurnal.train.vision import torchvision

    torch.manual_seed(5)
    return torchvision().models.get_model(name, weights=None).state_dict()


def write(path, held):
    file = io.BytesIO()
    torch.save(held, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue())
    return hashlib.sha256(file.getvalue()).hexdigest()


@pytest.mark.parametrize("channels", [3, 1, 4])
def test_pre_trained_weights_from_a_file(tmp_path, channels):
    held = library_weights("shufflenet_v2_x0_5")
    digest = write(tmp_path / "shuffle.pth", held)
    network = build("torchvision:shufflenet_v2_x0_5", (channels, 32, 32), base=tmp_path, pretrained=True, weights="shuffle.pth")
    found = network.state_dict()
    same = [k for k, v in held.items() if found[k].shape == v.shape and torch.equal(found[k], v)]
    assert set(held) - set(same) == {"fc.weight", "fc.bias"} | ({"conv1.0.weight"} if channels != 3 else set())
    first = held["conv1.0.weight"]
    expected = {3: first, 1: first.sum(1, keepdim=True), 4: first[:, [0, 1, 2, 0]] * 0.75}[channels]
    assert torch.equal(found["conv1.0.weight"], expected)
    told = f"torchvision:shufflenet_v2_x0_5 starts from the pre-trained weights shuffle.pth (SHA-256 {digest[:16]}); its last layer is new"
    assert notes_of(network) == (told,)


def test_pre_trained_weights_from_the_cache(tmp_path):
    network = build("torchvision:shufflenet_v2_x0_5")  # imports torchvision
    assert notes_of(network) == ()
    with pytest.raises(RunError) as caught:
        build("torchvision:shufflenet_v2_x0_5", pretrained=True)
    path = tmp_path / "hub" / "checkpoints" / "shufflenetv2_x0.5-f707e7126e.pth"
    text = str(caught.value)
    assert text.startswith("model.pretrained: weights of torchvision:shufflenet_v2_x0_5 are not on this machine, and are not downloaded (looked for ")
    assert str(path) in text
    assert text.endswith("or set model.weights=FILE.pth, or model.pretrained=false")
    write(path, library_weights("shufflenet_v2_x0_5"))
    with pytest.raises(RunError, match="is damaged: its SHA-256 does not begin with f707e7126e, as its name says"):
        build("torchvision:shufflenet_v2_x0_5", pretrained=True)
    with pytest.raises(RunError, match=r"there is no file .*missing.pth: put it there"):
        build("torchvision:shufflenet_v2_x0_5", pretrained=True, weights="missing.pth", base=tmp_path)
    write(tmp_path / "other.pth", {"a": torch.zeros(1)})
    with pytest.raises(RunError, match="do not fit the network"):
        build("torchvision:shufflenet_v2_x0_5", pretrained=True, weights="other.pth", base=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("torchvision:resnet19", {}, r"torchvision has no network 'resnet19' among its \d+; did you mean torchvision:resnet18,"),
        ("torchvision:shufflenet_v2_x0_5", {"widht": 2}, r"cannot be built with model.widht: TypeError: .*unexpected keyword argument 'widht'"),
        ("torchvision:shufflenet_v2_x0_5", {"num_classes": 2}, "model.num_classes is no setting of torchvision:shufflenet_v2_x0_5"),
    ],
)
def test_what_is_wrong_with_a_library_s_network(name, options, text):
    with pytest.raises(SettingsError, match=text):
        build(name, **options)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("torchvision:", "model: 'torchvision:' is none of lenet"),
        ("torchivision:resnet18", "model: 'torchivision:resnet18' is none of lenet"),
        ({"name": "timm:resnet18", "pretrained": True, "init": "kaiming"}, "model.init is kaiming, but model.pretrained is true"),
        ({"name": "timm:resnet18", "pretrained": True, "weights": "e0001:best"}, "model.weights is e0001:best, but model.pretrained is true"),
        ({"name": "timm:resnet18", "input_size": 2}, "model.input_size is 2, must be at least 4"),
        ({"name": "lenet", "unfreeze_epoch": 3}, "model.unfreeze_epoch is 3, but model.freeze is none"),
        ({"name": "lenet", "freeze": "backbone", "unfreeze_epoch": 11}, "model.unfreeze_epoch is 11, but train.epochs is 10: it would never come"),
        ({"name": "airnet", "width": 96}, "model.width is 96, must be small, 93, 94 or 95"),
        ({"name": "airnet", "scale": "wide"}, "model.scale is wide, must be width"),
    ],
)
def test_settings_that_cannot_be(model, text):
    with pytest.raises(SettingsError) as caught:
        settings.parse({"model": model})
    assert any(p.startswith(text) for p in caught.value.problems), caught.value.problems


def test_settings_of_a_library_s_network_survive_a_difference():
    from zhurnal.core import diff

    parent = settings.parse({"model": {"name": "lenet", "freeze": "conv1", "unfreeze_epoch": 2}})
    child = settings.parse({"model": {"name": "timm:test_vit", "img_size": 32, "freeze": "backbone"}})
    for a, b in ((parent, child), (child, parent)):
        assert diff.apply(a, diff.diff(a, b)).settings == b
    changed = diff.apply(parent, {"model": "vgg"})
    assert changed.settings.model.freeze == "none"  # conv1 is a module of lenet
    assert any("drops freeze=conv1" in note for note in changed.notes)
    assert diff.apply(child, {"model.img_size": None}).settings == settings.parse({"model": {"name": "timm:test_vit", "freeze": "backbone"}})


@pytest.mark.skipif(TIMM, reason="timm is installed")
def test_without_timm_it_is_said_how_to_get_it():
    with pytest.raises(RunError, match=r"^networks of timm need the package timm \(No module named 'timm'\): pip install 'zhurnal\[timm\]'$"):
        build("timm:resnet18")


@pytest.mark.slow
@pytest.mark.skipif(not TIMM, reason="timm is not installed")
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)], ids=str)
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_timm_s_get_a_new_head_and_other_channels(name, shape, tmp_path):
    network = build(f"timm:{name}", shape)
    check(network, shape)
    torch.save(_import_timm().create_model(name).state_dict(), tmp_path / "w.pth")
    with pytest.raises(RunError, match=r"are not on this machine, and are not downloaded \(looked for timm/"):
        build(f"timm:{name}", shape, pretrained=True)
    loaded = build(f"timm:{name}", shape, pretrained=True, weights="w.pth", base=tmp_path)
    held, found = torch.load(tmp_path / "w.pth", weights_only=True), loaded.state_dict()
    assert sum(k in found and torch.equal(v, found[k]) for k, v in held.items() if v.shape == found[k].shape and v.ndim > 1) > 5
    with pytest.raises(SettingsError, match="did you mean timm:"):
        build(f"timm:{name}x")
