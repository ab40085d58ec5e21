"""What a queue is to run: runs, what they wait for, threads."""

import pytest

from helpers_runs import make_run
from zhurnal.core.errors import RunError
from zhurnal.jobs import plan as planning
from zhurnal.jobs.plan import plan
from zhurnal.store.lab import Lab


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(planning, "cores", lambda: 8)
    lab = Lab.init(tmp_path / "lab")
    lab.new({"model": "lenet", "data": "digits", "seeds": [1, 2], "train.epochs": 2})
    return lab


def after(lab: Lab, names: list[str], **options) -> dict[str, list[str]]:
    jobs = plan(lab, names, at_once=2, **options)
    label = {job.key: job.label for job in jobs}
    return {job.label: [label[key] for key in job.after] for job in jobs}


@pytest.mark.parametrize(("at_once", "threads"), [(2, 4), (3, 2), (4, 2), (5, 1), (8, 1), (9, 1), (1000, 1)])
def test_cores_are_divided_and_each_gets_at_least_one(lab, at_once, threads):
    assert {job.num_threads for job in plan(lab, ["e0001"], num_seeds=12, at_once=at_once)} == {threads}


def test_no_more_at_once_than_there_are_runs(lab):
    assert {job.num_threads for job in plan(lab, ["e0001"], at_once=1000)} == {4}


def test_one_at_a_time_takes_the_default(lab):
    assert {job.num_threads for job in plan(lab, ["e0001"], at_once=1)} == {0}
    assert {job.num_threads for job in plan(lab, ["e0001"], num_seeds=1, at_once=4)} == {0}


def test_the_environment_says_the_most_that_a_process_takes(lab, monkeypatch):
    for text, threads in {"3": 3, "30": 4, "0": 4, "many": 4, "4,2": 4}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert planning.threads_of_each(2) == threads


@pytest.mark.parametrize("jobs", [0, -1])
def test_too_few_at_once(lab, jobs):
    with pytest.raises(RunError, match=f"jobs is {jobs}, must be at least 1"):
        plan(lab, ["e0001"], at_once=jobs)


def test_what_is_finished_gives_the_others_no_more_threads(lab):
    for seed in (1, 2):
        make_run(lab, "e0001", seed, epochs=2)
    lab.new({"seeds": [1]}, parent="e0001")
    assert {job.num_threads for job in plan(lab, ["e0001", "e0002"], at_once=4)} == {2}


def test_threads_that_the_settings_or_the_beginning_of_a_run_name(lab):
    lab.new({"train.num_threads": 6, "seeds": [1]}, parent="e0001")
    make_run(lab, "e0001", 2, epochs=1, status="interrupted")  # it began with 1
    assert [job.takes for job in plan(lab, ["e0001", "e0002"], at_once=2)] == [4, 1, 6]


def test_labels_name_the_seed_where_there_are_more(lab):
    lab.new({"seeds": [7]}, parent="e0001")
    assert [job.label for job in plan(lab, ["1", "e2"])] == ["e0001 seed 1", "e0001 seed 2", "e0002"]


def test_a_run_waits_for_the_one_it_continues_with_the_same_seed(lab):
    lab.new({}, continues="e0001")
    waits = {"e0002 seed 1": ["e0001 seed 1"], "e0002 seed 2": ["e0001 seed 2"], "e0001 seed 1": [], "e0001 seed 2": []}
    assert after(lab, ["e0002", "e0001"]) == waits
    assert after(lab, ["e0002"]) == {"e0002 seed 1": [], "e0002 seed 2": []}


@pytest.mark.parametrize("weights", ["e0001:best", "e0001:last"])
def test_a_run_waits_for_weights_and_without_its_seed_for_all(lab, weights):
    lab.new({"model.weights": weights, "seeds": [2]}, parent="e0001")
    lab.new({"model.weights": weights, "seeds": [5]}, parent="e0001")
    found = after(lab, ["e0001", "e0002", "e0003"])
    assert found["e0002"] == ["e0001 seed 2"]
    assert found["e0003"] == ["e0001 seed 1", "e0001 seed 2"]


def test_a_run_with_its_seed_that_is_finished_but_not_in_the_queue_needs_no_waiting(lab):
    lab.new({"model.weights": "e0001:best", "seeds": [5]}, parent="e0001")
    make_run(lab, "e0001", 5, epochs=2)
    assert after(lab, ["e0001", "e0002"])["e0002"] == []


def test_a_run_waits_for_a_file_of_best_weights(lab):
    lab.new({"model.weights": "experiments/logs/e0001_model_best.pth", "seeds": [1]}, parent="e0001")
    lab.new({"model.weights": "elsewhere/e0001_model_best.pth", "seeds": [1]}, parent="e0001")
    found = after(lab, ["e0001", "e0002", "e0003"])
    assert found["e0002"] == ["e0001 seed 1", "e0001 seed 2"]
    assert found["e0003"] == []
