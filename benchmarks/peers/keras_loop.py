"""Keras 3 on torch: `fit` on normalized arrays in memory, no augmentation, with validation.

    python benchmarks/peers/keras_loop.py --images images.npz

Images are normalized once, before training, and laid out as torch's convolutions want them: the fastest that `fit` allows.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch
from shared import MEAN, STD, arguments, epoch_ends, load


class Line(keras.callbacks.Callback):
    """Prints the line at the end of an epoch, after validation."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Print."""
        epoch_ends(epoch + 1, self.params["epochs"], logs["loss"], logs["accuracy"], logs["val_loss"], logs["val_accuracy"])


def normalized(images: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 images_NCHW and labels_N."""
    pixels, labels = load(images, part)
    found = (pixels.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(found.transpose(0, 3, 1, 2)), labels


def main() -> None:
    """Train."""
    given = arguments(__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(given.threads)
    keras.utils.set_random_seed(42)
    keras.config.set_image_data_format("channels_first")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((3, 32, 32)),
            layers.Conv2D(6, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    train, val = normalized(given.images, "train"), normalized(given.images, "test")
    model.fit(*train, batch_size=given.batch, epochs=given.epochs, validation_data=val, validation_batch_size=256, verbose=0, callbacks=[Line()])


if __name__ == "__main__":
    main()
