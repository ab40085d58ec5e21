"""TensorBoard events: what TensorBoard's own reader finds in a file that Zhurnal wrote."""

import math
import os
import signal
import subprocess
import sys

import pytest

from zhurnal.core.records import Row
from zhurnal.train import board
from zhurnal.train.board import Board

ITER: list[Row] = [{"kind": "iter", "step": n, "epoch": 1, "loss": 1 / n, "lr": 0.1} for n in (1, 127, 128, 300, 70_000)]
EPOCH: Row = {"kind": "epoch", "epoch": 1, "step": 300, "lr": 0.1, "train_loss": 2.0, "train_acc": 0.25, "val_loss": 1.5, "val_acc": 0.5}
TEST: Row = {"kind": "test", "epoch": 1, "step": 300, "test_acc": 0.75}
END: Row = {"kind": "end", "epoch": 1, "step": 300}


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard shows: for each tag its (step, value)."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_reads_the_rows(tmp_path):
    with Board(tmp_path, True) as open_board:
        for row in (*ITER, EPOCH, TEST, END):
            open_board.row(row)
        found = scalars(tmp_path)
    assert found.pop("loss/iter") == [(r["step"], pytest.approx(r["loss"])) for r in ITER]
    assert found.pop("lr/iter") == [(r["step"], pytest.approx(0.1)) for r in ITER]
    assert found == {
        "loss/train": [(1, 2.0)],
        "loss/val": [(1, 1.5)],
        "accuracy/train": [(1, 0.25)],
        "accuracy/val": [(1, 0.5)],
        "lr/epoch": [(1, pytest.approx(0.1))],
        "accuracy/test": [(1, 0.75)],
    }


def test_tensorboards_own_writer_writes_the_same_events(tmp_path):
    event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader").LegacyEventFileLoader
    with Board(tmp_path, True) as open_board:
        open_board.row(EPOCH)
    (path,) = tmp_path.iterdir()
    first, second = loader(str(path)).Load()
    assert first.file_version == "brain.Event:2"
    expected = event_pb2.Event(wall_time=second.wall_time, step=1)
    for tag, value in (("loss/train", 2.0), ("loss/val", 1.5), ("accuracy/train", 0.25), ("accuracy/val", 0.5), ("lr/epoch", 0.1)):
        expected.summary.value.add(tag=tag, simple_value=value)
    assert second == expected


def test_the_checksum_is_that_of_the_standard():
    assert board.crc32c(b"123456789") == 0xE3069283
    assert board.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert board.crc32c(b"\xff" * 32) == 0x62A8AB43


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39, -1e39, 1e-50])
def test_a_loss_may_be_any_number(tmp_path, value):
    with Board(tmp_path, True) as open_board:
        open_board.row(ITER[0] | {"loss": value})
    ((_, read),) = scalars(tmp_path)["loss/iter"]
    expected = math.copysign(math.inf, value) if abs(value) > 3.5e38 else 0.0 if abs(value) < 1e-45 else value
    assert read == expected or (math.isnan(read) and math.isnan(value))


def test_a_resumed_run_goes_on_in_a_file_of_its_own(tmp_path):
    for row in ITER[:2]:
        with Board(tmp_path, True) as open_board:
            open_board.row(row)
    assert len(list(tmp_path.iterdir())) == 2
    assert [step for step, _ in scalars(tmp_path)["loss/iter"]] == [1, 127]


def test_nothing_is_written_when_not_wanted(tmp_path):
    with Board(tmp_path / "tensorboard", False) as open_board:
        open_board.row(ITER[0])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    real = os.write
    with Board(tmp_path, True) as open_board:
        open_board.row(ITER[0])
        monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:10]))
        with pytest.raises(OSError, match="No space left"):
            open_board.row(ITER[1])
    assert [step for step, _ in scalars(tmp_path)["loss/iter"]] == [1], "a torn event hides no other"


@pytest.mark.slow
def test_events_survive_a_kill(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from zhurnal.train.board import Board\n"
        "board = Board(Path(sys.argv[1]), True)\n"
        "for n in range(1, 201): board.row({'kind': 'iter', 'step': n, 'epoch': 1, 'loss': 1.0, 'lr': 0.1})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    assert [step for step, _ in scalars(tmp_path)["loss/iter"]] == list(range(1, 201))
