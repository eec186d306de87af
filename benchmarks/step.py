"""The jitted training step beside which loaders are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .works import Work


class Step:
    """A training step.

    Args:
        update: Takes parameters and a batch, and returns new parameters.
        parameters: The initial parameters.
    """

    def __init__(self, update: Callable[[Any, Any], Any], parameters: Any) -> None:
        self._update = update
        self._parameters = parameters

    def __call__(self, batch: Any) -> None:
        """Dispatches a step, and waits for it."""
        self.dispatch(batch)
        self.wait()

    def dispatch(self, batch: Any) -> None:
        """Dispatches a step, and does not wait for it."""
        self._parameters = self._update(self._parameters, batch["image"])

    def wait(self) -> None:
        """Waits for all steps."""
        jax.block_until_ready(self._parameters)


def make_step(work: Work, data: dict[str, np.ndarray]) -> tuple[Step, Any]:
    """One step of gradient descent on a network with one hidden layer.

    Args:
        work: Its `hidden` is the width of the layer.
        data: Arrays of shape `(rows, ...)`; the step reads `image`.

    Returns:
        The step, and a batch on the device for it.
    """
    width = int(np.prod(data["image"].shape[1:]))
    keys = jax.random.split(jax.random.key(0))
    parameters = (
        jax.random.normal(keys[0], (width, work.hidden)) * width**-0.5,
        jax.random.normal(keys[1], (work.hidden, 10)) * 0.1,
    )

    def loss(parameters: tuple[jax.Array, jax.Array], image: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(image.reshape(len(image), -1) @ parameters[0])
        return jnp.square(hidden @ parameters[1]).mean()

    @jax.jit
    def update(parameters: tuple[jax.Array, jax.Array], image: jax.Array) -> tuple[jax.Array, jax.Array]:
        slopes = jax.grad(loss)(parameters, image)
        return parameters[0] - 0.01 * slopes[0], parameters[1] - 0.01 * slopes[1]

    return Step(update, parameters), jax.device_put({key: array[: work.batch] for key, array in data.items()})
