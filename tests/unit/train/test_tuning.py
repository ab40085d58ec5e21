"""How a run computes: the same function in every layout, chosen by measurement, kept, recorded, and never changed by a resume."""

import orjson
import pytest
import torch
from torch import nn

from zhurnal.api import Lab
from zhurnal.core.errors import Interrupted
from zhurnal.core.settings import parse
from zhurnal.train import models, optimizers, tuning
from zhurnal.train.run import Stop
from zhurnal.train.tuning import CHANNELS_LAST, CONTIGUOUS, Choice, arrange

QUICK = {"data": "digits", "data.subset": 120, "train.epochs": 2, "train.batch_size": 40, "train.tensorboard": False}
CPU = torch.device("cpu")


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(Lab.init(tmp_path / "lab").folder)


def settings(**train):
    return parse({"data": {"name": "digits"}, "model": {"name": "lenet"}, "train": train, "seeds": [0]})


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def always(monkeypatch):
    """Measure also what is short, and quickly."""
    monkeypatch.setattr(tuning, "WORTH", 0.0)
    monkeypatch.setattr(tuning, "SECONDS", 0.0)
    monkeypatch.setattr(tuning, "_busy", lambda: False)


def choose(tmp_path, model=None, threads=1, **train):
    model = model or models.make(settings().model, (1, 8, 8), 10, seed=0, base=tmp_path, images=lambda: torch.zeros(4, 1, 8, 8))
    return tuning.choose(settings(**train), model, (1, 8, 8), 1000, CPU, threads, tmp_path)


def test_a_short_run_is_not_measured(tmp_path):
    assert choose(tmp_path, threads=4) == Choice(CONTIGUOUS, 1, "short")
    assert not list(tmp_path.iterdir())


def test_what_is_given_is_taken(tmp_path, always):
    assert choose(tmp_path, memory_format="channels_last", num_threads=3) == Choice(CHANNELS_LAST, 3, "given")


@pytest.mark.slow
def test_a_measurement_tries_all_that_is_open_and_is_kept(tmp_path, always):
    first = choose(tmp_path, threads=2)
    assert first.why == "measured"
    assert set(first.microseconds) == {"contiguous x1", "contiguous x2", "channels_last x1", "channels_last x2"}
    assert min(first.microseconds.values()) > 0
    assert choose(tmp_path, threads=2) == Choice(first.memory_format, first.num_threads, "known", first.microseconds)
    assert set(choose(tmp_path, threads=1).microseconds) == {"contiguous x1", "channels_last x1"}  # another number of cores, measured anew
    assert set(choose(tmp_path, threads=2, memory_format="channels_last").microseconds) == {"channels_last x1", "channels_last x2"}


def test_what_was_measured_with_slower_layers_is_measured_anew(tmp_path, always, monkeypatch):
    choose(tmp_path)
    assert choose(tmp_path).why == "known"
    monkeypatch.setattr(tuning, "CODE", tuning.CODE + 1)
    assert choose(tmp_path).why == "measured"


def test_what_a_busy_machine_measures_is_not_kept(tmp_path, always, monkeypatch):
    monkeypatch.setattr(tuning, "_busy", lambda: True)
    assert choose(tmp_path).why == choose(tmp_path).why == tuning.BUSY
    assert not list(tmp_path.rglob("*.json"))


def test_a_damaged_cache_is_measured_anew(tmp_path, always):
    choose(tmp_path)
    (kept,) = (tmp_path / "tuning").iterdir()
    for damage in (b"", b"{", b'{"memory_format": 3}', b"[]"):
        kept.write_bytes(damage)
        assert choose(tmp_path).why == "measured"


def test_measuring_disturbs_nothing(tmp_path, always):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 10))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    generator, threads = torch.get_rng_state(), torch.get_num_threads()
    assert choose(tmp_path, model, threads=2).why == "measured"
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_num_threads() == threads


def test_a_network_without_maps_has_no_layout(tmp_path, always):
    assert set(choose(tmp_path, nn.Sequential(nn.Flatten(), nn.Linear(64, 10))).microseconds) <= {"contiguous x1"}


def test_fewer_threads_are_not_tried_where_they_are_far_slower(tmp_path, always, monkeypatch):
    tried = []

    def step(model, images):
        tried.append(torch.get_num_threads())
        return 1.0 / tried[-1]

    monkeypatch.setattr(tuning, "_step", step)
    monkeypatch.setattr(tuning, "STEP_SECONDS", 10.0)
    found = choose(tmp_path, threads=16, memory_format="contiguous")
    assert set(found.microseconds) == {"contiguous x8", "contiguous x16"}, "a step on 4 takes four times as long as one on 16"
    assert 4 in tried
    assert not {1, 2} & set(tried)
    assert found.num_threads == 16


def test_clips_are_measured_as_they_are_trained(tmp_path, always, monkeypatch):
    strides = set()

    class Frames(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 2, 3)

        def forward(self, clips_NTCHW):
            strides.add(clips_NTCHW.is_contiguous())
            return self.layer(clips_NTCHW.flatten(0, 1)).mean((1, 2, 3))[:, None]

    tuning.choose(settings(), Frames(), (4, 1, 8, 8), 1000, CPU, 1, tmp_path)
    assert strides == {True}


def test_an_edited_network_is_measured_anew(tmp_path, always):
    wide, narrow = (nn.Sequential(nn.Conv2d(1, width, 3), nn.Flatten(), nn.Linear(36 * width, 10)) for width in (8, 4))
    assert [choose(tmp_path, model).why for model in (wide, narrow, wide)] == ["measured", "measured", "known"]


@pytest.mark.parametrize("change", [{"memory_format": "x"}, {"num_threads": 0}, {"num_threads": 64}, {"num_threads": "2"}])
def test_a_kept_choice_that_cannot_be_one_is_measured_anew(tmp_path, always, change):
    choose(tmp_path)
    (kept,) = (tmp_path / "tuning").iterdir()
    kept.write_bytes(orjson.dumps(orjson.loads(kept.read_bytes()) | change))
    assert choose(tmp_path).why == "measured"


def test_a_system_that_tells_no_load_is_not_busy(monkeypatch):
    def none():
        raise OSError

    monkeypatch.setattr(tuning.os, "getloadavg", none)
    assert tuning.load_average() is None
    assert not tuning._busy()


def test_a_network_that_fails_is_left_to_training(tmp_path, always):
    class Bad(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 1)

        def forward(self, x):
            raise KeyError("mine")

    choice = choose(tmp_path, Bad())
    assert choice.why.startswith("not measured: KeyError")
    assert choice.memory_format == CONTIGUOUS


def test_equal_times_take_the_simpler():
    times = {(CONTIGUOUS, 1): 1.0, (CHANNELS_LAST, 1): 0.97, (CONTIGUOUS, 2): 0.96, (CHANNELS_LAST, 2): 0.9}
    assert tuning._best(times) == (CHANNELS_LAST, 2)
    assert tuning._best(times | {(CHANNELS_LAST, 2): 0.96}) == (CONTIGUOUS, 1)


@pytest.mark.parametrize("name", ["lenet", "vgg_bn", "resnet9", "airnet"])
def test_channels_last_is_the_same_function(tmp_path, name):
    torch.set_num_threads(1)
    image = (3, 32, 32)
    pair = []
    for memory_format in (CONTIGUOUS, CHANNELS_LAST):
        chosen = parse({"data": {"name": "digits"}, "model": {"name": name}, "seeds": [0]}).model
        model = models.make(
            chosen, image, 10, seed=0, base=tmp_path, images=lambda: torch.rand(50, *image, generator=torch.Generator().manual_seed(1))
        )
        tuning.lay_out(Choice(memory_format, 1, "given"), model)
        images = arrange(torch.rand(8, *image, generator=torch.Generator().manual_seed(0)), memory_format)
        model.eval()
        logits = model(images)
        logits.square().mean().backward()
        pair.append((logits.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    (first, first_grads), (second, second_grads) = pair
    torch.testing.assert_close(second, first, rtol=1e-3, atol=1e-4)
    assert first_grads.keys() == second_grads.keys()
    for key, grad in first_grads.items():
        torch.testing.assert_close(second_grads[key].contiguous(), grad, rtol=1e-2, atol=1e-4 * max(1.0, float(grad.abs().max())), msg=key)


def test_an_optimizers_averages_follow_the_layout_of_their_weights():
    model = nn.Conv2d(3, 8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    before = optimizer.state[model.weight]["momentum_buffer"].clone()
    tuning.lay_out(Choice(CHANNELS_LAST, 1, "given"), model)
    tuning.lay_out_state(optimizer)
    after = optimizer.state[model.weight]["momentum_buffer"]
    assert after.stride() == model.weight.stride() != before.stride()
    assert torch.equal(after, before)


def test_what_an_optimizer_keeps_beside_its_averages_is_left_alone():
    model = nn.Conv2d(3, 8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.state["steps"] = 3
    optimizer.state[model.weight] = {"momentum_buffer": None}
    tuning.lay_out_state(optimizer)
    assert optimizer.state["steps"] == 3


@pytest.mark.slow
def test_a_run_records_how_it_computed_and_resumes_so(lab, always, monkeypatch):
    lab.new({**QUICK, "model": "resnet9", "train.memory_format": "channels_last", "train.num_threads": 1})
    whole = lab.run("e0001")
    assert whole.effective["memory_format"] == "channels_last"
    assert whole.effective["tuning"] == {"why": "given", "microseconds": {}}
    lab.new({"train.memory_format": "auto"}, parent="e0001")
    monkeypatch.setattr(tuning, "_best", lambda times: (CHANNELS_LAST, 1))

    class StopAt:
        def __init__(self, stop):
            self.stop = stop

        def __getattr__(self, name):
            return lambda *arguments: None

        def step(self, epoch, batch, images, lr):
            if (epoch, batch) == (1, 1):
                self.stop()

    stop = Stop()
    with pytest.raises(Interrupted):
        lab.run("e0002", stop=stop, watcher=StopAt(stop))
    monkeypatch.setattr(tuning, "_best", lambda times: (CONTIGUOUS, 1))
    for kept in (lab.cache / "tuning").iterdir():
        kept.unlink()
    again = lab.run("e0002")
    assert orjson.loads((again.folder / "effective.json").read_bytes())["memory_format"] == "channels_last"
    assert (again.folder / "record.jsonl").read_bytes() == (whole.folder / "record.jsonl").read_bytes()


def test_a_spare_core_prepares_batches_and_changes_nothing(lab):
    lab.new({**QUICK, "train.num_threads": 1, "data.transform": "augment_simple"})
    lab.new({}, parent="e0001")
    from zhurnal.train import run as running
    from zhurnal.train import setup

    tune, ahead = setup.tune, []

    def spare(parts, choice, threads):
        made = tune(parts, choice, threads + 1)
        ahead.append(made.feed.ahead)
        return made

    first = lab.run("e0001")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running.setup, "tune", spare)
        second = lab.run("e0002")
    assert ahead == [True]
    assert (second.folder / "record.jsonl").read_bytes() == (first.folder / "record.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "nadam", "muon"])
def test_an_optimizer_steps_the_same_in_either_layout(tmp_path, name):
    pair = []
    for memory_format in (CONTIGUOUS, CHANNELS_LAST):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.Flatten(), nn.Linear(144, 10)
        ).double()
        tuning.lay_out(Choice(memory_format, 1, "given"), model)
        chosen = parse({"data": {"name": "digits"}, "model": {"name": "lenet"}, "optimizer": {"name": name}, "seeds": [0]}).optimizer
        optimizer = optimizers.make_optimizer(chosen, model, tmp_path)
        for step in range(3):
            images = torch.rand(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            model(arrange(images, memory_format)).square().sum().backward()
            optimizer.step()
        pair.append({k: v.contiguous() for k, v in model.state_dict().items()})
    for key, value in pair[0].items():
        torch.testing.assert_close(pair[1][key], value, rtol=1e-6, atol=1e-9, msg=key)
