"""Images as the network gets them, and images that are there twice."""

import numpy as np
import pytest
from PIL import Image

from zhurnal.api import Lab
from zhurnal.core.errors import DataError
from zhurnal.train.look import images_of, look


@pytest.fixture
def lab(tmp_path) -> Lab:
    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        for c in "ab":
            (tmp_path / "photos" / part / c).mkdir(parents=True)
            for i in range(20):
                Image.fromarray(draw.integers(0, 255, (8, 8, 3), np.uint8)).save(tmp_path / "photos" / part / c / f"{i}.png")
    copy = (tmp_path / "photos" / "train" / "a" / "0.png").read_bytes()
    (tmp_path / "photos" / "test" / "a" / "leak.png").write_bytes(copy)
    (tmp_path / "photos" / "train" / "b" / "again.png").write_bytes(copy)
    made = Lab(Lab.init(tmp_path / "lab").folder)
    made.new({"data": str(tmp_path / "photos"), "data.validation": 0.2, "data.transform": "augment_simple"})
    return made


def test_what_is_shown_is_what_the_network_gets(lab):
    found = look(lab, "e0001", count=10)
    assert found.images_NHWC.shape == (10, 8, 8, 3)
    assert len(found.labels) == 10
    assert found.low < 0 < found.high
    assert not np.array_equal(found.images_NHWC, look(lab, "e0001", count=10, epoch=2).images_NHWC)
    plain = look(lab, "e0001", split="val", count=8)
    assert np.array_equal(plain.images_NHWC, images_of(lab, "e0001", list(range(8)))), "validation images are not augmented"


def test_counts_and_images_that_are_there_twice(lab):
    found = look(lab, "e0001")
    assert sum(sum(c.values()) for c in found.counts.values()) == 82
    pairs = {frozenset((a, b)): n for a, b, n in found.twice}
    assert sum(pairs.values()) == 2
    assert any("test" in pair for pair in pairs)


def test_test_images_that_are_not_there_are_not_shown_as_others(tmp_path):
    made = Lab(Lab.init(tmp_path / "lab").folder)
    for c in "ab":
        (tmp_path / "photos" / c).mkdir(parents=True)
        for i in range(5):
            Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(tmp_path / "photos" / c / f"{i}.png")
    made.new({"data": f"{tmp_path / 'photos'}/", "data.validation": 0.2})
    with pytest.raises(DataError, match="has no test images here: look at those of validation with --split val"):
        look(made, "e0001", split="test")
