"""Measurements of speed: what they count is right, and they leave everything as it was. How fast this machine is, no test says."""

import itertools
import json
import statistics
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from zhurnal.api import Lab
from zhurnal.core.settings import VIDEO_MODELS
from zhurnal.train import bench, epoch_time, log, machine, setup, timing
from zhurnal.train.step import train_step
from zhurnal.train.summary import training_flops
from zhurnal.train.watch import Silent

SMALL = {
    "data": "digits", "data.subset": 300, "train.batch_size": 32, "train.num_threads": 1, "train.tensorboard": False, "optimizer": "adam",
}  # fmt: skip


@pytest.fixture
def lab(tmp_path):
    lab = Lab(Lab.init(tmp_path / "lab").folder)
    lab.new(SMALL, question="?")
    return lab


def parts_of(lab, name="e0001"):
    return setup.build(lab, lab.experiment(name), 42, download=False, watcher=Silent())


def step_of(parts, images_NCHW, labels_N, **options):
    given = {"seconds": 0.0, "channels_last": False, "threads": 1} | options
    return bench.measure_step(parts.model, images_NCHW, labels_N, parts.loss, parts.optimizer, **given)


@pytest.mark.parametrize("model", ["lenet", "resnet20", "vgg_bn", "vit"])
def test_flops_are_those_of_the_real_step(lab, model):
    lab.new({"model": model, "data.image_size": 32, "data.subset": 20, "train.batch_size": 4}, parent="e0001", question="?")
    parts = parts_of(lab, "e0002")
    images_NCHW, labels_N = next(parts.feed.batches(0, 0))
    with FlopCounterMode(display=False) as counter:
        train_step(parts.model, parts.optimizer, parts.loss, images_NCHW, labels_N)
    assert counter.get_total_flops() == 4 * training_flops(parts.model, parts.data.image) > 0


@pytest.mark.parametrize("channels_last", [False, True])
def test_measuring_a_step_leaves_everything_as_it_was(lab, channels_last):
    lab.new({"model": "resnet20", "data.image_size": 32, "data.subset": 40, "train.batch_size": 8}, parent="e0001", question="?")
    parts = parts_of(lab, "e0002")
    images_NCHW, labels_N = next(parts.feed.batches(0, 0))
    train_step(parts.model, parts.optimizer, parts.loss, images_NCHW, labels_N)  # so that there are gradients and running averages
    weight = parts.model.get_parameter(next(n for n, p in parts.model.named_parameters() if p.dim() == 4))
    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    parts.model.eval()
    before = {k: v.clone() for k, v in parts.model.state_dict().items()}
    places = {n: (p.data_ptr(), p.stride(), p.grad.clone()) for n, p in parts.model.named_parameters()}
    averages = {(id(p), k): v.clone() for p, state in parts.optimizer.state.items() for k, v in state.items()}
    assert averages
    generator, threads, images = torch.get_rng_state(), torch.get_num_threads(), images_NCHW.clone()
    step = step_of(parts, images_NCHW, labels_N, channels_last=channels_last, seconds=0.05, precision="bfloat16" if channels_last else "float32")
    assert all(torch.equal(v, before[k]) for k, v in parts.model.state_dict().items())
    for name, parameter in parts.model.named_parameters():
        place, stride, gradient = places[name]
        assert (parameter.data_ptr(), parameter.stride()) == (place, stride)
        assert torch.equal(parameter.grad, gradient)
    after = {(id(p), k): v for p, state in parts.optimizer.state.items() for k, v in state.items()}
    assert after.keys() == averages.keys()
    assert all(torch.equal(v, averages[k]) for k, v in after.items())
    assert not any(module.training for module in parts.model.modules())
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_num_threads() == threads
    assert torch.equal(images_NCHW, images)
    assert not parts.model._forward_hooks
    assert (step.batch, step.threads, step.channels_last) == (8, 1, channels_last)
    assert step.precision == ("bfloat16" if channels_last else "float32")
    assert step.images_per_second == pytest.approx(8 / step.seconds)


def test_the_layout_measured_is_the_one_asked_for(lab):
    parts = parts_of(lab)
    images_NCHW, labels_N = torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)
    seen = []

    class Looks(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 10)

        def forward(self, images):
            seen.append((self.conv.weight.stride()[1] == 1, images.stride()[1] == 1))
            return self.head(self.conv(images).mean((2, 3)))

    model = Looks()
    parts = replace(parts, model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    step_of(parts, images_NCHW, labels_N, channels_last=True)
    assert set(seen) == {(True, True)}
    seen.clear()
    step_of(parts, images_NCHW, labels_N, channels_last=False)
    assert set(seen) == {(False, False)}


def test_the_median_is_of_calls_after_the_first(monkeypatch):
    calls = []
    ticks = itertools.count()
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(ticks) / 1000)
    times = bench._times(lambda: calls.append(1), 0.01, torch.device("cpu"))
    assert len(times) == len(calls) - 1 > 1
    assert statistics.median(times) > 0
    assert len(bench._times(lambda: None, -1.0, torch.device("cpu"))) == 1


@pytest.mark.parametrize(
    ("epoch", "every", "one"), [(1.1, 10.0, 0.01), (5.0, 10.0, 0.01), (25.0, 10.0, 0.01), (110.0, 10.0, 1.0), (0.3, 10.0, 0.001), (30.0, 0.0, 0.1)]
)
def test_checkpoints_of_an_epoch_are_as_many_as_a_run_makes(monkeypatch, epoch, every, one):
    now, num = 0.0, 0
    monkeypatch.setattr(log.time, "monotonic", lambda: now)
    saver = log.Saver(every)

    def save():
        nonlocal now, num
        now, num = now + one, num + 1

    for _ in range(300):
        for step in range(200):
            now += epoch / 200
            if saver.due(at_epoch_end=step == 199):
                saver.save(save)
    assert epoch_time.saves(epoch, every, one) == pytest.approx(num / 300, rel=0.2)


@pytest.mark.parametrize("changes", [{}, {"train.ema": 0.9, "train.accumulate": 2}, {"train.train_accuracy": "second_pass", "train.mixup": 0.3}])
def test_an_epoch_is_the_sum_of_its_parts(lab, tmp_path, changes):
    lab.new({"data.subset": None, **changes}, parent="e0001", question="?")
    parts = parts_of(lab, "e0002")
    found = epoch_time.measure_epoch(lab.experiment("e0002"), parts, tmp_path, seconds=0.1)
    assert [p.name for p in found.parts] == [*timing.STEP, "validation", "checkpoints"]
    assert all(p.seconds > 0 for p in found.parts)
    assert sum(p.share for p in found.parts) == pytest.approx(1)
    assert sum(p.seconds for p in found.parts) == pytest.approx(found.seconds)
    assert (found.steps, found.val, found.batch) == (parts.feed.num_batches, len(parts.data.val), 32)
    assert epoch_time.FEWEST <= found.steps_measured <= found.steps
    assert list(tmp_path.glob("tmp*")) == []


def test_an_epoch_measured_in_part_is_grown_to_the_whole(lab):
    parts = parts_of(lab)
    clock = timing.Clock(torch.device("cpu"))
    clock.seconds |= dict.fromkeys(timing.STEP, 0.1) | {timing.VALIDATION: 0.2, timing.CLOSING: 0.05, timing.BEST: 0.01, timing.CHECKPOINTS: 0.02}
    clock.times[timing.CHECKPOINTS] = 2
    found = epoch_time.put_together(lab.experiment("e0001"), parts, clock, 2, 10)
    grown = parts.feed.num_batches / 2
    seconds = {p.name: p.seconds for p in found.parts}
    assert seconds["forward"] == pytest.approx(grown * 0.1)
    assert seconds["metrics and records"] == pytest.approx(grown * 0.1 + 0.05)
    assert seconds["validation"] == pytest.approx(len(parts.data.val) / 10 * 0.2)
    assert seconds["checkpoints"] == pytest.approx(0.01 + found.checkpoints * 0.01)


def test_marks_change_nothing_and_are_taken_away(lab):
    plain, parts = parts_of(lab), parts_of(lab)
    seen = []
    with timing.marked(parts, seen.append) as with_marks:
        for given in (plain, with_marks):
            torch.manual_seed(0)
            for images_NCHW, labels_N in given.feed.batches(0, 0):
                train_step(given.model, given.optimizer, given.loss, images_NCHW, labels_N)
    assert all(torch.equal(a, b) for a, b in zip(plain.model.state_dict().values(), parts.model.state_dict().values(), strict=True))
    assert seen[:7] == [timing.AUGMENT, timing.AUGMENT, timing.FORWARD, timing.FORWARD, timing.BACKWARD, timing.OPTIMIZER, timing.RECORDS]
    assert seen[7:9] == [timing.AUGMENT, timing.FORWARD]  # the second batch was augmented with the first, and is only normalized
    assert "step" not in vars(parts.optimizer)
    assert not parts.model._forward_pre_hooks


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_peak_is_the_fastest_of_what_is_tried(monkeypatch, precision):
    monkeypatch.setattr(bench, "SIZES", (16, 32))
    monkeypatch.setattr(bench, "MAPS", (2, 8, 6))
    products = {kind: (flops, action()) for kind, flops, action in bench._products(torch.device("cpu"), getattr(torch, precision))}
    assert {kind: flops for kind, (flops, _) in products.items()} == {
        "product of 16 x 16": 2 * 16**3, "product of 32 x 32": 2 * 32**3, "3x3 convolution of 8 channels": 2 * (2 * 8 * 4 * 4) * 8 * 9,
    }  # fmt: skip
    assert products["product of 16 x 16"][1].tolist() == [[8.0] * 16] * 16
    assert products["3x3 convolution of 8 channels"][1].shape == (2, 8, 4, 4)
    assert all(made.dtype == getattr(torch, precision) for _, made in products.values())
    times = iter([[4.0], [1.0], [3.0]])
    monkeypatch.setattr(bench, "_times", lambda action, seconds, device: next(times))
    peak = bench.measure_peak(1, torch.device("cpu"), 1.0, precision)
    assert (peak.gflops, peak.kind, peak.precision) == (2 * 32**3 / 1e9, "product of 32 x 32", precision)
    assert list(peak.tried) == list(products)
    assert peak.tried["product of 16 x 16"] == 2 * 16**3 / 4 / 1e9


def files(lab):
    return {str(p.relative_to(lab.folder)): p.read_bytes() for p in lab.folder.rglob("*") if p.is_file() and lab.cache not in p.parents}


class Told(Silent):
    def __init__(self, stop_at=None):
        self.tasks, self.stop_at = [], stop_at

    def progress(self, task, done, total):
        self.tasks.append((task, done, total))
        if task == self.stop_at:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_an_experiment_is_measured_and_left_alone(lab):
    lab.run("e0001")
    lab.new({"model.weights": "e0001:best"}, parent="e0001", question="?")
    lab.new({}, parent="e0002", continues="e0002", question="its parent never ran")
    before, generator, threads = files(lab), torch.get_rng_state(), torch.get_num_threads()
    for name in ("e0001", "e0003"):
        found = machine.begin(lab, name)
        machine.measure(found, lab, seconds=1.0, operators=True)
        assert found.complete
        assert found.image == (1, 8, 8)
        assert [p.threads for p in found.peaks] == [1]
        assert [(s.step.threads, s.step.channels_last, s.step.batch) for s in found.speeds] == [(1, False, 32), (1, True, 32)]
        peak = found.peaks[0].gflops
        for speed in found.speeds:
            assert speed.gflops == pytest.approx(speed.flops * 32 / speed.step.seconds / 1e9)
            assert speed.of_peak == pytest.approx(speed.gflops / peak)
        assert found.pipelines[0].images_per_second > 0
        assert found.epoch.model == "lenet"
        assert "digits of 1x8x8, in memory" in found.pipeline_of
        assert sum(o.share for o in found.operators) == pytest.approx(1)
        assert {"aten::convolution_backward", "aten::addmm"} <= {o.name for o in found.operators}
        json.dumps(found.to_dict())
    assert files(lab) == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert not list(lab.cache.glob("bench-*"))


@pytest.mark.slow
def test_clips_are_measured_in_one_layout(lab):
    clips = {"data": "moving_shapes", "data.num_clips": 80, "data.clip_length": 4, "data.image_size": 16, "model": next(iter(VIDEO_MODELS))}
    lab.new({**SMALL, **clips, "data.subset": None, "train.batch_size": 8}, question="?")
    found = machine.begin(lab, "e0002")
    machine.measure(found, lab, seconds=1.0)
    assert [s.step.channels_last for s in found.speeds] == [False]


def test_what_was_measured_before_it_was_stopped_is_there(lab):
    found = machine.begin(lab, "e0001")
    with pytest.raises(KeyboardInterrupt):
        machine.measure(found, lab, seconds=1.0, watcher=Told("step of lenet"))
    assert found.peaks
    assert found.pipelines
    assert found.epoch is not None
    assert not found.complete


def test_a_busy_machine_is_told(lab, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (77.0, 1.0, 1.0), raising=False)
    assert "the load average is 77.0" in machine.begin(None, None).notes[0]
    monkeypatch.setattr("os.getloadavg", lambda: (0.1, 1.0, 1.0), raising=False)
    assert machine.begin(None, None).notes == []
    found = machine.begin(None, None)
    found.peaks.append(bench.Peak("cpu", 1, 50.0, "product of 1024 x 1024", "float32", 0.4, {}))
    machine._note_busy(found)
    assert found.notes == ["one thread got 40 % of a core during the matrix product: other programs took the rest"]


@pytest.mark.slow
def test_the_built_in_networks_need_no_lab(monkeypatch):
    monkeypatch.setattr(machine, "MODELS", ("lenet", "airnet"))
    monkeypatch.setattr(machine, "NUM_IMAGES", 1000)
    found = machine.begin(None, None)
    found.num_threads = 1
    machine.measure(found, seconds=2.0)
    assert {s.model for s in found.speeds} == {"lenet", "airnet"}
    assert found.subject == ""
    assert "generated images of 3x32x32" in found.pipeline_of
