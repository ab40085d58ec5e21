"""What every network for clips keeps to."""

import io

import pytest
import torch

from zhurnal.core import settings
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train.models import MODELS, make
from zhurnal.train.models.video import VIDEO_MODELS

SHAPES = [(8, 1, 32, 32), (8, 3, 24, 16), (3, 1, 17, 17), (1, 3, 16, 16)]
LARGE = ("r3d_18", "mc3_18", "r2plus1d_18", "mvit_v2_s")
SMALL = [n for n in VIDEO_MODELS if n not in LARGE]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def section(name, **options):
    return settings.section_class("model", name)(name=name, **options)


CASES = [
    *(pytest.param(name, shape, id=f"{name}-{'x'.join(map(str, shape))}") for name in SMALL for shape in SHAPES),
    *(pytest.param(name, (4, 1, 16, 16), id=name, marks=() if name == "mc3_18" else pytest.mark.slow) for name in LARGE),
]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_learns_from_every_weight_at_every_size(name, shape):
    torch.manual_seed(0)
    network = MODELS[name](shape, 5)
    num = 1 if name == "mvit_v2_s" else 2  # which makes 16 frames of 224x224 of each clip
    logits_NK = network(torch.rand(num, *shape, generator=torch.Generator().manual_seed(0)))
    assert logits_NK.shape == (num, 5)
    logits_NK.square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", [*SMALL, "mc3_18"])
def test_is_a_function_of_its_seed_and_survives_a_file(name, tmp_path):
    networks = []
    for seed, others in ((1, 123), (1, 124), (2, 123)):
        torch.manual_seed(others)
        networks.append(make(section(name), (4, 1, 16, 16), 3, seed=seed, base=tmp_path))
    states = [torch.cat([v.flatten().double() for v in n.state_dict().values()]) for n in networks]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    file = io.BytesIO()
    torch.save(networks[0].state_dict(), file)
    file.seek(0)
    networks[2].load_state_dict(torch.load(file, weights_only=True))
    clips_NTCHW = torch.rand(2, 4, 1, 16, 16)
    with torch.no_grad():
        expected_NK = networks[0].eval()(clips_NTCHW)
        assert torch.equal(networks[2].eval()(clips_NTCHW), expected_NK)
        torch.testing.assert_close(networks[2].double()(clips_NTCHW.double()).float(), expected_NK, rtol=1e-3, atol=1e-4)


def test_numbers_of_parameters():
    """torchvision documents its networks for Kinetics' 400 classes, in color."""
    with torch.device("meta"):
        counts = {n: sum(p.numel() for p in MODELS[n]((8, 3, 32, 32), 400).parameters()) for n in LARGE}
        small = {n: sum(p.numel() for p in MODELS[n]((8, 1, 32, 32), 4).parameters()) for n in SMALL}
    assert counts == {"r3d_18": 33_371_472, "mc3_18": 11_695_440, "r2plus1d_18": 31_505_325, "mvit_v2_s": 34_537_744}
    assert small == {"r2plus1d": 163_668, "frame_average": 62_006 - 300 - 510}


def test_an_average_over_frames_does_not_see_their_order_and_the_other_does():
    clips_NTCHW = torch.rand(2, 8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for name, sees in (("frame_average", False), ("r2plus1d", True)):
        network = make(section(name), (8, 1, 16, 16), 4, seed=1, base=None).eval()
        with torch.no_grad():
            there, back = network(clips_NTCHW), network(clips_NTCHW.flip(1))
            if not sees:
                frames = torch.stack([network.network(clips_NTCHW[:, t]) for t in range(8)])
                torch.testing.assert_close(there, frames.mean(0))
        assert torch.allclose(there, back, atol=1e-6) != sees


def test_any_network_for_images_can_be_averaged():
    network = make(section("frame_average", frame_model="vgg_bn"), (2, 3, 32, 32), 4, seed=1, base=None)
    assert sum(p.numel() for p in network.parameters()) > 14_000_000
    text = "frame_model: 'r2plus1d' is none of lenet, vgg"
    with pytest.raises(SettingsError, match=text):
        settings.parse({"model": {"name": "frame_average", "frame_model": "r2plus1d"}})


def test_what_is_done_to_clips_is_told_and_done(monkeypatch):
    seen = []
    with torch.device("meta"):
        network = MODELS["mvit_v2_s"]((5, 1, 20, 30), 4)
        color = MODELS["mvit_v2_s"]((16, 3, 224, 224), 4)
    assert network.adapted == (
        "gray frames are repeated as three channels for the network",
        "clips of 5 frames are brought to 16 for the network, by repeating or leaving out frames evenly",
        "frames of 20x30 pixels are resized to 224x224 for the network, bilinearly",
    )
    assert color.adapted == ()
    monkeypatch.setattr(type(network.network), "forward", lambda self, clips_NCTHW: seen.append(clips_NCTHW) or torch.zeros(2, 4))
    levels = torch.arange(5.0).view(1, 5, 1, 1, 1).expand(2, -1, 1, 20, 30)
    network(levels)
    assert seen[0].shape == (2, 3, 16, 224, 224)
    torch.testing.assert_close(seen[0][0, 2, :, 9, 9], torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]))


@pytest.mark.parametrize(
    ("name", "image", "text"),
    [
        (
            "lenet",
            (8, 1, 32, 32),
            r"model lenet takes images, but .* clips of 8 frames \(8x1x32x32\): set model=frame_average model.frame_model=lenet",
        ),
        ("r2plus1d", (1, 8, 8), r"model r2plus1d takes clips of frames, but the data are images of 1x8x8: take data=moving_shapes, or data=clips"),
    ],
)
def test_images_and_clips_are_told_apart(name, image, text):
    with pytest.raises(RunError, match=text):
        make(section(name), image, 4, seed=1, base=None)


def test_what_looks_at_images_and_libraries_networks_are_refused_for_clips():
    for init in ("lsuv", "whitening"):
        with pytest.raises(RunError, match=f"model.init={init} of r2plus1d looks at training images, and the data are clips"):
            make(section("r2plus1d", init=init), (4, 1, 16, 16), 3, seed=1, base=None, images=lambda: torch.rand(8, 4, 1, 16, 16))
    with pytest.raises(RunError, match=r"model torchvision:resnet18 takes images, but .*: set model=frame_average model.frame_model=lenet"):
        make(section("torchvision:resnet18"), (4, 3, 32, 32), 3, seed=1, base=None)
    with pytest.raises(SettingsError, match="frame_model: 'airnet' is none of"):
        settings.parse({"model": {"name": "frame_average", "frame_model": "airnet"}})
