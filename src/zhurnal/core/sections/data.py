"""`data`: which images, how they are split, and what happens to them before the network."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from .base import Float, Int, Path, Section, Str
from .transforms import RECIPES, known_transform

# Data sets that are read from `data.path`, and what the path must be.
FROM_PATH = {
    "folder": "FOLDER_OR_ZIP",
    "table": "LABELS.csv",
    "npz": "IMAGES.npz",
    "huggingface": "FOLDER",
    "dtd": "FOLDER",
    "penn_fudan": "FOLDER",
    "clips": "FOLDER_OR_ZIP",
}
DATASETS = ("digits", "cifar10", "cifar100", "mnist", "fashion_mnist", "moving_shapes", *FROM_PATH)
# Fields that only some data sets read from a path have a use for.
ONLY_FOR = {"partition": ("dtd",), "label_column": ("table", "huggingface")}
TRANSFORMS = tuple(RECIPES)


class Normalize(Section):
    """Mean and standard deviation for each channel, of pixels between 0 and 1."""

    mean: list[Annotated[Float, Field(ge=0, le=1)]] = Field(min_length=1, max_length=4)
    std: list[Annotated[Float, Field(gt=0, le=1)]] = Field(min_length=1, max_length=4)


class Data(Section):
    """Which images, how they are split, and what happens to them before the network."""

    common = frozenset({"name"})
    name: Str = Field(
        "digits",
        description="digits, cifar10, cifar100, mnist, fashion_mnist; your own images: folder, table, npz, huggingface, dtd, penn_fudan; "
        "clips for video, moving_shapes for generated clips",
    )
    path: Path | None = Field(None, description="where your own images are; folder, clips: a folder or zip with train/<class>/* or <class>/*")
    partition: Annotated[Int, Field(ge=1)] | None = Field(
        None, description="for name: dtd, which of its splits: 1 reads labels/train1.txt, val1.txt and test1.txt, and is taken without it"
    )
    label_column: Str | None = Field(None, description="for name: table or huggingface, the column with the labels; none takes the one there is")
    validation: Annotated[Float, Field(gt=0, le=0.5)] | Literal["test"] = Field(
        0.1, description="part of the training images kept for validation, or `test` to validate on the test images"
    )
    split_seed: Annotated[Int, Field(ge=0)] = Field(0, description="seed of the split into training and validation images")
    subset: Annotated[Int, Field(gt=0)] | None = Field(None, description="train on this many images, the same number of each class")
    transform: Annotated[Any, AfterValidator(known_transform)] = Field(
        "init", description="what happens to training images: init, augment_simple, augment; or steps: [crop, flip, cutout: {size: 8}]"
    )
    normalize: Annotated[Normalize | Literal["data", "none"], BeforeValidator(lambda value: "none" if value is None else value)] = Field(
        "data", description="data: mean and std of the training images; none; or {mean: [...], std: [...]}"
    )
    image_size: Annotated[Int, Field(ge=4, le=2048)] | None = Field(
        None, description="resize the shorter side to this many pixels and cut out the middle square; none keeps the size"
    )
    channels: Literal[1, 3] | None = Field(None, description="1 for gray, 3 for color; none takes what the images have")
    bad_images: Literal["stop", "skip"] = Field("stop", description="what an image that cannot be read does: stop, or skip (each is named)")
    storage: Literal["auto", "memory", "stream"] = Field("auto", description="hold decoded images in memory, or decode them again each epoch")
    num_workers: Annotated[Int, Field(ge=0, le=64)] = Field(2, description="threads that decode streamed images; results do not depend on it")


class OwnData(Data):
    """Images of your own, `my_data.py:load`: a function that returns images and labels; further settings are its options."""

    model_config = ConfigDict(extra="allow")
    common = frozenset(Data.model_fields)
