"""Each step against its definition image by image, most of them torchvision.transforms.v2's, on the same draws."""

import hashlib
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zhurnal.api import Lab
from zhurnal.core import settings
from zhurnal.core.errors import DataError
from zhurnal.train import auto_augment, image_ops, random, setup, steps, transforms
from zhurnal.train.step import Feed
from zhurnal.train.vision import torchvision
from zhurnal.train.watch import Silent

SHAPES = [(3, 32, 32), (1, 28, 28), (3, 20, 33), (1, 8, 8), (3, 64, 48)]
MEAN = (0.49, 0.48, 0.45)


@pytest.fixture(scope="module")
def functional():
    torchvision()
    from torchvision.transforms.v2 import functional

    return functional


@pytest.fixture(scope="module")
def v2():
    torchvision()
    from torchvision.transforms import v2

    return v2


def images(shape, num=40):
    """Blocks of color with noise, the first three of one color."""
    bits = random.bits(11, random.ORDER, 0, np.arange(num), math.prod(shape)) >> np.uint64(56)
    noise = torch.from_numpy(bits.astype(np.uint8).reshape(num, *shape))
    blocks = noise[:, :, ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3)[:, :, : shape[1], : shape[2]]
    result = torch.where(noise < 128, blocks, blocks // 2 + noise // 4)
    result[0], result[1], result[2] = 0, 255, 127
    return result


def step(name, shape, num=40, **options):
    """Return images, a step's draws for them, and what it makes of them."""
    transform = transforms.make([{name: options} if options else name], shape, MEAN[: shape[0]])
    before, draws = images(shape, num), random.uniform(1, random.AUGMENT, 0, torch.arange(num), transform.num_draws)
    return before, draws, transform.apply(before, draws)


def test_recipes_are_what_they_always_were():
    """Hashes of what they made before recipes were lists of steps: real runs depend on them."""
    made = {}
    for name in settings.RECIPES:
        digest = hashlib.sha256()
        for shape in [(3, 32, 32), (1, 28, 28), (3, 9, 14), (3, 8, 8), (3, 96, 64)]:
            transform = transforms.make(name, shape)
            bits = random.bits(11, random.ORDER, 0, np.arange(37), math.prod(shape)) >> np.uint64(56)
            noise = torch.from_numpy(bits.astype(np.uint8).reshape(37, *shape))
            given = torch.where(noise < 100, noise[:, :, :1, :1].expand_as(noise), noise)
            digest.update(f"{transform.num_draws}".encode())
            digest.update(transform.apply(given, random.uniform(7, random.AUGMENT, 2, torch.arange(37), transform.num_draws)).numpy().tobytes())
        made[name] = digest.hexdigest()[:16]
    assert made == {"init": "339e55e50b52b848", "augment_simple": "b9862c9d7eaa37f7", "augment": "926e194e8965199a"}


def test_a_recipe_is_the_list_of_its_steps():
    before = images((3, 32, 32))
    for name, written in settings.RECIPES.items():
        recipe, listed = transforms.make(name, (3, 32, 32)), transforms.make(written, (3, 32, 32))
        draws = transforms.draw(recipe, 3, 1, torch.arange(len(before)))
        assert recipe.num_draws == listed.num_draws
        assert torch.equal(recipe.apply(before, draws), listed.apply(before, draws))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("mode", "torchs"), [("zero", "constant"), ("reflect", "reflect")])
def test_crop(functional, shape, mode, torchs):
    before, draws, after = step("crop", shape, padding=3, mode=mode)
    for n, (top, left) in enumerate(draws.tolist()):
        padded = functional.pad(before[n], [3] * 4, padding_mode=torchs)
        assert torch.equal(after[n], functional.crop(padded, int(top * 7), int(left * 7), *shape[1:]))


def test_a_mirrored_border_must_be_smaller_than_the_image():
    with pytest.raises(DataError, match=r"crop.padding is 8, must be at most 7 to mirror images of 8x9 pixels"):
        transforms.make([{"crop": {"padding": 8, "mode": "reflect"}}], (3, 8, 9))
    transforms.make([{"crop": {"padding": 7, "mode": "reflect"}}], (3, 8, 9))


@pytest.mark.parametrize(("name", "torchs"), [("flip", "horizontal_flip"), ("flip_vertical", "vertical_flip")])
def test_flips(functional, name, torchs):
    before, draws, after = step(name, (3, 20, 33), p=0.3)
    for n, (drawn,) in enumerate(draws.tolist()):
        assert torch.equal(after[n], getattr(functional, torchs)(before[n]) if drawn < 0.3 else before[n])
    assert 0 < (draws < 0.3).sum() < len(before)


def test_alternating_flip_shows_each_image_both_ways_in_two_epochs():
    before, numbers = images((3, 8, 8), 200)[3:], torch.arange(197)
    transform = transforms.make(["crop", "alternating_flip"], (3, 8, 8))
    flip = transforms.make(["alternating_flip"], (3, 8, 8))
    mirrored = []
    for epoch in range(5):
        draws = transforms.draw(transform, 5, epoch, numbers)
        mirrored.append((flip.apply(before, draws[:, 2:]) == before.flip(-1)).flatten(1).all(1))
        assert torch.equal(mirrored[-1], draws[:, 2] < 0.5)
        crops = random.uniform(5, random.AUGMENT, epoch, numbers, 3)[:, :2]
        assert torch.equal(draws[:, :2], crops)  # the others' draws are those of the epoch
        assert torch.equal(draws[50:60], transforms.draw(transform, 5, epoch, numbers[50:60]))
    assert 70 < mirrored[0].sum() < 130
    for before_that, then in itertools.pairwise(mirrored):
        assert torch.equal(then, ~before_that)


@pytest.mark.parametrize("shape", SHAPES)
def test_translate(functional, shape):
    before, draws, after = step("translate", shape, horizontal=0.2, vertical=0.1, p=0.7)
    for n, (drawn, right, down) in enumerate(draws.tolist()):
        by = [round((2 * right - 1) * 0.2 * shape[2]), round((2 * down - 1) * 0.1 * shape[1])]
        expected = functional.affine(before[n], angle=0, translate=by, scale=1, shear=[0, 0])
        assert torch.equal(after[n], expected if drawn < 0.7 else before[n])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 6, 7, None, 100])
def test_cutout(shape, size):
    before, draws, after = step("cutout", shape, **({"size": size} if size else {}), p=0.8)
    height, width = shape[1:]
    side = size or min(shape[1:]) // 2
    for n, (drawn, row, col) in enumerate(draws.tolist()):
        top, left = int(row * height) - side // 2, int(col * width) - side // 2
        expected = before[n].clone()
        if drawn < 0.8:
            for channel in range(shape[0]):
                expected[channel, max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = round(MEAN[channel] * 255)
        assert torch.equal(after[n], expected)


def test_what_is_covered_is_nothing_after_normalization():
    mean = (0.5, 0.25, 0.125)
    normalize = transforms.normalizer(mean, (0.2, 0.2, 0.2))
    cover = transforms.make([{"cutout": {"size": 64}}], (3, 8, 8), mean).apply(images((3, 8, 8)), torch.rand(40, 3).double())
    assert normalize(cover).abs().max() < 0.02  # half a level of 255
    black = transforms.make([{"cutout": {"size": 64, "fill": "black"}}], (3, 8, 8), mean).apply(images((3, 8, 8)), torch.rand(40, 3).double())
    assert black.max() == 0


def test_color_jitter_leaves_out_what_is_zero(functional):
    before, draws, after = step("color_jitter", (3, 16, 16), brightness=1.5, contrast=0, saturation=0, hue=0)
    for n, row in enumerate(draws.tolist()):
        expected = functional.adjust_brightness(before[n], row[1] * 2.5)  # from 0, not from -0.5
        assert (after[n].int() - expected.int()).abs().max() <= 1
    before, _, after = step("color_jitter", (3, 16, 16), brightness=0, contrast=0, saturation=0, hue=0)
    assert torch.equal(before, after)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28)])
def test_grayscale(functional, shape):
    before, draws, after = step("grayscale", shape, p=0.6)
    for n, (drawn,) in enumerate(draws.tolist()):
        assert torch.equal(after[n], functional.rgb_to_grayscale(before[n], shape[0]) if drawn < 0.6 else before[n])


def torchvisions_draws(monkeypatch, row, position, first):
    """Let torchvision's transform draw from `row`: uniform numbers from `first` on, whole numbers from the two at `position`."""
    uniform, whole = iter(row[first:]), iter(row[position : position + 2])

    class Drawn:
        def uniform_(self, low, high):
            return torch.tensor([next(uniform) * (high - low) + low], dtype=torch.float64)

    monkeypatch.setattr(torch, "empty", lambda *a, **k: Drawn())
    monkeypatch.setattr(torch, "randint", lambda low, high, size: torch.tensor([int(next(whole) * (high - low)) + low]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("scale", "ratio"), [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.9, 1.0), (1.9, 2.0)), ((1.0, 1.0), (0.5, 0.51)), ((0.3, 0.3), (1.0, 1.0))]
)
def test_resize_crop_is_torchvisions(functional, v2, monkeypatch, shape, scale, ratio):
    before, draws, after = step("resize_crop", shape, num=20, scale=scale, ratio=ratio)
    torchs = v2.RandomResizedCrop(shape[1:], scale=scale, ratio=ratio)
    torchs._log_ratio = torch.log(torch.tensor(ratio, dtype=torch.float64))
    for n, row in enumerate(draws.tolist()):
        with monkeypatch.context() as patch:
            torchvisions_draws(patch, row, 0, 2)
            box = torchs.make_params([before[n]])
        assert torch.equal(after[n], functional.resized_crop(before[n], **box, size=list(shape[1:]), antialias=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [(0.02, 0.33), (0.9, 1.0)])
def test_random_erasing_is_torchvisions(v2, monkeypatch, shape, scale):
    before, draws, after = step("random_erasing", shape, scale=scale, p=0.7, fill="black")
    torchs = v2.RandomErasing(scale=scale, value=0)
    torchs._log_ratio = torch.log(torch.tensor((0.3, 3.3), dtype=torch.float64))
    changed = 0
    for n, row in enumerate(draws.tolist()):
        with monkeypatch.context() as patch:
            torchvisions_draws(patch, row, 1, 3)
            box = torchs.make_params([before[n]])
        expected = before[n].clone()
        if row[0] < 0.7 and box["v"] is not None:
            expected[:, box["i"] : box["i"] + box["h"], box["j"] : box["j"] + box["w"]] = 0
            changed += 1
        assert torch.equal(after[n], expected)
    assert changed > 10 or scale[0] > 0.5


@pytest.mark.parametrize(("shape", "size", "large"), [((3, 32, 32), 40, [40, 40]), ((3, 20, 33), 25, [25, 41]), ((1, 64, 48), 50, [66, 50])])
def test_enlarge(functional, shape, size, large):
    before, draws, after = step("enlarge", shape, size=size, p=0.6)
    for n, (drawn, top, left) in enumerate(draws.tolist()):
        expected = functional.resize(before[n], [size], antialias=True)
        assert list(expected.shape[1:]) == large
        expected = functional.crop(expected, int(top * (large[0] - shape[1] + 1)), int(left * (large[1] - shape[2] + 1)), *shape[1:])
        assert torch.equal(after[n], expected if drawn < 0.6 else before[n])


def test_enlarge_makes_nothing_smaller():
    with pytest.raises(DataError, match=r"enlarge.size is 27, must be at least 28, the smaller side of images of 28x30 pixels"):
        transforms.make([{"enlarge": {"size": 27}}], (1, 28, 30))


def near_half(shape, name, magnitude):
    """Return the pixels (H, W) whose source lies half-way between two, where float32 and float64 may differ."""
    height, width = shape[1:]
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    if name == "ShearX":
        x, y = x + magnitude * (y + 0.5), y
    elif name == "ShearY":
        x, y = x, y + magnitude * (x + 0.5)
    elif name == "Rotate":
        turn, (cy, cx) = math.radians(magnitude), ((height - 1) / 2, (width - 1) / 2)
        x, y = math.cos(turn) * (x - cx) - math.sin(turn) * (y - cy) + cx, math.sin(turn) * (x - cx) + math.cos(turn) * (y - cy) + cy
    return sum(((v - 0.5) - (v - 0.5).round()).abs() < 1e-4 for v in (x, y)) > 0


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 20, 33)])
@pytest.mark.parametrize("kind", ["rand", "wide"])
@pytest.mark.parametrize("number", range(14))
def test_auto_augment_operations_are_torchvisions(v2, shape, kind, number):
    torchs = v2.RandAugment() if kind == "rand" else v2.TrivialAugmentWide()
    space = auto_augment.RAND if kind == "rand" else auto_augment.WIDE
    name, (levels, signed) = list(torchs._AUGMENTATION_SPACE.items())[number]
    assert name == list(auto_augment.OPERATIONS)[number]
    levels = levels(auto_augment.BINS, *shape[1:])
    bins = range(auto_augment.BINS) if name in ("Posterize", "Solarize") else [0, 1, 9, 14, 15, 16, 29, 30]
    before = images(shape, 12)
    for sign in (1, -1) if signed else (1,):
        given = before.repeat(len(bins), 1, 1, 1)
        bins_N = torch.tensor(bins).repeat_interleave(12)
        negative_N = torch.full((len(given),), sign < 0)
        after = auto_augment.operate(given.clone(), space, torch.full((len(given),), (number + 0.5) / 14).double(), bins_N, negative_N)
        for n, number_of_bin in enumerate(bins_N.tolist()):
            magnitude = float(levels[number_of_bin]) * sign if levels is not None else 0.0
            expected = torchs._apply_image_or_video_transform(given[n], name, magnitude, interpolation=torchs.interpolation, fill=torchs._fill)
            difference = (after[n].int() - expected.int()).abs()
            if name in ("ShearX", "ShearY", "Rotate"):
                difference = difference[:, ~near_half(shape, name, magnitude)]
            assert difference.max() <= (1 if name in ("Brightness", "Color", "Contrast", "Sharpness") else 0), (name, magnitude)
            assert n % 12 < 3 or (difference > 0).float().mean() < 0.02  # in an image of one color, all pixels fall the same way


def test_auto_augment_draws_operations_evenly(v2):
    assert list(v2.RandAugment._AUGMENTATION_SPACE) == list(v2.TrivialAugmentWide._AUGMENTATION_SPACE) == list(auto_augment.OPERATIONS)
    before = images((3, 16, 16), 10)[9:].repeat(2000, 1, 1, 1)
    draws = random.uniform(0, random.AUGMENT, 0, torch.arange(2000), 3)
    after = transforms.make(["trivial_augment"], (3, 16, 16)).apply(before, draws)
    kinds = torch.bucketize(draws[:, 0].contiguous(), torch.arange(1, 14).double() / 14, right=True)
    assert ((kinds == 0) <= (after == before).flatten(1).all(1)).all()
    brighter, down = after.float().mean((1, 2, 3)) > before.float().mean(), draws[:, 2] <= 0.5
    assert not (brighter & (kinds == 6) & down).any()
    assert (brighter & (kinds == 6) & ~down).sum() > 40


def test_rand_augment_does_its_operations_in_turn():
    before, draws = images((3, 16, 16)), random.uniform(2, random.AUGMENT, 0, torch.arange(40), 4)
    one = transforms.make([{"rand_augment": {"num_ops": 1, "magnitude": 20}}], (3, 16, 16))
    two = transforms.make([{"rand_augment": {"magnitude": 20}}], (3, 16, 16))
    assert torch.equal(two.apply(before, draws), one.apply(one.apply(before, draws[:, :2]), draws[:, 2:]))
    weak = transforms.make([{"rand_augment": {"magnitude": 1}}], (3, 16, 16))
    assert not torch.equal(two.apply(before, draws), weak.apply(before, draws))


@pytest.mark.parametrize("side", [8, 12, 16, 28, 33, 64])
@pytest.mark.parametrize("name", steps.STEPS)
def test_every_size_and_gray(name, side):
    for shape in [(3, side, side), (1, side, side + 5)]:
        before, draws, after = step(name, shape, num=12)
        assert (after.shape, after.dtype) == (before.shape, torch.uint8)
        assert torch.equal(after[5:6], transforms.make([name], shape, MEAN[: shape[0]]).apply(before[5:6], draws[5:6]))


def test_operations_leave_their_images_alone():
    before = images((3, 12, 12))
    copy = before.clone()
    image_ops.color_jitter(before, [torch.full((40,), factor).double() for factor in (1.5, 1.5, 1.5, 0.1)], torch.zeros(40, dtype=torch.int64))
    image_ops.rotate(before, torch.full((40,), 30.0).double())
    image_ops.pad(before, 2, 3, "reflect")
    image_ops.adjust("contrast", before, torch.full((40,), 1.5).double())
    image_ops.grayscale(before)
    image_ops.erase(before, torch.tensor([[0, 0, 5, 5]]).expand(40, -1), [1, 2, 3])
    auto_augment.sharpen(before, torch.full((40,), 1.9).double())
    auto_augment.stretch(before)
    auto_augment.equalize(before)
    assert torch.equal(before, copy)


def test_a_feed_draws_for_the_epoch_and_the_images_alone():
    given = images((3, 8, 8))[3:]
    split = SimpleNamespace(take=lambda positions_N: (given[positions_N], positions_N, positions_N), __len__=lambda: len(given))
    transform = transforms.make(["crop", "alternating_flip", "cutout"], (3, 8, 8))
    feed = Feed(split, transform, transforms.normalizer(None, None), 7, 10, False, torch.device("cpu"), False)
    first, second = (feed.batch(torch.arange(20), epoch)[0] for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(feed.batch(torch.tensor([17, 4]), 1)[0], second[[17, 4]])


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("name", ["augment_simple", "augment"])
def test_batches_are_the_same_however_many_are_augmented_at_once(name, ahead):
    given = images((3, 16, 16))
    numbers = torch.arange(len(given)) * 3 + 1

    class Some:
        def take(self, positions_N):
            return given[positions_N], positions_N % 10, numbers[positions_N]

        def __len__(self):
            return len(given)

    transform, normalize = transforms.make(name, (3, 16, 16)), transforms.normalizer((0.4, 0.5, 0.6), (0.2, 0.2, 0.3))

    def batches(at_once, start, size=None):
        feed = Feed(Some(), transform, normalize, 7, 6, False, torch.device("cpu"), ahead, size, at_once)
        return list(feed.batches(3, start))

    alone = batches(1, 0)
    assert [len(labels_N) for _, labels_N in alone] == [6] * (len(given) // 6) + ([len(given) % 6] if len(given) % 6 else [])
    for at_once in (2, 4, 100):
        for start in (0, 3):
            together = batches(at_once, start)
            assert len(together) == len(alone) - start
            for (images_NCHW, labels_N), (alone_NCHW, alone_N) in zip(together, alone[start:], strict=True):
                assert torch.equal(images_NCHW, alone_NCHW)
                assert torch.equal(labels_N, alone_N)
    grown = batches(4, 0, lambda epoch: (8, 8))
    assert {tuple(images_NCHW.shape[1:]) for images_NCHW, _ in grown} == {(3, 8, 8)}


def test_small_images_in_memory_are_augmented_several_batches_at_once(tmp_path):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    for batch, expected in ((10, 8), (10_000, 4), (100_000, 1)):
        made = lab.new({"data": "digits", "train.batch_size": batch}, question="?")
        assert setup.build(lab, made, 42, download=False, watcher=Silent()).feed.at_once == expected
