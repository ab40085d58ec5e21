"""Mixup and CutMix: their definitions, torchvision's box, what a batch draws, and the loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zhurnal.train import mix
from zhurnal.train.vision import torchvision


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 3, 16, 20, generator=generator), torch.arange(12)


def with_draws(whether=0.0, which=0.0, partner=0.0, weight=0.3, row=0.5, column=0.5):
    return [whether, which, partner, weight, row, column]


def test_draws_depend_on_seed_epoch_and_batch_alone():
    assert mix.draw(1, 2, 3) == mix.draw(1, 2, 3)
    others = [mix.draw(1, 2, 4), mix.draw(1, 3, 3), mix.draw(2, 2, 3), mix.draw(1, 2, 3)]
    assert len({tuple(d) for d in others}) == 4
    many = np.array([mix.draw(0, e, b) for e in range(10) for b in range(100)])
    assert many.shape == (1000, mix.NUM_DRAWS)
    assert many.min() >= 0
    assert many.max() < 1
    assert np.abs(many.mean(0) - 0.5).max() < 0.04
    assert np.abs(np.corrcoef(many.T) - np.eye(mix.NUM_DRAWS)).max() < 0.12


def test_mixup_by_hand(batch):
    images, labels = batch
    copy = images.clone()
    mixed = mix.mix(images, labels, with_draws(partner=0.2, weight=0.3), mixup=1.0, cutmix=0.0)
    assert mixed.weight == 0.3
    for n in range(12):
        partner = int(mixed.labels_b_N[n])
        torch.testing.assert_close(mixed.images_NCHW[n], 0.3 * images[n] + 0.7 * images[partner])
    assert torch.equal(mixed.labels_a_N, labels)
    assert torch.equal(mixed.labels_N, mixed.labels_b_N)
    assert torch.equal(mix.mix(images, labels, with_draws(weight=0.6), mixup=1.0, cutmix=0.0).labels_N, labels)
    assert torch.equal(images, copy)


@pytest.mark.parametrize("num", [2, 3, 12])
def test_nobody_is_its_own_partner_and_all_others_can_be(batch, num):
    images, labels = batch[0][:num], batch[1][:num]
    seen = set()
    for partner in np.linspace(0, 1, 200, endpoint=False):
        mixed = mix.mix(images, labels, with_draws(partner=partner), mixup=0.4, cutmix=0.0)
        assert (mixed.labels_b_N != labels).all()
        assert sorted(mixed.labels_b_N.tolist()) == list(range(num))
        seen.add(int(mixed.labels_b_N[0]))
    assert seen == set(range(1, num))


def test_cutmix_puts_a_box_of_the_partner_in_and_weighs_by_its_area(batch):
    images, labels = batch
    for n in range(50):
        draws = mix.draw(0, 0, n)
        mixed = mix.mix(images, labels, [0.0, *draws[1:]], mixup=0.0, cutmix=1.0)
        partner = images[mixed.labels_b_N]
        theirs = (mixed.images_NCHW == partner).all(1)
        assert torch.equal(mixed.images_NCHW, torch.where(theirs[:, None], partner, images))
        assert (theirs == theirs[0]).all()
        assert mixed.weight == pytest.approx(1 - theirs[0].float().mean().item())
        rows, columns = theirs[0].any(1), theirs[0].any(0)
        assert torch.equal(theirs[0], rows[:, None] & columns)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 20), (9, 64)])
def test_the_box_is_torchvisions(monkeypatch, height, width):
    torchvision()
    from torchvision.transforms import v2

    cutmix = v2.CutMix(alpha=1.0, num_classes=10)
    image = torch.zeros(2, 3, height, width)
    for n in range(60):
        weight, row, column = mix.draw(3, 0, n)[:3]
        whole = iter([column, row])  # torchvision draws x first
        monkeypatch.setattr(cutmix._dist, "sample", lambda shape, weight=weight: torch.tensor(weight, dtype=torch.float64))
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randint", lambda high, size, whole=whole: torch.tensor([int(next(whole) * high)]))
            expected = cutmix.make_params([image])
        left, top, right, bottom = expected["box"]
        assert mix.box(height, width, weight, row, column) == (top, left, bottom, right)
        assert 1 - (bottom - top) * (right - left) / (height * width) == pytest.approx(expected["lam_adjusted"])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_weights_are_of_a_beta_distribution(alpha):
    from scipy.stats import beta, kstest

    weights = [mix.beta(alpha, mix.draw(0, 0, n)[3]) for n in range(500)]
    assert kstest(weights, beta(alpha, alpha).cdf).pvalue > 0.01
    assert all(0 <= w <= 1 for w in weights)


def test_how_often_and_which_of_the_two(batch):
    images, labels = batch
    kinds = []
    for n in range(600):
        mixed = mix.mix(images, labels, mix.draw(0, 1, n), mixup=1.0, cutmix=1.0, probability=0.6)
        if mixed.images_NCHW is images:
            assert mixed.weight == 1
            assert torch.equal(mixed.labels_N, labels)
            kinds.append("plain")
        else:
            kinds.append("cutmix" if (mixed.images_NCHW == images).any() else "mixup")
    assert {k: round(kinds.count(k) / 600, 1) for k in set(kinds)} == {"plain": 0.4, "mixup": 0.3, "cutmix": 0.3}


def test_what_cannot_or_need_not_be_mixed_is_left(batch):
    images, labels = batch
    assert mix.mix(images[:1], labels[:1], with_draws(), mixup=1.0, cutmix=1.0).images_NCHW.shape[0] == 1
    assert mix.mix(images[:1], labels[:1], with_draws(), mixup=1.0, cutmix=1.0).weight == 1
    assert mix.mix(images, labels, with_draws(), mixup=0.0, cutmix=0.0).images_NCHW is images


def test_the_loss_is_the_sources_rule(batch):
    logits = torch.randn(12, 12, generator=torch.Generator().manual_seed(1))
    labels = batch[1]

    def loss(logits_NK, labels_N):
        return F.cross_entropy(logits_NK, labels_N, reduction="none")

    found = mix.mixed_losses(loss, logits, labels, labels.roll(1), 0.3)
    soft = 0.3 * F.one_hot(labels, 12) + 0.7 * F.one_hot(labels.roll(1), 12)
    torch.testing.assert_close(found, F.cross_entropy(logits, soft, reduction="none"))
    assert torch.equal(mix.mixed_losses(loss, logits, labels, labels.roll(1), 1), loss(logits, labels))
