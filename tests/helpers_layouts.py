"""Small data sets in each layout that can be read from a path, written as their makers write them."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int, height: int = 10, width: int = 12) -> np.ndarray:
    """Return random pixels_HW3."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(seed: int, height: int = 10, width: int = 12) -> bytes:
    """Return a PNG file of random pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed, height, width)).save(buffer, "PNG")
    return buffer.getvalue()


def put(path: Path, content: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def table(folder: Path, delimiter: str = ",") -> Path:
    """Write 40 images of two classes and labels.csv: 24 for training, 8 for validation, 8 for testing."""
    lines = [delimiter.join(("path", "label", "split"))]
    for i in range(40):
        name = f"images/{i:02d}.png"
        put(folder / name, png(i))
        lines.append(delimiter.join((name, ("cat", "dog")[i % 2], ("train", "train", "train", "val", "test")[i // 2 % 5])))
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def dtd(folder: Path, partitions: int = 2) -> Path:
    """Write 48 textures of two classes and the lists of some partitions: a third for each part, other thirds in the second partition."""
    names = [f"{c}/{c}_{i:04d}.jpg" for i in range(24) for c in ("banded", "woven")]
    for i, name in enumerate(names):
        put(folder / "images" / name, png(i))  # by the name a JPEG, which nobody minds
    for partition in range(1, partitions + 1):
        for at, part in enumerate(("train", "val", "test")):
            chosen = [n for i, n in enumerate(names) if (i // 2 + partition) % 3 == at]
            put(folder / "labels" / f"{part}{partition}.txt", "".join(f"{n}\n" for n in chosen).encode())
    return folder


def penn_fudan(folder: Path, num: int = 10) -> Path:
    """Write photographs of 60 x 90 pixels with two persons, bright boxes, each; their masks number the persons."""
    for i in range(num):
        photo, mask = np.full((60, 90, 3), 40, np.uint8), np.zeros((60, 90), np.uint8)
        for person, left in enumerate((5 + i, 40), start=1):
            photo[20:44, left : left + 10] = 200 + person
            mask[20:44, left : left + 10] = person
        for array, name in ((photo, f"PNGImages/Ped{i:05d}.png"), (mask, f"PedMasks/Ped{i:05d}_mask.png")):
            buffer = io.BytesIO()
            Image.fromarray(array).save(buffer, "PNG")
            put(folder / name, buffer.getvalue())
    return folder


def huggingface(folder: Path, splits: dict[str, int] | None = None, features: dict | None = None) -> Path:
    """Write what `datasets.DatasetDict.save_to_disk` writes, by pyarrow: `splits` maps the names of splits to numbers of images."""
    import pyarrow as pa

    splits = {"train": 24, "validation": 8, "test": 8} if splits is None else splits
    features = features or {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    number = 0
    for split, num in splits.items():
        columns = {}
        for name, feature in features.items():
            if feature["_type"] == "Image":
                columns[name] = pa.array([{"bytes": png(number + i), "path": None} for i in range(num)])
            else:
                columns[name] = pa.array([i % 2 for i in range(num)], pa.int64())
        number += num
        data = pa.table(columns)
        (folder / split).mkdir(parents=True)
        with pa.OSFile(str(folder / split / "data-00000-of-00001.arrow"), "wb") as sink, pa.ipc.new_stream(sink, data.schema) as writer:
            writer.write_table(data, max_chunksize=7)
        put(folder / split / "state.json", json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": split}).encode())
        put(folder / split / "dataset_info.json", json.dumps({"features": features}).encode())
    put(folder / "dataset_dict.json", json.dumps({"splits": list(splits)}).encode())
    return folder


def npz(path: Path, *, val: bool = True, shape: tuple[int, ...] = (10, 12, 3)) -> Path:
    """Write what MedMNIST's files hold: labels of shape N x 1."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part, num in (("train", 24), ("val", 8), ("test", 8)):
        if part != "val" or val:
            arrays[f"{part}_images"] = generator.integers(0, 256, (num, *shape), dtype=np.uint8)
            arrays[f"{part}_labels"] = (np.arange(num) % 2)[:, None].astype(np.uint8)
    np.savez(path, **arrays)
    return path
