"""TensorBoard events beside the record: the same rows, for those who have TensorBoard open. The record stays the truth.

Promises: `row` returns when its event is with the operating system (it survives `kill -9`), and costs some microseconds; writing needs no package.
All numbers of a row are one event. With a `Keeper`, what the disk refuses waits and is written later, and a file that cannot even be made is told.

An event file is a sequence of records, all numbers little-endian:

    length (8 bytes), masked CRC-32C of these 8 bytes (4), event, masked CRC-32C of the event (4)

An event is a protocol buffer; of its fields (tensorboard/compat/proto/event.proto, summary.proto) these are written:

    Event    1 wall_time: double   2 step: int64   3 file_version: string   5 summary: Summary
    Summary  1 value: Value, repeated
    Value    1 tag: string         2 simple_value: float
"""

import math
import struct
import time
from pathlib import Path

from ..core.records import Row
from ..store.appender import Appender
from ..store.keeper import Keeper


class Board:
    """An open event file; does nothing when not wanted."""

    def __init__(self, folder: Path, wanted: bool, keeper: Keeper | None = None) -> None:
        self._file: Appender | None = None
        if not wanted:
            return
        seconds, rest = divmod(time.time_ns(), 1_000_000_000)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = Appender(folder / f"events.out.tfevents.{seconds}.{rest:09d}", keeper)
        except OSError as error:
            if not keeper:
                raise
            keeper.tell(f"TensorBoard's file of events cannot be made: {error.strerror or error} ({error.filename}). The run goes on without one")
            return
        self._write(_field(3, b"brain.Event:2"), 0)

    def row(self, row: Row) -> None:
        """Write a row's numbers: iterations over steps, epochs over epochs.

        Raises:
            OSError: the disk is full or gone, and there is no keeper.
        """
        match row["kind"] if self._file is not None else None:
            case "iter":
                self._scalars(row, _ITER, row["step"])
            case "epoch":
                self._scalars(row, _EPOCH, row["epoch"])
            case "test":
                self._scalars(row, _TEST, row["epoch"])

    def _scalars(self, row: Row, heads: dict[str, bytes], at: int) -> None:
        values = b"".join([head + _float32(row[key]) for key, head in heads.items()])
        self._write(b"\x10" + _varint(at) + _field(5, values), at)

    def _write(self, event: bytes, at: int) -> None:
        assert self._file is not None
        event = b"\x09" + struct.pack("<d", time.time()) + event
        length = struct.pack("<Q", len(event))
        self._file.append(b"".join((length, _masked_crc32c(length), event, _masked_crc32c(event))), may_drop_at=at)

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _varint(number: int) -> bytes:
    """Return a number from 0 up in groups of seven bits, the lowest first."""
    groups = bytearray()
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _field(number: int, content: bytes) -> bytes:
    """Return a field (number up to 15) that holds bytes, a text or a message."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def _float32(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:  # past the largest float32
        return struct.pack("<f", math.copysign(math.inf, value))


def _heads(tags: dict[str, str]) -> dict[str, bytes]:
    """Return for each key of a row what stands before its number: all of a value but the float32."""
    return {key: _field(1, _field(1, tag.encode()) + b"\x15" + bytes(4))[:-4] for key, tag in tags.items()}


_ITER = _heads({"loss": "loss/iter", "lr": "lr/iter"})
_EPOCH = _heads({"train_loss": "loss/train", "val_loss": "loss/val", "train_acc": "accuracy/train", "val_acc": "accuracy/val", "lr": "lr/epoch"})
_TEST = _heads({"test_acc": "accuracy/test"})


def _crc32c_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC32C = tuple(_crc32c_of_byte(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    """Return the CRC-32 with Castagnoli's polynomial (RFC 3720, appendix B.4); zlib has another."""
    crc, table = 0xFFFFFFFF, _CRC32C
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked_crc32c(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
