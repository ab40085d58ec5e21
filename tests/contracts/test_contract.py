"""The contract that `zhurnal check` and the tests share: built-in parts keep it, and each promise is seen to break."""

import numpy as np
import pytest
import torch
from torch import nn

from zhurnal.core import settings
from zhurnal.core.settings import Data
from zhurnal.train import contract, losses, models, optimizers, transforms
from zhurnal.train.data import prepare


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def section(kind, name, **options):
    return settings.section_class(kind, name)(name=name, **options)


# Sizes that a network takes, where it is not any; and airnet's own initialization looks at training images, which are not here.
SHAPES = {"vit": (3, 12, 8), "airnet": (3, 32, 32)} | dict.fromkeys(settings.VIDEO_MODELS, (3, 1, 9, 8))
INITS = {"airnet": "kaiming"}
# Rates at which each optimizer has done its work after the contract's 200 steps.
RATES = {"adagrad": {"lr": 1.0}, "adadelta": {"lr": 10.0}, "muon": {"lr": 0.05, "other_lr": 0.05}}


LARGE = ("r3d_18", "mc3_18", "r2plus1d_18", "mvit_v2_s")  # test_video_models.py tries them


@pytest.mark.parametrize("name", [name for name in models.MODELS if name not in LARGE])
def test_built_in_models_keep_it(name):
    chosen = section("model", name, init=INITS.get(name, "default"))
    found = contract.model(lambda image, num, seed: models.make(chosen, image, num, seed=seed, base=None), [SHAPES.get(name, (3, 9, 8))])
    assert (contract.problems(found), len(found)) == ([], 7)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_built_in_optimizers_keep_it(name):
    found = contract.optimizer(
        lambda module: optimizers.make_optimizer(section("optimizer", name, **RATES.get(name, {"lr": 0.05})), module, None), target=0.02
    )
    assert (contract.problems(found), len(found)) == ([], 4)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_built_in_losses_keep_it(name):
    found = contract.loss(losses.make_loss(section("loss", name), None))
    assert (contract.problems(found), len(found)) == ([], 5)


@pytest.mark.parametrize("name", settings.TRANSFORMS)
def test_built_in_transforms_keep_it(name):
    found = contract.transform(lambda image: transforms.make(name, image))
    assert (contract.problems(found), len(found)) == ([], 12)


def test_a_built_in_data_set_keeps_it(tmp_path):
    found = contract.dataset(lambda: prepare(Data(name="digits"), root=tmp_path, base=tmp_path, cache=tmp_path))
    assert (contract.problems(found), len(found)) == ([], 5)


class Small(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(3 * 4 * 4, num_classes)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Unused(Small):
    def __init__(self):
        super().__init__()
        self.other = nn.Linear(2, 2)


class Noisy(Small):
    def forward(self, x):
        return super().forward(x) + torch.rand(1)


class Batch(Small):
    def forward(self, x):
        return super().forward(x - x.mean())


class Constant(Small):
    def __init__(self):
        super().__init__()
        self.scale = torch.rand(10)

    def forward(self, x):
        return super().forward(x) * self.scale


class Single(Small):
    def forward(self, x):
        return super().forward(x.float()).float()


class Unseeded(Small):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.fc.bias, np.random.default_rng().random())


class Evaluating(Small):
    def __init__(self):
        super().__init__()
        self.eval()


class Infinite(Small):
    def forward(self, x):
        return super().forward(x) / 0


class Fails(Small):
    def forward(self, x):
        raise RuntimeError("no way")


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (Unused, "learns from images of 3x4x4: no gradient reaches other.weight, other.bias"),
        (Noisy, "gives the same twice in evaluation mode: logits differ"),
        (Batch, "gives an image the same logits in any batch, in evaluation mode: logits differ"),
        (Constant, "survives saving its weights and loading them with weights_only: the loaded network gives other logits"),
        (Single, "moves to float64: RuntimeError: "),
        (Unseeded, "has the same weights for the same seed: fc.bias differ"),
        (Evaluating, "learns from images of 3x4x4: is in evaluation mode"),
        (Infinite, "learns from images of 3x4x4: gives logits that are not finite"),
        (Fails, "learns from images of 3x4x4: RuntimeError: no way"),
        (lambda: Small(7), "learns from images of 3x4x4: gives shape (4, 7) in training mode, must be (4, 10)"),
        (lambda: 1 / 0, "is built for images of 3x4x4: ZeroDivisionError: division by zero"),
    ],
)
def test_each_promise_of_a_model_is_seen_to_break(network, text):
    def build(image, num_classes, seed):
        torch.manual_seed(seed)
        return network()

    assert any(p.startswith(text) for p in contract.problems(contract.model(build, [(3, 4, 4)])))
    assert contract.problems(contract.model(lambda *a: (torch.manual_seed(a[2]), Small())[1], [(3, 4, 4)])) == []


class Forgetful(torch.optim.SGD):
    """Keeps what changes where state_dict does not look."""

    steps = 0

    def step(self, closure=None):
        self.steps += 1
        for group in self.param_groups:
            group["lr"] = 0.01 / self.steps if self.steps < 5 else 0.02 * self.steps
        return super().step(closure)


class Greedy(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(0.001)
        return super().step(closure)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda m: torch.optim.SGD(m.parameters(), lr=1e-6), "brings a least-squares loss down within 200 steps: the loss is "),
        (lambda m: Forgetful(m.parameters(), lr=0.01), "goes on from its saved state as if it had not stopped: losses differ"),
        (lambda m: Greedy(m.parameters(), lr=0.01), "leaves parameters without a gradient alone: it changed one"),
        (lambda m: 1 / 0, "is made: ZeroDivisionError"),
    ],
)
def test_each_promise_of_an_optimizer_is_seen_to_break(make, text):
    assert any(p.startswith(text) for p in contract.problems(contract.optimizer(make)))


def cross_entropy(logits_NK, labels_N):
    return nn.functional.cross_entropy(logits_NK, labels_N, reduction="none")


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x, y: cross_entropy(x, y).mean(), "gives one finite loss for each image: gives shape ()"),
        (lambda x, y: cross_entropy(x.detach(), y), "gives a finite gradient: no gradient reaches the logits"),
        (lambda x, y: cross_entropy(x, y) / cross_entropy(x, y).sum(), "gives an image the same loss in any batch: losses differ"),
        (lambda x, y: -x.softmax(1).gather(1, y[:, None])[:, 0].log(), "stays finite for logits of -100 to 100: gives "),
        (lambda x, y: -cross_entropy(x, y), "is less for a right answer than for a wrong one: it is not"),
        (lambda x, y: cross_entropy(x, y) * 0, "gives a finite gradient: the gradient is zero"),
    ],
)
def test_each_promise_of_a_loss_is_seen_to_break(function, text):
    assert any(p.startswith(text) for p in contract.problems(contract.loss(function)))


@pytest.mark.parametrize(
    ("apply", "text"),
    [
        (lambda i, d: i.float(), "keeps shape and type, images of 3x4x4: gives torch.float32"),
        (lambda i, d: i.add_(1), "leaves what it was given alone, images of 3x4x4: changed the images"),
        (lambda i, d: (d.zero_(), i)[1], "leaves what it was given alone, images of 3x4x4: changed the draws"),
        (lambda i, d: i.roll(1, 0), "changes an image alike in any batch, images of 3x4x4: an image alone"),
        (lambda i, d: i + torch.randint(0, 2, i.shape, dtype=torch.uint8), "changes an image alike in any batch, images of 3x4x4: "),
    ],
)
def test_each_promise_of_a_transform_is_seen_to_break(apply, text):
    found = contract.transform(lambda image: transforms.Transform(1, apply), [(3, 4, 4)])
    assert any(p.startswith(text) for p in contract.problems(found))


def test_a_data_set_that_differs_each_time_is_seen(tmp_path):
    (tmp_path / "d.py").write_text(
        "import numpy as np\ndef load(root):\n    return {'images': np.random.randint(0, 256, (40, 4, 4), np.uint8), 'labels': np.arange(40) % 2}\n"
    )
    data = section("data", "d.py:load")
    found = contract.problems(contract.dataset(lambda: prepare(data, root=tmp_path, base=tmp_path, cache=tmp_path / "c")))
    assert found == [
        "gives the same when read again: images or labels differ: a load function must return the same each time, so seed whatever it draws"
    ]
