"""Clips on their way to the network: equal draws for all frames, normalization for each channel, generated clips."""

import hashlib

import numpy as np
import pytest
import torch

from zhurnal.core.errors import DataError
from zhurnal.core.settings import RECIPES, MovingShapes
from zhurnal.train import mix, random, transforms, tta
from zhurnal.train.clips import for_clips
from zhurnal.train.data import moving, prepare
from zhurnal.train.data.loaded import moments_of


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def clips(num=9, shape=(5, 3, 16, 12)):
    return torch.randint(0, 256, (num, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "name", [*RECIPES, [{"crop": {"mode": "reflect"}}, {"flip": {"p": 0.3}}, {"cutout": {"size": 4}}], ["alternating_flip"]], ids=str
)
def test_all_frames_of_a_clip_get_the_draws_of_its_image(name):
    plain = transforms.make(name, (3, 16, 12))
    transform = for_clips(plain)
    assert (transform.num_draws, transform.alternating) == (plain.num_draws, plain.alternating)
    clips_NTCHW = clips()
    before = clips_NTCHW.clone()
    draws_ND = random.uniform(7, random.AUGMENT, 2, torch.arange(9), transform.num_draws)
    after = transform.apply(clips_NTCHW, draws_ND)
    assert (after.shape, after.dtype) == (clips_NTCHW.shape, torch.uint8)
    assert torch.equal(clips_NTCHW, before)
    for t in range(5):
        assert torch.equal(after[:, t], plain.apply(clips_NTCHW[:, t], draws_ND))
    alone = torch.cat([transform.apply(clips_NTCHW[n : n + 1], draws_ND[n : n + 1]) for n in range(9)])
    assert torch.equal(after, alone)
    assert transform.apply(clips_NTCHW[:0], draws_ND[:0]).shape == (0, 5, 3, 16, 12)


def test_all_frames_of_a_clip_are_mixed_alike_and_seen_alike():
    clips_NTCHW = clips().float()
    labels_N = torch.arange(9)
    for options in ({"mixup": 1.0, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}):
        mixed = mix.mix(clips_NTCHW, labels_N, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], **options)
        assert 0 < mixed.weight < 1
        for t in range(5):
            frame = mix.mix(clips_NTCHW[:, t], labels_N, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], **options)
            assert torch.equal(mixed.images_NCHW[:, t], frame.images_NCHW)
            assert mixed.weight == frame.weight
    weights = torch.rand(5 * 3 * 16 * 12, 4, generator=torch.Generator().manual_seed(0)).double() / 1000

    def network(images):
        return images.double().flatten(1) @ weights[: images[0].numel()]

    for kind in tta.NUM_VIEWS:
        alone = torch.stack(
            [tta.tta_logits(lambda frames, t=t: frames.double().flatten(1) @ weights.view(5, -1, 4)[t], clips_NTCHW[:, t], kind) for t in range(5)]
        )
        torch.testing.assert_close(tta.tta_logits(network, clips_NTCHW, kind), alone.sum(0))


def test_clips_are_normalized_by_channel():
    clips_NTCHW = clips()
    normalized = transforms.normalizer([0.1, 0.5, 0.9], [0.2, 0.3, 0.4])(clips_NTCHW)
    for c, (mean, std) in enumerate(((0.1, 0.2), (0.5, 0.3), (0.9, 0.4))):
        torch.testing.assert_close(normalized[:, :, c], (clips_NTCHW[:, :, c] / 255 - mean) / std, rtol=1e-4, atol=1e-5)


def test_moments_of_clips_are_over_all_frames():
    clips_NTCHW = clips()
    values = clips_NTCHW.long()
    expected = torch.stack([values.sum((1, 3, 4)), (values * values).sum((1, 3, 4))], -1)
    assert torch.equal(moments_of(clips_NTCHW), expected)


# --- moving_shapes ---------------------------------------------------------------------------------------------------------------------------


def made(**settings):
    loaded = moving.load(MovingShapes(**{"num_clips": 80} | settings))
    return loaded, loaded.images.take(torch.arange(len(loaded.images)))


def signs(name):
    """Steps to the right and down, from the words of a direction."""
    return ("right" in name) - ("left" in name), ("down" in name) - ("up" in name)


def test_shapes_move_where_the_class_says():
    for directions in (4, 8):
        loaded, clips_NTCHW = made(directions=directions, noise=0.0, distractors=0)
        assert len(set(loaded.classes)) == directions
        for clip_TCHW, label in zip(clips_NTCHW.numpy().astype(int), loaded.labels_N.tolist(), strict=True):
            spectra = [np.fft.fft2(clip_TCHW[t, 0]) for t in (0, 7)]  # a shift on a torus, found by phase correlation
            ratio = spectra[1] * spectra[0].conj()
            peak = np.unravel_index(np.fft.ifft2(ratio / np.maximum(abs(ratio), 1e-9)).real.argmax(), (32, 32))
            down, right = ((int(p) + 16) % 32 - 16 for p in peak)
            assert (np.sign(right), np.sign(down)) == signs(loaded.classes[label])
            assert 6 <= np.hypot(right, down) <= 15  # 1 to 2 pixels a frame


def test_a_frame_alone_does_not_tell_the_class():
    """Where shapes are in a frame is as likely for each class: counts of bright pixels in a grid of 4x4 places differ by chance only."""
    loaded, clips_NTCHW = made(num_clips=2000, noise=0.0, distractors=0, clip_length=8)
    bright = (clips_NTCHW[:, [0, 7], 0] >= 128).view(2000, 2, 4, 8, 4, 8).sum((3, 5)).double()
    for t in (0, 1):
        means = torch.stack([bright[loaded.labels_N == k, t].mean(0) for k in range(4)])
        sd = bright[:, t].std(0) / 500**0.5
        assert ((means - means.mean(0)).abs() / sd).max() < 4


FINGERPRINT = "3c22f84195e242e5d0095a8a580a20750ae4bc4604c6d899603191a5f6ab78e8"  # of 80 clips
CONTENT = "3b1ee448735c3a84ecd1ca6cf110ba8daa39bb633f29bc05c890948535bffa3f"


def test_generated_clips_are_the_same_everywhere():
    """Where this fails because clips are to be made otherwise: raise moving.VERSION too, so that records say that the data changed."""
    loaded, clips_NTCHW = made()
    assert (clips_NTCHW.shape, clips_NTCHW.dtype) == ((80, 8, 1, 32, 32), torch.uint8)
    assert hashlib.sha256(clips_NTCHW.numpy().data).hexdigest() == CONTENT
    assert loaded.fingerprint == FINGERPRINT
    assert torch.equal(made(num_clips=1200)[1][:80], clips_NTCHW)
    longer, longer_NTCHW = made(clip_length=9)
    assert torch.equal(longer_NTCHW[:, :8], clips_NTCHW)
    assert longer.fingerprint == loaded.fingerprint
    for changed in ({"shapes_seed": 1}, {"noise": 0.2}, {"directions": 8}, {"distractors": 0}, {"channels": 3}):
        assert made(**changed)[0].fingerprint != loaded.fingerprint


SIZES = [({"channels": 3, "image_size": 48}, (8, 3, 48, 48)), ({"clip_length": 3, "image_size": 17}, (3, 1, 17, 17))]


@pytest.mark.parametrize(("settings", "shape"), SIZES)
def test_sizes(settings, shape):
    assert made(**settings)[0].images.shape == shape
    with pytest.raises(DataError, match=r"data\.image_size is 12, must be at least 16"):
        made(image_size=12)


def test_noise_and_distractors():
    def changes(**settings):
        clips_NTCHW = made(**settings)[1].short()
        return (clips_NTCHW[:, 1:] != clips_NTCHW[:, :-1]).double().mean()

    quiet, noisy = changes(noise=0.0, distractors=0), changes(noise=0.1, distractors=0)
    assert quiet < 0.15
    assert noisy > 0.9
    empty = []
    for distractors in (0, 3):
        frames_NHW = made(noise=0.0, distractors=distractors)[1][:, 0, 0].int()
        empty.append((frames_NHW == frames_NHW.amin((1, 2), keepdim=True)).double().mean())
    assert empty[1] < empty[0] - 0.1


def test_parts_of_moving_shapes(tmp_path):
    prepared = prepare(MovingShapes(num_clips=400), root=tmp_path, base=tmp_path, cache=tmp_path)
    assert (prepared.image, len(prepared.train), len(prepared.val), len(prepared.test)) == ((8, 1, 32, 32), 288, 32, 80)
    assert torch.bincount(prepared.val.labels_N).tolist() == [8] * 4
    assert len(prepared.mean) == 1
