"""torchvision's transforms in a DataLoader, without a network: batches of normalized images as training wants them.

    python benchmarks/peers/torchvision_pipeline.py --images images.npz --transform augment --kind "v2 tensor" --workers 2

Three ways to transform an image: `v2 tensor` (v2 on uint8 tensors), `v2 PIL`, `v1 PIL`. Images are in memory, workers persist, and whole batches are
normalized where the way allows it. An epoch here is one pass over `--num` images.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from shared import MEAN, STD, arguments, load
from torch.utils.data import DataLoader, Dataset

KINDS = ("v2 tensor", "v2 PIL", "v1 PIL")


class Images(Dataset):
    """uint8 images in memory, each transformed when taken; as tensors CHW, or as PIL images when `as_pil`."""

    def __init__(self, pixels_NHWC: np.ndarray, labels_N: np.ndarray, transform: Callable[[Any], Any] | None, as_pil: bool = False) -> None:
        self.pixels = pixels_NHWC if as_pil else torch.from_numpy(pixels_NHWC.transpose(0, 3, 1, 2).copy())
        self.labels, self.transform, self.as_pil = labels_N.tolist(), transform, as_pil

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.fromarray(self.pixels[index]) if self.as_pil else self.pixels[index]
        return (image if self.transform is None else self.transform(image)), self.labels[index]


def transforms_of(name: str, kind: str) -> Callable[[Any], Any] | None:
    """Return torchvision's transforms of a recipe: uint8 tensors of uint8 tensors, or of PIL images."""
    from torchvision import transforms as v1
    from torchvision.transforms import v2

    t = v1 if kind == "v1 PIL" else v2
    steps: list[Any] = {
        "init": [],
        "augment_simple": [t.RandomCrop(32, padding=4), t.RandomHorizontalFlip()],
        "augment": [
            t.RandomApply([t.ColorJitter(brightness=0.3, contrast=0.1, saturation=0.2, hue=0.2)], p=0.5),
            t.RandomHorizontalFlip(p=0.6),
            t.RandomApply([t.RandomRotation(30)], p=0.3),
            t.RandomApply([t.Resize(35), t.RandomCrop(32)], p=0.3),
        ],
    }[name]
    steps += {"v1 PIL": [v1.PILToTensor()], "v2 PIL": [v2.PILToTensor()], "v2 tensor": []}[kind]
    return t.Compose(steps) if steps else None


def main() -> None:
    """Go through the images."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0])
    parser.add_argument("--num", type=int, default=10_000, help="images in a pass")
    given = parser.parse_args()
    torch.manual_seed(42)
    torch.set_num_threads(given.threads)
    pixels, labels = load(given.images, "train")
    images = Images(pixels[: given.num], labels[: given.num], transforms_of(given.transform, given.kind), as_pil="PIL" in given.kind)
    loader = DataLoader(images, given.batch, shuffle=True, num_workers=given.workers, persistent_workers=given.workers > 0)
    scale, shift = 1 / (255 * torch.tensor(STD)).view(1, 3, 1, 1), (torch.tensor(MEAN) / torch.tensor(STD)).view(1, 3, 1, 1)
    for epoch in range(1, given.epochs + 1):
        seen = 0
        for batch, _ in loader:
            batch = batch.float().mul_(scale).sub_(shift)
            seen += len(batch)
        print(f"epoch {epoch}/{given.epochs} images {seen}", flush=True)


if __name__ == "__main__":
    main()
