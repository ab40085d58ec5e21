"""Each operation against torchvision's, image by image on the same draws, and what a transform promises about batches."""

import pytest
import torch

from zhurnal.core.errors import DataError
from zhurnal.train import image_ops, random, transforms
from zhurnal.train.vision import torchvision

# Brightness, contrast, saturation, hue of `augment`: center and largest deviation of the factor.
JITTER = ((1.0, 0.3), (1.0, 0.1), (1.0, 0.2), (0.0, 0.2))
SHAPES = [(3, 32, 32), (1, 28, 28), (3, 20, 33), (1, 8, 8)]


@pytest.fixture(scope="module")
def functional():
    torchvision()
    from torchvision.transforms.v2 import functional

    return functional


def images(shape, num=48, seed=0):
    """Random blocks of color with noise: areas of one color and gray pixels are where color spaces go wrong."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.randint(0, 256, (num, shape[0], 4, 4), generator=generator).float()
    blocks = torch.nn.functional.interpolate(small, shape[1:])
    noise = torch.randint(-20, 21, (num, *shape), generator=generator)
    result = (blocks + noise).clamp(0, 255).to(torch.uint8)
    result[0], result[1], result[2] = 0, 255, 127
    return result


def factors(num, low, high, seed=1):
    return torch.rand(num, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * (high - low) + low


@pytest.mark.parametrize("shape", SHAPES)
def test_augment_simple_is_torchvisions_pad_crop_flip(functional, shape):
    transform, padding = transforms.make("augment_simple", shape), {32: 4, 28: 4, 20: 2, 8: 1}[min(shape[1:])]
    before = images(shape)
    draws = random.uniform(0, random.AUGMENT, 3, torch.arange(len(before)), transform.num_draws)
    after = transform.apply(before, draws)
    for n, (top, left, flip) in enumerate(draws.tolist()):
        expected = functional.pad(before[n], [padding] * 4)
        expected = functional.crop(expected, int(top * (2 * padding + 1)), int(left * (2 * padding + 1)), *shape[1:])
        expected = functional.horizontal_flip(expected) if flip < 0.5 else expected
        assert torch.equal(after[n], expected)
    assert 0 < (draws[:, 2] < 0.5).sum() < len(before)


def test_crops_reach_every_offset_and_no_other():
    before = torch.full((1000, 1, 32, 32), 255, dtype=torch.uint8)
    after = transforms.make("augment_simple", (1, 32, 32)).apply(before, random.uniform(0, random.AUGMENT, 0, torch.arange(1000), 3))
    black_rows = (after[:, 0] == 0).all(2).sum(1)
    assert sorted(set(black_rows.tolist())) == [0, 1, 2, 3, 4]
    assert abs((black_rows == 0).float().mean() - 1 / 9) < 0.04


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
@pytest.mark.parametrize("shape", SHAPES)
def test_color_operations_are_torchvisions(functional, shape, name):
    before = images(shape)
    number = ["brightness", "contrast", "saturation", "hue"].index(name)
    center, by = JITTER[number]
    given = [torch.full((len(before),), c, dtype=torch.float64) for c, _ in JITTER]
    given[number] = factors(len(before), center - 2 * by, center + 2 * by)
    # The others at their center change nothing; hue at 0 is checked to be the identity below.
    after = image_ops.color_jitter(before, given, torch.zeros(len(before), dtype=torch.int64))
    expected = torch.stack([getattr(functional, f"adjust_{name}")(image, f) for image, f in zip(before, given[number].tolist(), strict=True)])
    difference = (after.int() - expected.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.005
    if shape[0] == 3 or number < 2:
        assert (after != before).float().mean() > 0.3
    else:
        assert torch.equal(after, before)


def test_color_jitter_in_the_middle_changes_nothing():
    before = images((3, 32, 32))
    center = [torch.full((len(before),), c, dtype=torch.float64) for c, _ in JITTER]
    for order in range(24):
        assert torch.equal(image_ops.color_jitter(before, center, torch.full((len(before),), order)), before)


def test_color_jitter_in_every_order_is_torchvisions(functional):
    import itertools

    before = images((3, 16, 16), num=24)
    given = [factors(24, c - by, c + by, seed=i) for i, (c, by) in enumerate(JITTER)]
    after = image_ops.color_jitter(before, given, torch.arange(24))
    operations = (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation, functional.adjust_hue)
    for n, order in enumerate(itertools.permutations(range(4))):
        expected = before[n]
        for number in order:
            expected = operations[number](expected, float(given[number][n]))
        # A difference of 1 after one step can become 2 in the next, so the mean counts here, and the steps are compared one by one above.
        difference = (after[n].int() - expected.int()).abs().float()
        assert difference.mean() < 0.05
        assert (difference <= 1).float().mean() > 0.995


@pytest.mark.parametrize("shape", SHAPES)
def test_rotation_is_torchvisions(functional, shape):
    before, angles = images(shape), factors(48, -30, 30)
    angles[5] = 0.0
    after = image_ops.rotate(before, angles)
    expected = torch.stack([functional.rotate(image, angle) for image, angle in zip(before, angles.tolist(), strict=True)])
    assert (after != expected).float().mean() < 0.001  # a pixel half-way between two
    assert torch.equal(after[5], before[5])
    assert (after != before).float().mean() > 0.2


@pytest.mark.parametrize("shape", SHAPES)
def test_resize_is_torchvisions(functional, shape):
    size = [round(side * 35 / 32) for side in shape[1:]]
    assert torch.equal(image_ops.resize(images(shape), tuple(size)), functional.resize(images(shape), size))


def test_augment_does_each_part_to_the_images_that_drew_it(functional):
    transform = transforms.make("augment", (3, 32, 32))
    before = images((3, 32, 32), num=16)
    no = torch.full((16, transform.num_draws), 0.99, dtype=torch.float64)
    assert torch.equal(transform.apply(before, no), before)

    flip = no.clone()
    flip[3:5, 6] = 0.59
    expected = before.clone()
    expected[3:5] = before[3:5].flip(-1)
    assert torch.equal(transform.apply(before, flip), expected)

    enlarge = no.clone()
    enlarge[7, 9:12] = torch.tensor([0.29, 0.0, 0.74])
    after = transform.apply(before, enlarge)
    assert torch.equal(after[7], functional.crop(functional.resize(before[7], [35, 35]), 0, 2, 32, 32))
    assert torch.equal(after[:7], before[:7])

    turn = no.clone()
    turn[2, 7:9] = torch.tensor([0.29, 1.0 - 1e-12])
    assert (transform.apply(before, turn)[2] != functional.rotate(before[2], 30)).float().mean() < 0.001

    jitter = no.clone()
    jitter[4, 0:6] = torch.tensor([0.49, 0.0, 0.5, 0.5, 0.5, 0.0])
    difference = transform.apply(before, jitter)[4].int() - functional.adjust_brightness(before[4], 0.7).int()
    assert difference.abs().max() <= 1


@pytest.mark.parametrize("draw", [0, 6, 7, 9])
def test_augment_draws_at_the_reference_rates(draw):
    transform = transforms.make("augment", (3, 8, 8))
    draws = torch.full((4000, transform.num_draws), 0.999, dtype=torch.float64)
    draws[:, [1, 2, 3, 4, 5, 8, 10, 11]] = 0.1
    draws[:, draw] = random.uniform(0, random.AUGMENT, 0, torch.arange(4000), 1)[:, 0]
    before = images((3, 8, 8), num=8)[7:].expand(4000, -1, -1, -1)
    changed = (transform.apply(before, draws) != before).flatten(1).any(1).float().mean().item()
    assert abs(changed - {0: 0.5, 6: 0.6, 7: 0.3, 9: 0.3}[draw]) < 0.03


def test_an_unknown_transform_is_an_error():
    with pytest.raises(DataError, match=r"'augmnt', which is none of init, augment_simple or augment; did you mean 'augment'\?"):
        transforms.make("augmnt", (3, 32, 32))


@pytest.mark.parametrize("as_float", [False, True])
def test_normalizer(as_float):
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    before = images((3, 32, 32))
    given = before.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # another memory layout
    given = given.float() if as_float else given
    after = transforms.normalizer(mean, std)(given)
    expected = (before.double() / 255 - torch.tensor(mean).view(3, 1, 1).double()) / torch.tensor(std).view(3, 1, 1).double()
    torch.testing.assert_close(after.double(), expected, rtol=0, atol=2e-6)
    assert after.is_contiguous()
    assert after.dtype == torch.float32
    assert torch.equal(given, before.float() if as_float else before)


def test_normalizer_without_numbers_scales_to_0_to_1():
    after = transforms.normalizer(None, None)(images((1, 8, 8)))
    assert after.min() == 0
    assert after.max() == 1


def test_a_function_of_the_users_own():
    def invert(images_NCHW, draws_ND):
        return torch.where(draws_ND[:, :1, None, None] < 0.5, 255 - images_NCHW, images_NCHW)

    with pytest.raises(DataError, match=r"num_draws is None, .* write invert.num_draws = 3"):
        transforms.from_function("my.py:invert", invert)
    invert.num_draws = 1
    transform, before = transforms.from_function("my.py:invert", invert), images((3, 8, 8))[5:7]
    after = transform.apply(before, torch.tensor([[0.2], [0.8]], dtype=torch.float64))
    assert torch.equal(after, torch.stack([255 - before[0], before[1]]))


def test_a_function_of_the_users_own_that_returns_something_else():
    def wrong(images_NCHW, draws_ND):
        return images_NCHW.float()

    wrong.num_draws = 0
    with pytest.raises(DataError, match=r"it returned torch.float32 \(2, 3, 8, 8\), must return torch.uint8 \(2, 3, 8, 8\)"):
        transforms.from_function("my.py:wrong", wrong).apply(images((3, 8, 8))[5:7], torch.empty(2, 0))


def test_windows_copied_are_windows_looked_up():
    before = images((3, 20, 24))
    tops, lefts = torch.arange(48) % 9, torch.arange(48) % 5
    copied = image_ops.copy_windows(before, tops, lefts, (12, 20))
    assert torch.equal(copied, image_ops.gather_windows(before, tops, lefts, (12, 20)))
    assert torch.equal(copied[1], before[1, :, 1:13, 1:21])
    last = image_ops.crop(before[47:], torch.tensor([8]), torch.tensor([4]), (12, 20))  # up to the last pixel
    assert torch.equal(last[0], before[47, :, 8:, 4:])
    turned = before.to(memory_format=torch.channels_last)
    assert torch.equal(image_ops.crop(turned, tops, lefts, (12, 20)), copied)


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 12, 20), (1, 5, 5), (2, 9, 4)])
def test_images_that_are_shifted_are_windows_of_padded_ones(monkeypatch, channels, height, width, table):
    monkeypatch.setattr(image_ops, "TABLE", 2**20 if table else 0)
    most = (4, 3)
    every = torch.cartesian_prod(torch.arange(-4, 5), torch.arange(-3, 4))
    images = torch.randint(1, 256, (len(every), channels, height, width), dtype=torch.uint8)
    before = images.clone()
    expected = image_ops.gather_windows(image_ops.pad(images, *most), most[0] - every[:, 0], most[1] - every[:, 1], (height, width))
    assert torch.equal(image_ops.shift(images, every[:, 0], every[:, 1], most), expected)
    for row, (down, right) in enumerate(every):  # the first and the last image of a batch are where rows would begin outside of memory
        alone = image_ops.shift(images[row : row + 1], down[None], right[None], most)
        assert torch.equal(alone, expected[row : row + 1]), (down, right)
    assert torch.equal(images, before)
    assert image_ops.shift(images[:0], every[:0, 0], every[:0, 1], most).shape == images[:0].shape
    far = torch.tensor([2 * height]), torch.tensor([-width])
    assert not image_ops.shift(images[:1], *far, (2 * height, width)).any(), "all of it is outside"


@pytest.mark.parametrize("width", [8, 20, 24, 32])
@pytest.mark.parametrize("dim", [-1, -2])
def test_mirrored_in_words_or_in_pixels(width, dim):
    before, rows = images((3, 12, width)), torch.tensor([0, 3, 47])
    after = image_ops.mirror(before.clone(), rows, dim)
    assert torch.equal(after[rows], before[rows].flip(dim))
    others = [n for n in range(48) if n not in (0, 3, 47)]
    assert torch.equal(after[others], before[others])
    turned = image_ops.mirror(before.clone(memory_format=torch.channels_last), rows, dim)
    assert torch.equal(turned, after)
