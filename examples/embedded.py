"""An embedded trainer: NumPy and loadax-core, and nothing else.

It learns the position of a source of heat from the readings of five sensors. The dataset is a class with `__len__` and
`__getitem__`. It computes each reading when a worker asks for it. The model is a layer of tanh units. A loop in NumPy
trains it with Adam. Run it with

    python examples/embedded.py

It ends with an error if the model places the source more than 0.05 away on average, in a square with sides of 1.
"""

from __future__ import annotations

import sys
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from loadax_core import DataLoader

Floats = npt.NDArray[np.float64]

SENSORS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
HIDDEN = 32
EPOCHS = 30
TARGET = 0.05


class Reading(TypedDict):
    """One reading, or a batch of them with one more dimension in front."""

    warmth: Floats
    """The readings of the sensors, of shape `(5,)`."""
    source: Floats
    """The position of the source, of shape `(2,)`."""


class Readings:
    """Simulated readings. Row `i` depends on the seed and on `i` only, so any worker may compute it at any time."""

    def __init__(self, length: int, seed: int) -> None:
        self._length = length
        self._seed = seed

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> Reading:
        if not 0 <= row < self._length:
            raise IndexError(f"row {row} of {self._length}")
        rng = np.random.default_rng((self._seed, row))
        source = rng.random(2)
        distance = np.linalg.norm(SENSORS - source, axis=1)
        return {"warmth": np.exp(-2 * distance) + rng.normal(scale=0.005, size=len(SENSORS)), "source": source}


class Model:
    """One hidden layer, and Adam."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.weights = [
            rng.normal(size=(len(SENSORS), HIDDEN)),
            np.zeros(HIDDEN),
            rng.normal(size=(HIDDEN, 2)) / HIDDEN**0.5,
            np.full(2, 0.5),
        ]
        self._means = [np.zeros_like(weight) for weight in self.weights]
        self._squares = [np.zeros_like(weight) for weight in self.weights]
        self._step = 0

    def __call__(self, warmth: Floats) -> Floats:
        """Positions of the source, of shape `(batch, 2)`, from readings of shape `(batch, 5)`."""
        w1, b1, w2, b2 = self.weights
        return np.tanh(warmth @ w1 + b1) @ w2 + b2

    def train(self, batch: Reading, rate: float) -> float:
        """Takes one step down the mean squared error of a batch, and returns that error."""
        w1, b1, w2, b2 = self.weights
        hidden = np.tanh(batch["warmth"] @ w1 + b1)
        error = hidden @ w2 + b2 - batch["source"]
        d_out = 2 * error / error.size
        d_hidden = (d_out @ w2.T) * (1 - hidden**2)
        gradients = [batch["warmth"].T @ d_hidden, d_hidden.sum(0), hidden.T @ d_out, d_out.sum(0)]
        self._step += 1
        for weight, gradient, mean, square in zip(self.weights, gradients, self._means, self._squares, strict=True):
            mean[...] = 0.9 * mean + 0.1 * gradient
            square[...] = 0.999 * square + 0.001 * gradient**2
            mean_now, square_now = mean / (1 - 0.9**self._step), square / (1 - 0.999**self._step)
            weight[...] -= rate * mean_now / (np.sqrt(square_now) + 1e-8)
        return float(np.mean(error**2))


def miss(model: Model, readings: Readings) -> float:
    """The mean distance between the source and the position that the model gives."""
    batch: Reading = next(iter(DataLoader().batch_size(len(readings)).build(readings)))
    return float(np.linalg.norm(model(batch["warmth"]) - batch["source"], axis=1).mean())


def main() -> int:
    """Trains, reports, and returns the exit status."""
    held_out = Readings(500, seed=1)
    loader = DataLoader().batch_size(32).workers(1).prefetch(4).epochs(EPOCHS).build(Readings(2000, seed=0))

    model = Model(seed=0)
    print(f"before training, the source is missed by {miss(model, held_out):.3f}")
    with iter(loader) as batches:
        for step, batch in enumerate(batches):
            # The rate falls to zero over the run.
            error = model.train(batch, rate=0.02 * (1 - step / len(loader)))
            if (step + 1) % (5 * loader.steps_per_epoch) == 0:
                print(f"epoch {(step + 1) // loader.steps_per_epoch:2}: mean squared error {error:.5f}")
        stats = batches.stats()

    missed = miss(model, held_out)
    print(f"after training, by {missed:.3f}")
    print(stats)
    if missed > TARGET:
        print(f"That is more than {TARGET}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
