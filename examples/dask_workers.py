"""Prepares images on a Dask cluster, and trains on them on this machine.

Use it for preprocessing that is too slow for one machine. The cluster consists of local processes, so that the program
runs anywhere. To use an existing cluster, give `Client` the address of its scheduler. The values of a batch do not
depend on which process prepared it.
"""

from __future__ import annotations

import argparse
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from distributed import Client, LocalCluster
from loadax import ArrayDataset, DataLoader
from scipy.ndimage import affine_transform
from sklearn.datasets import load_digits

Digits: TypeAlias = dict[str, Any]


def distort(digit: Digits, rng: np.random.Generator) -> Digits:
    """Turns and shears an image a little. This is slow work, in Python and SciPy."""
    angle, shear = rng.normal(0, 0.15, size=2)
    matrix = np.array([[np.cos(angle), -np.sin(angle) + shear], [np.sin(angle), np.cos(angle)]])
    centre = np.array([3.5, 3.5])
    offset: Any = centre - matrix @ centre
    image = affine_transform(digit["image"], matrix, offset=offset, order=1)
    return digit | {"image": image.astype(np.float32)}


def scores(parameters: Digits, images: jax.Array) -> jax.Array:
    """Scores for the ten digits, of shape `(batch, 10)`, from images of shape `(batch, 8, 8)`."""
    hidden = jax.nn.relu(images.reshape(len(images), -1) @ parameters["in"])
    return hidden @ parameters["out"]


def loss_of(parameters: Digits, batch: Digits) -> jax.Array:
    """The mean cross-entropy over a batch."""
    return optax.softmax_cross_entropy_with_integer_labels(scores(parameters, batch["image"]), batch["label"]).mean()


def main() -> None:
    """Trains, and reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    epochs: int = parser.parse_args().epochs

    images: Any
    labels: Any
    images, labels = load_digits(return_X_y=True)
    images, labels = images.reshape(-1, 8, 8).astype(np.float32) / 16, labels.astype(np.int32)
    train = ArrayDataset({"image": images[360:], "label": labels[360:]}).random_map(distort, seed=1).shuffle(seed=2)

    keys = jax.random.split(jax.random.key(0))
    parameters = {
        "in": jax.random.normal(keys[0], (64, 128)) / 8,
        "out": jax.random.normal(keys[1], (128, 10)) / 11,
    }
    optimizer = optax.adam(3e-3)
    state = optimizer.init(parameters)

    @jax.jit
    def step(parameters: Any, state: Any, batch: Digits) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, batch)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(parameters, updates), state, loss

    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    cluster: Any = LocalCluster(**options)
    with cluster, Client(cluster) as client:
        loader = (
            DataLoader()
            .batch_size(64, drop_remainder=True)
            .workers(client.get_executor())
            .prefetch(8, to_device=True)
            .epochs(epochs)
            .build(train)
        )
        with iter(loader) as batches:
            loss = jnp.inf
            for batch in batches:
                parameters, state, loss = step(parameters, state, batch)
            stats = batches.stats()

    accuracy = float((scores(parameters, images[:360]).argmax(axis=-1) == labels[:360]).mean())
    print(f"loss {float(loss):.3f}, held-out accuracy {accuracy:.3f}")
    print(stats)


if __name__ == "__main__":
    main()
