"""Losses: one for each image."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zhurnal.core import settings
from zhurnal.core.errors import RunError, SettingsError
from zhurnal.train.losses import make_loss, weigh_classes

OWN = """
import torch
from torch import nn
import torch.nn.functional as F

def focal(logits, labels, gamma=2.0):
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (1 - (-losses).exp()) ** gamma * losses

class Weighted(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))

    def forward(self, logits, labels):
        return F.cross_entropy(logits, labels, weight=self.weights, reduction="none")

class Learned(nn.Module):
    def __init__(self, fixed=False):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()), requires_grad=not fixed)

    def forward(self, logits, labels):
        return F.cross_entropy(logits / self.temperature, labels, reduction="none")

def mean(logits, labels):
    return F.cross_entropy(logits, labels)

def number(logits, labels):
    return 1.0

def fails(logits, labels):
    return logits[:, 99]

def narrow(logits):
    return logits
"""


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "my_loss.py").write_text(OWN)
    return tmp_path


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, generator=generator, requires_grad=True), torch.tensor([0, 1, 2, 0, 1, 2])


def own(name, **options):
    return settings.OwnLoss(name=f"my_loss.py:{name}", **options)


def test_cross_entropy_by_hand(batch):
    logits_NK, labels_N = batch
    losses_N = make_loss(settings.CrossEntropy(), Path())(logits_NK, labels_N)
    expected_N = logits_NK.exp().sum(1).log() - logits_NK[range(6), labels_N]
    torch.testing.assert_close(losses_N, expected_N)


def test_label_smoothing_is_for_training(batch):
    logits_NK, labels_N = batch
    part = settings.CrossEntropy(label_smoothing=0.3)
    targets_NK = 0.7 * F.one_hot(labels_N, 3) + 0.1
    torch.testing.assert_close(make_loss(part, Path())(logits_NK, labels_N), -(targets_NK * logits_NK.log_softmax(1)).sum(1))
    plain_N = make_loss(settings.CrossEntropy(), Path())(logits_NK, labels_N)
    assert torch.equal(make_loss(part, Path(), training=False)(logits_NK, labels_N), plain_N)


def test_losses_of_one_s_own(batch, lab):
    plain_N = make_loss(settings.CrossEntropy(), lab)(*batch)
    assert torch.equal(make_loss(own("focal", gamma=0.0), lab)(*batch), plain_N)
    assert (make_loss(own("focal"), lab)(*batch) < plain_N).all()
    weights_N = torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 3.0])
    torch.testing.assert_close(make_loss(own("Weighted", weights=[1.0, 2.0, 3.0]), lab)(*batch), plain_N * weights_N)


def test_a_loss_that_would_have_to_learn_is_refused(batch, lab):
    with pytest.raises(
        RunError, match=r"^loss my_loss.py:Learned has parameters of its own that want a gradient \(temperature\), which nothing trains"
    ):
        make_loss(own("Learned"), lab)
    assert torch.equal(make_loss(own("Learned", fixed=True), lab)(*batch), make_loss(settings.CrossEntropy(), lab)(*batch))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mean", r"^loss my_loss.py:mean returns a tensor of shape \(\) for 6 images, must return one loss for each image, shape \(6,\)"),
        ("number", r"^loss my_loss.py:number returns a float for 6 images"),
        ("fails", r"^my_loss.py:33: IndexError: .*\(loss my_loss.py:fails of logits of shape \(6, 3\)\)$"),
    ],
)
def test_what_a_loss_of_one_s_own_does_wrong(batch, lab, name, text):
    losses = make_loss(own(name), lab)
    with pytest.raises(RunError, match=text):
        losses(*batch)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (own("focal", gama=1.0), r"^loss.gama: my_loss.py:focal has no such setting; did you mean 'gamma'\? it has gamma$"),
        (own("focal", logits=1.0), r"^loss.logits: my_loss.py:focal has no such setting; it has gamma$"),
        (own("Weighted"), r"^loss.weights: my_loss.py:Weighted needs it; set loss.weights=VALUE"),
        (own("narrow"), r"^loss: my_loss.py:narrow takes 1 argument by position, must take 2$"),
    ],
)
def test_options_are_checked_before_the_first_step(lab, part, text):
    with pytest.raises(SettingsError, match=text):
        make_loss(part, lab)


def test_class_weights_are_pytorchs_scaled_to_one_on_average(batch):
    logits_NK, _ = batch
    labels_N = torch.tensor([0, 0, 0, 1, 2, 2])
    part = settings.CrossEntropy(class_weights=[1.0, 2.0, 8.0], label_smoothing=0.2)
    found_N = make_loss(part, Path(), labels_N=labels_N, num_classes=3)(logits_NK, labels_N)
    weights_K = torch.tensor([1.0, 2.0, 8.0])
    expected_N = F.cross_entropy(logits_NK, labels_N, weights_K, reduction="none", label_smoothing=0.2)
    torch.testing.assert_close(found_N, expected_N * 6 / 21)
    plain = settings.CrossEntropy(class_weights=[1.0, 2.0, 8.0])  # over the whole set, the mean is PyTorch's weighted mean
    whole = make_loss(plain, Path(), labels_N=labels_N, num_classes=3)(logits_NK, labels_N).mean()
    torch.testing.assert_close(whole, F.cross_entropy(logits_NK, labels_N, weights_K))


def test_balanced_class_weights_are_sklearns():
    from sklearn.utils.class_weight import compute_class_weight

    labels_N = torch.tensor([0] * 7 + [1] * 2 + [2] * 3)
    expected_K = compute_class_weight("balanced", classes=np.arange(3), y=labels_N.numpy())
    torch.testing.assert_close(weigh_classes("balanced", labels_N, 3).double(), torch.tensor(expected_K), rtol=0, atol=1e-6)
    with_empty_K = weigh_classes("balanced", labels_N, 4)
    assert with_empty_K[3] == 0
    assert (with_empty_K[labels_N]).mean() == pytest.approx(1)


def test_class_weights_are_for_training(batch):
    part = settings.CrossEntropy(class_weights="balanced")
    plain_N = make_loss(settings.CrossEntropy(), Path())(*batch)
    assert torch.equal(make_loss(part, Path(), training=False)(*batch), plain_N)
    weighted_N = make_loss(part, Path(), labels_N=torch.tensor([0, 1, 1, 2]), num_classes=3)(*batch)
    assert not torch.equal(weighted_N, plain_N)


def test_class_weights_that_do_not_fit(batch):
    with pytest.raises(RunError, match=r"^loss.class_weights has 2 weights, must have one for each of the 3 classes$"):
        make_loss(settings.CrossEntropy(class_weights=[1.0, 2.0]), Path(), labels_N=batch[1], num_classes=3)
    with pytest.raises(RunError, match=r"needs the labels of the training images"):
        make_loss(settings.CrossEntropy(class_weights="balanced"), Path())
