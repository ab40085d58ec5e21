"""Sentences of a person against the records: those of the reference journal, with its numbers, and what else can be read."""

import shutil
from pathlib import Path

import pytest

from helpers_curves import images_with, level, put
from zhurnal.report import entry
from zhurnal.report.problems import Problem
from zhurnal.report.verify import verify
from zhurnal.store.lab import Lab

REFERENCE = Path(__file__).parents[3] / "examples" / "reference-1"
# Best validation accuracy of the reference's experiments; how they came there is made up (a curve that ends level).
VGG = {"e0033": 57.62, "e0034": 88.85, "e0036": 89.52, "e0037": 90.17, "e0038": 91.24, "e0039": 89.17, "e0040": 88.88}
LR, BEST = "e0005-e0011", "e0033-e0034,e0036-e0040"
LENET = {"e0005": 65.9, "e0006": 66.1, "e0007": 66.15, "e0008": 66.22, "e0009": 66.0, "e0010": 64.8, "e0011": 64.1}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first reference journal as a lab, with its accuracies and one entry each about learning rates and about the best of VGG."""
    home = tmp_path_factory.mktemp("reference") / "lab"
    (home / "experiments").mkdir(parents=True)
    shutil.copy(REFERENCE / "zhurnal.yaml", home)
    for file in (REFERENCE / "experiments").glob("*.yaml"):
        shutil.copy(file, home / "experiments")
    lab = Lab(home)
    for name, accuracy in (VGG | LENET).items():
        put(lab, name, 42, level(accuracy / 100, lab.experiment(name).settings.train.epochs))
    return home


@pytest.fixture
def lab(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr("os.fsync", lambda _: None)
    shutil.copytree(reference, tmp_path / "lab")
    lab = Lab(tmp_path / "lab")
    for names in (LR, BEST):
        entry.write(lab, lab.select(names))
    return lab


def said(lab: Lab, sentence: str, name: str = BEST) -> list[Problem]:
    """Return what verify says of a sentence in an entry."""
    path = lab.journal / f"{name}.md"
    before = path.read_text()
    path.write_text(f"{before}\nOne line\nof words.\n\n{sentence}\n")
    found = verify(lab, name.split(",")).problems
    path.write_text(before)
    for problem in found:
        assert problem.quote, str(problem)
        assert problem.line == before.count("\n") + 5, str(problem)
    return list(found)


def only(lab: Lab, sentence: str, name: str = BEST) -> Problem:
    (found,) = said(lab, sentence, name)
    return found


# --- the reference's sentences ---


def test_adam_is_worse_than_sgd_is_confounded(lab: Lab) -> None:
    entry.write(lab, ["e0038", "e0039"])
    found = only(lab, "adam is worse than sgd.", "e0038-e0039")
    assert found.kind == "unsupported"
    assert found.quote == "adam is worse than sgd."
    assert "confounded with" in found.evidence
    assert "lr (" in found.evidence
    assert found.strength == "cannot tell"


def test_experiments_named_one_by_one_may_differ_in_several_things(lab: Lab) -> None:
    assert said(lab, "e0039 is worse than e0038.") == []
    assert said(lab, "[e0038] clearly beats e0039, by 2.07 points.") == []


def test_a_schedule_of_a_third_of_a_point(lab: Lab) -> None:
    for sentence in ("Scheduler helps.", "e0039 is better than e0040.", "The schedule improves accuracy."):
        found = only(lab, sentence)
        assert (found.kind, found.strength) == ("unsupported", "cannot tell"), sentence
        assert "is more than these runs can show" in found.text
        assert "0.29 points" in found.evidence
        assert "seeds each would show a difference of 0.5 points" in found.evidence
    assert said(lab, "In these two runs the scheduler helps.") == []
    assert said(lab, "e0039 seems better than e0040, in one run.") == []


def test_the_other_way_round(lab: Lab) -> None:
    found = only(lab, "e0040 is better than e0038.")
    assert (found.kind, found.text) == ("claim", "is the other way round in the records")
    assert only(lab, "In these runs e0040 is better than e0039.").kind == "claim"
    assert only(lab, "The scheduler hurts.").kind == "claim"
    assert "they differ by 2.07" in only(lab, "e0038 is better than e0039 by 1.5 points.").evidence


@pytest.mark.parametrize("sentence", ["weight_decay plays a role.", "Weight decay is very important.", "Normalization is important"])
def test_two_thirds_of_a_point_in_one_run(lab: Lab, sentence: str) -> None:
    found = only(lab, sentence)
    assert (found.kind, found.strength) == ("unsupported", "cannot tell")


def test_simple_augmentation_is_better(lab: Lab) -> None:
    """1.07 points are more than noise explains, but step and epochs were changed with it."""
    found = only(lab, "Simple augmentation is better.")
    assert "confounded with" in found.evidence


def test_a_learning_rate_outside_of_the_grid(lab: Lab) -> None:
    for sentence in ("The optimal lr is ~0.1.", "optimal learning rate: about 0.1", "A learning rate of 0.1 is the best."):
        found = only(lab, sentence, LR)
        assert (found.kind, found.text) == ("claim", "0.1 was not tried: it lies outside of what was"), sentence
        assert found.evidence.startswith("tried in this entry: 0.0005, 0.0008, 0.003, 0.006, 0.009, 0.01, 0.012")


def test_a_learning_rate_at_the_edge_and_one_inside(lab: Lab) -> None:
    found = only(lab, "The optimal lr is 0.012.", LR)
    assert (found.kind, found.text) == ("unsupported", "0.012 is the largest that was tried, so the optimum is not bracketed")
    assert said(lab, "The optimal lr is about 0.01.", LR) == []
    assert said(lab, "The best learning rate tested is 0.01.", LR) == []
    assert "0.01 (e0008) came out higher: 66.22 % against 66.10 %" in only(lab, "The best tested lr is 0.006.", LR).text
    assert only(lab, "The optimal lr is 0.0005.", LR).kind == "claim"
    assert said(lab, "The optimal batch size is 128.", LR)[0].text == "no other batch size was tried in this entry"
    assert said(lab, "The optimal lr is ~0.1, as in the paper. Is the optimal lr 0.3? The optimal lr may be 0.3.", LR) == []


# --- numbers ---


@pytest.mark.parametrize(
    "sentence",
    [
        "Best accuracy 91.24 %.",
        "best val. acc. 91.2",
        "The best accuracy of e0037 is 90.17 %.",
        "e0038 (91.24 %) beats e0039 (89.17 %).",
        "91.24 % in e0038, 89.2 % for e0039",
        "Best accuracy so far: 91.24 %.",
        "e0036 takes 20 % more time, e0037 10 % of the training images.",
        "The reference has 93.49 % for e0042, its e0099 is unknown.",
        "e0038 has weight decay 0.0005 and 120 epochs.",
        "e0038 uses a dropout of 50 %.",
        "e0038 has 91.24 % (e0039 has 89.17 %).",
        "| run | val. acc. |\n|---|---|\n| e0038 | 91.24 % |",
    ],
)
def test_numbers_that_hold(lab: Lab, sentence: str) -> None:
    assert said(lab, sentence) == []


@pytest.mark.parametrize(
    ("sentence", "text", "evidence"),
    [
        ("Best accuracy 91.42 %.", "91.42 % is not the best of this entry", "the best validation accuracy is 91.24 % (e0038"),
        ("The best accuracy of e0037 is 90.71 %.", "90.71 % is no best accuracy of e0037", "its best validation accuracy is 90.17 %"),
        ("e0038 (91.24 %) beats e0039 (89.71 %).", "89.71 % is no accuracy of e0039", "its best validation accuracy is 89.17 %"),
        ("We see 91.25 % in e0038.", "91.25 % is no accuracy of e0038", "91.24"),
        ("Best accuracy so far is 90.17 %.", "90.17 % is not the best of all experiments so far", "91.24 % (e0038"),
        ("e0038 beats e0099.", "e0099 does not exist", "there are e0001-e0020"),
    ],
)
def test_numbers_that_do_not(lab: Lab, sentence: str, text: str, evidence: str) -> None:
    found = only(lab, sentence)
    assert found.kind == "claim"
    assert found.text.startswith(text)
    assert evidence in found.evidence


def test_numbers_of_a_table(lab: Lab) -> None:
    path = lab.journal / "e0005-e0011.md"
    path.write_text(path.read_text() + "\n| run | best val. acc. | lr |\n|---|--:|--:|\n| e0008 | 66.22 | 0.01 |\n| e0009 | 66.20 | 0.012 |\n")
    (found,) = verify(lab, ["e0005"]).problems
    assert found.text == "66.20 % is no best accuracy of e0009"
    assert found.quote == "e0009 | 66.20 | 0.012"


def test_an_accuracy_of_another_epoch_is_not_the_best(lab: Lab) -> None:
    put(lab, "e0008", 42, [0.5, 0.62, 0.61])
    entry.write(lab, lab.select(LR))
    assert said(lab, "e0008 has 61.00 % at its end.", LR) == []
    found = only(lab, "The best accuracy of e0008 is 61.00 %.", LR)
    assert "(it is its last)" in found.text


# --- what the images and seeds say ---


def test_by_images_a_difference_holds(lab: Lab) -> None:
    a, b = images_with(10_000, 8888, (60, 109))
    for name, right in (("e0040", a), ("e0039", b)):
        epochs = lab.experiment(name).settings.train.epochs
        put(lab, name, 42, level(right.mean(), epochs), right={epochs: right})
    entry.write(lab, lab.select(BEST))
    assert said(lab, "Scheduler helps.") == []
    assert said(lab, "e0039 is better than e0040.") == []
    assert only(lab, "e0039 is as good as e0038.").kind == "claim"
    assert said(lab, "e0040 is not better than e0039.") == []


def test_three_seeds_hold(lab: Lab) -> None:
    for name, values in (("e0040", (0.8888, 0.8890, 0.8885)), ("e0039", (0.8980, 0.8985, 0.8978))):
        for seed, value in zip((42, 43, 44), values, strict=True):
            put(lab, name, seed, level(value, lab.experiment(name).settings.train.epochs))
    entry.write(lab, lab.select(BEST))
    assert said(lab, "The scheduler helps.") == []
    assert said(lab, "e0039 is better than e0040, by 0.93 points.") == []
    assert only(lab, "The scheduler hurts.").strength == "supported"


# --- figures of others ---


def test_a_figure_of_experiments_that_the_entry_is_not_about(lab: Lab) -> None:
    path = lab.journal / "e0005-e0011.md"
    before = path.read_text()
    target = "fig/e0033%2Ce0034%2Ce0036%2Ce0037%2Ce0038%2Ce0039%2Ce0040_val_acc_epoch.png"
    path.write_text(f"{before}\n![curves]({target})\n")
    (found,) = verify(lab, ["e0005"]).problems
    assert (found.kind, found.line) == ("figure", before.count("\n") + 2)
    assert "shows e0033-e0034,e0036-e0040, which neither the entry is about nor its text names" in found.text
    path.write_text(f"{before}\nFor comparison, the runs e0033-e0040:\n![curves]({target})\n")
    assert verify(lab, ["e0005"]).holds


# --- where curves become flat ---


def test_where_accuracy_saturates(lab: Lab) -> None:
    for name in lab.select(LR):
        put(lab, name, 42, level(0.66, 60, tau=8))  # within 0.5 points of its end from epoch 38 on
    entry.write(lab, lab.select(LR))
    for sentence in ("saturates around 40", "Validation accuracy saturates around epoch 35.", "e0008 becomes flat: it plateaus after 45 epochs."):
        assert said(lab, sentence, LR) == [], sentence
    early = only(lab, "Validation accuracy saturates around epoch 10.", LR)
    assert (early.kind, early.text) == ("claim", "epoch 10 is not where the curves become flat")
    assert "e0005 still rises by 16.0 points after it; e0006" in early.evidence
    assert early.evidence.endswith("; and 4 more")
    assert "e0008 is within 0.5 points of its end (65.96 %) from epoch 38 on" in only(lab, "e0008 saturates at epoch 59.", LR).evidence
    assert only(lab, "e0008 saturates around epoch 90", LR).evidence == "e0008 ran 60 epochs"
    assert said(lab, "Training accuracy saturates around epoch 10.", LR) == []
    put(lab, "e0011", 42, level(0.66, 60, tau=2))
    entry.write(lab, lab.select(LR))
    assert said(lab, "Validation accuracy saturates around epoch 10.", LR) == []  # e0011's does


def test_where_the_loss_begins_to_rise(lab: Lab) -> None:
    loss = [2.3 - 0.05 * min(t, 20) + 0.03 * max(0, t - 20) for t in range(1, 41)]
    for name in lab.select(LR):
        put(lab, name, 42, level(0.66, 40), val_loss=loss)
    entry.write(lab, lab.select(LR))
    assert said(lab, "Validation loss degrades from epoch 22 on.", LR) == []
    assert "lowest at epoch 20 (1.330; 1.840 at its end)" in only(lab, "The validation loss rises from epoch 5 on.", LR).evidence
    put(lab, "e0008", 42, level(0.66, 40))
    entry.write(lab, lab.select(LR))
    assert "the loss of e0008 does not rise" in only(lab, "In e0008 the validation loss rises from epoch 20.", LR).evidence
