"""Test-time augmentation by hand."""

from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from zhurnal.core import settings
from zhurnal.train.tta import NUM_VIEWS, tta_logits


def counting(seen):
    """A network whose one logit is a pixel off the center, and which notes how often it looked."""

    def model(images_NCHW):
        seen.append(len(images_NCHW))
        return images_NCHW[:, :1, 2, 1]

    return model


@pytest.mark.parametrize("kind", NUM_VIEWS)
def test_views_are_counted(kind):
    seen = []
    assert tta_logits(counting(seen), torch.randn(3, 1, 6, 6), kind).shape == (3, 1)
    assert len(seen) == NUM_VIEWS[kind]


def test_the_settings_names_are_these():
    assert get_args(settings.Train.model_fields["tta"].annotation) == tuple(NUM_VIEWS)


def test_by_hand():
    images = torch.randn(4, 1, 5, 7)
    at = lambda row, col: images[:, :, row, col]  # noqa: E731
    model = counting([])
    torch.testing.assert_close(tta_logits(model, images, "none"), at(2, 1))
    torch.testing.assert_close(tta_logits(model, images, "flip"), (at(2, 1) + at(2, 5)) / 2)
    expected = (at(2, 1) + at(2, 5)) / 4 + (at(1, 0) + at(1, 4) + at(3, 2) + at(3, 6)) / 8
    torch.testing.assert_close(tta_logits(model, images, "flip_shift"), expected)


def test_it_is_airbenchs():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(10, 3, 5, 5, generator=generator)
    images = torch.randn(6, 3, 32, 32, generator=generator)

    def net(inputs):
        return F.conv2d(inputs, weight).relu().amax((2, 3))

    def mirror(inputs):
        return 0.5 * net(inputs) + 0.5 * net(inputs.flip(-1))

    padded = F.pad(images, (1,) * 4, "reflect")
    moved = torch.stack([mirror(padded[:, :, 0:32, 0:32]), mirror(padded[:, :, 2:34, 2:34])]).mean(0)
    torch.testing.assert_close(tta_logits(net, images, "flip_shift"), 0.5 * mirror(images) + 0.5 * moved)


def test_a_mirrored_image_gets_the_same_answer():
    images, weight = torch.randn(6, 3, 9, 9), torch.randn(4, 243)
    one, other = (tta_logits(lambda x: x.flatten(1) @ weight.T, given, "flip") for given in (images, images.flip(-1)))
    torch.testing.assert_close(one, other)
