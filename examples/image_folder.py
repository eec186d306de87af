"""Trains on image files, in one folder for each class. Threads decode and crop the images while the network learns.

    python examples/image_folder.py

The images are scikit-learn's handwritten digits, which the program first writes to PNG files. Replace the two folders
with your own. Needs Pillow: `pip install 'loadax-datasets[images]'`.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from loadax import DataLoader, ImageFolderDataset, LabelledImage
from PIL import Image
from sklearn.datasets import load_digits

SIZE = 24  # pixels, of the sides of an image
CROP = 20  # pixels, of the sides of the part that the network sees
BATCH_SIZE = 32


def write_images(root: Path) -> None:
    """Writes the digits to files such as `root/train/7/0123.png`, and every fifth digit below `root/held_out`."""
    images, labels = load_digits(return_X_y=True)
    for i, (pixels, label) in enumerate(zip(images.reshape(-1, 8, 8), labels, strict=True)):
        folder = root / ("train" if i % 5 else "held_out") / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray((pixels * 255 / 16).astype(np.uint8)).resize((SIZE, SIZE))
        image.save(folder / f"{i:04}.png")


def crop(item: LabelledImage, down: int, right: int) -> dict[str, Any]:
    """A part of an image, with its label."""
    return {"image": item["image"][down : down + CROP, right : right + CROP], "label": item["label"]}


def crop_anywhere(item: LabelledImage, rng: np.random.Generator) -> dict[str, Any]:
    """A random part of an image, another one in each epoch, for training."""
    down, right = rng.integers(0, SIZE - CROP + 1, size=2)
    return crop(item, down, right)


def crop_centre(item: LabelledImage) -> dict[str, Any]:
    """The middle of an image."""
    return crop(item, (SIZE - CROP) // 2, (SIZE - CROP) // 2)


class Network(nnx.Module):
    """Three convolutions, each of which halves the sides of the image, and a linear layer."""

    def __init__(self, classes: int, rngs: nnx.Rngs) -> None:
        layers: list[Any] = []
        for before, after in ((1, 16), (16, 32), (32, 64)):
            layers += [nnx.Conv(before, after, kernel_size=(3, 3), strides=2, rngs=rngs), nnx.relu]
        self.convolutions = nnx.Sequential(*layers)
        self.linear = nnx.Linear(3 * 3 * 64, classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Scores for the classes, of shape `(batch, classes)`, from bytes of shape `(batch, CROP, CROP)`."""
        # Images go to the device as bytes, which is a quarter of the size of floats. Here they become floats.
        x = self.convolutions(images[..., None].astype(jnp.float32) / 255)
        return self.linear(x.reshape(len(x), -1))


@nnx.jit
def train_step(network: Network, optimizer: nnx.Optimizer[Network], batch: dict[str, jax.Array]) -> jax.Array:
    """Improves the network in place, and returns its loss on the batch."""

    def loss_of(network: Network) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(network(batch["image"]), batch["label"]).mean()

    loss, gradients = nnx.value_and_grad(loss_of)(network)
    optimizer.update(network, gradients)
    return loss


@nnx.jit
def accuracy_of(network: Network, batch: dict[str, jax.Array]) -> jax.Array:
    """The share of the images that the network recognises."""
    return (network(batch["image"]).argmax(axis=-1) == batch["label"]).mean()


def main() -> None:
    """Trains, and prints what the network has learnt and where the time went."""
    parser = argparse.ArgumentParser(description="Train on folders of images.")
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()

    with TemporaryDirectory() as folder:
        write_images(Path(folder))
        train = ImageFolderDataset(Path(folder, "train"), mode="L")
        held_out = ImageFolderDataset(Path(folder, "held_out"), mode="L")
        print(train)

        # Two threads decode and crop. Up to 64 batches, all of the same size, wait on the device.
        builder = DataLoader().batch_size(BATCH_SIZE, drop_remainder=True).workers(2).prefetch(to_device=True)
        loader = builder.epochs(arguments.epochs).build(train.random_map(crop_anywhere, seed=1).shuffle(seed=2))

        network = Network(len(train.classes), nnx.Rngs(0))
        optimizer = nnx.Optimizer(network, optax.adam(optax.cosine_decay_schedule(3e-3, len(loader))), wrt=nnx.Param)
        with iter(loader) as batches:
            for epoch in range(arguments.epochs):
                steps = islice(batches, loader.steps_per_epoch)
                losses = [train_step(network, optimizer, batch) for batch in steps]
                print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
            stats = batches.stats()

        everything = DataLoader().batch_size(len(held_out)).workers(2).build(held_out.map(crop_centre))
        accuracy = float(accuracy_of(network, next(iter(everything))))

    print(f"held-out accuracy {accuracy:.3f}; by guessing, {1 / len(train.classes):.3f}")
    print(stats)


if __name__ == "__main__":
    main()
