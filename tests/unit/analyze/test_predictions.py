"""What a network said: counts, intervals, calibration and mistakes, on numbers known by hand; figures of them; damaged files."""

import math

import numpy as np
import pytest
from PIL import Image

from zhurnal.analyze import predictions, results
from zhurnal.analyze.predictions import Predictions
from zhurnal.core.errors import LabError, ZhurnalError


def made(label, predicted, confidence=None, classes=("cat", "dog", "eel")) -> Predictions:
    label, predicted = np.array(label), np.array(predicted)
    confidence = np.full(len(label), 0.75) if confidence is None else np.array(confidence)
    return Predictions("e0001", 42, 3, classes, label, predicted, confidence, -np.log(confidence), np.arange(100, 100 + len(label)))


FOUND = made([0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 1, 0], [0.9, 0.8, 0.6, 0.5, 1.0, 0.8])


def test_confusion_has_true_classes_in_rows():
    assert predictions.confusion(FOUND).tolist() == [[1, 2, 0], [0, 2, 0], [1, 0, 0]]
    assert predictions.most_confused(FOUND) == [("cat", "dog", 2), ("eel", "cat", 1)]


def test_classes():
    cat, dog, eel = predictions.by_class(FOUND)
    assert (cat.num, cat.accuracy, cat.taken_for, cat.taken) == (3, pytest.approx(1 / 3), "dog", 2)
    assert (dog.accuracy, dog.taken_for) == (1.0, "")
    assert (eel.accuracy, eel.taken_for) == (0.0, "cat")
    assert math.isnan(predictions.by_class(made([0], [0]))[2].accuracy)


def test_wilson_is_scipys():
    from scipy.stats import binomtest

    for right, num in ((0, 5), (5, 5), (9124, 10000), (1, 3)):
        expected = binomtest(right, num).proportion_ci(method="wilson")
        assert predictions.wilson(right, num) == (pytest.approx(expected.low, abs=1e-6), pytest.approx(expected.high, abs=1e-6))


def test_calibration():
    bins, error = predictions.calibration(made([0, 0, 0, 0], [0, 0, 1, 1], [0.95, 0.95, 0.95, 0.55]), num_bins=10)
    assert [b.num for b in bins] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert error == pytest.approx(3 / 4 * abs(0.95 - 2 / 3) + 1 / 4 * 0.55)
    _, none = predictions.calibration(made([0, 0], [0, 0], [1.0, 1.0]))
    assert none == 0


def test_the_surest_mistakes_come_first():
    found = predictions.mistakes(FOUND, 10)
    assert [(m.number, m.label, m.predicted, m.confidence) for m in found] == [
        (101, "cat", "dog", 0.8),
        (105, "eel", "cat", 0.8),
        (102, "cat", "dog", 0.6),
    ]
    assert len(predictions.mistakes(FOUND, 1)) == 1


@pytest.mark.parametrize("size", [2, 10, 60])
@pytest.mark.parametrize("kind", results.KINDS)
def test_figures_are_drawn_and_the_same_each_time(tmp_path, kind, size):
    draw = np.random.default_rng(0)
    found = made(draw.integers(0, size, 500), draw.integers(0, size, 500), draw.uniform(0.1, 1, 500), tuple(f"class number {k}" for k in range(size)))
    png, svg = results.draw(found, [kind], tmp_path)
    with Image.open(png) as picture:
        assert picture.size[0] > 600
    before = svg.read_bytes()
    results.draw(found, [kind], tmp_path)
    assert svg.read_bytes() == before
    with pytest.raises(ZhurnalError, match="did you mean 'confusion'"):
        results.draw(found, ["confusin"], tmp_path)


def test_a_sheet_of_images():
    for channels in (1, 3):
        rendered = results.sheet(np.zeros((5, 8, 8, channels), np.uint8), ["a\nb"] * 5, "Five")
        assert rendered["png"].startswith(b"\x89PNG")


def test_what_a_run_left_is_read(tmp_path):
    from zhurnal.api import Lab

    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new({"train.epochs": 2, "train.num_threads": 1, "train.tensorboard": False})
    run = lab.run("e0001")
    found = predictions.read(run, 1)
    assert found.accuracy == run.epochs[0]["val_acc"]
    assert found.classes == tuple("0123456789")
    assert predictions.read(run).epoch == run.end["best_epoch"]
    with pytest.raises(LabError, match="has no epoch 7: it has 1 to 2"):
        predictions.read(run, 7)
    written = lab.write(["e0001"], add=["confusion", "mistakes"])
    page = written.path.read_text()
    assert "zhurnal:begin confusion" in page
    assert "image number | true | said" in page
    assert page.index("end figures") < page.index("begin confusion") < page.index("## Observations")
    assert not lab.write(["e0001"]).changed, "what was added stays, and stays as it is"
    with pytest.raises(ZhurnalError, match="did you mean 'mistakes'"):
        lab.write(["e0001"], add=["mistake"])
    path = run.folder / "predictions" / "epoch-00001.npz"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(LabError, match="cannot be read"):
        predictions.read(run, 1)
    path.unlink()
    with pytest.raises(LabError, match="not kept in git"):
        predictions.read(run, 1)
