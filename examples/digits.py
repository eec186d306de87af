"""Trains a small network on handwritten digits, and prints how long training waited for data.

Run it with `make demo`. It ends with an error if the network recognises fewer than 95% of the held-out digits.
"""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import jax
import numpy as np
import optax
from flax import nnx
from loadax import ArrayDataset, DataLoader, progress
from sklearn.datasets import load_digits
from tqdm import tqdm

BATCH_SIZE = 32
EPOCHS = 12
TARGET = 0.95

Digits: TypeAlias = dict[str, Any]
"""One digit or a batch: `image`, of shape `(8, 8)` or `(batch, 8, 8)`, from 0 (paper) to 1 (ink), and `label`."""


def read_digits() -> tuple[Digits, Digits]:
    """The digits for training, and the held-out ones: every fifth digit, which training does not see."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.float32) / 16
    labels = labels.astype(np.int32)
    held_out = np.arange(len(labels)) % 5 == 0
    return (
        {"image": images[~held_out], "label": labels[~held_out]},
        {"image": images[held_out], "label": labels[held_out]},
    )


def shift(digit: Digits, rng: np.random.Generator) -> Digits:
    """Moves an image by up to one pixel in each direction."""
    down, right = rng.integers(0, 3, size=2)
    padded = np.pad(digit["image"], 1)
    return digit | {"image": padded[down : down + 8, right : right + 8]}


class Network(nnx.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 16, kernel_size=(3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, kernel_size=(3, 3), strides=2, rngs=rngs)
        self.linear = nnx.Linear(4 * 4 * 32, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Scores for the ten digits, of shape `(batch, 10)`, from images of shape `(batch, 8, 8)`."""
        x = nnx.relu(self.conv1(images[..., None]))
        x = nnx.relu(self.conv2(x))
        return self.linear(x.reshape(len(x), -1))


def loss_of(network: Network, batch: Digits) -> jax.Array:
    """The mean cross-entropy over a batch."""
    return optax.softmax_cross_entropy_with_integer_labels(network(batch["image"]), batch["label"]).mean()


@nnx.jit
def train_step(network: Network, optimizer: nnx.Optimizer[Network], batch: Digits) -> jax.Array:
    """Improves the network in place, and returns its loss on the batch."""
    loss, gradients = nnx.value_and_grad(loss_of)(network, batch)
    optimizer.update(network, gradients)
    return loss


@nnx.jit
def accuracy_of(network: Network, digits: Digits) -> jax.Array:
    """The share of the digits that the network recognises."""
    return (network(digits["image"]).argmax(axis=-1) == digits["label"]).mean()


def main() -> int:
    """Trains, reports, and returns the exit status."""
    train, held_out = read_digits()

    # In each epoch, the digits come in another order and with other shifts. The seeds fix both.
    dataset = ArrayDataset(train).random_map(shift, seed=1).shuffle(seed=2)

    # Two threads load. Up to 64 batches wait on the device, also at the end of an epoch.
    loader = (
        DataLoader()
        .batch_size(BATCH_SIZE, drop_remainder=True)
        .workers(2)
        .prefetch(to_device=True)
        .epochs(EPOCHS)
        .build(dataset)
    )

    network = Network(nnx.Rngs(0))
    learning_rate = optax.cosine_decay_schedule(1e-2, decay_steps=len(loader))
    optimizer = nnx.Optimizer(network, optax.adam(learning_rate), wrt=nnx.Param)
    accuracy = 0.0
    losses: list[jax.Array] = []
    with iter(loader) as batches:
        for step, batch in enumerate(progress(batches), start=1):
            losses.append(train_step(network, optimizer, batch))
            if step % loader.steps_per_epoch == 0:
                accuracy = float(accuracy_of(network, held_out))
                epoch, loss = step // loader.steps_per_epoch, np.mean(losses)
                tqdm.write(f"epoch {epoch:2}: loss {loss:.3f}, held-out accuracy {accuracy:.3f}")
                losses.clear()
        stats = batches.stats()

    print(f"held-out accuracy {accuracy:.3f}")
    print(stats)
    if accuracy < TARGET:
        print(f"The accuracy is {accuracy:.3f}, below {TARGET}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
