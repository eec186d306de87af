"""The jitted training step that loaders are measured beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .works import Work


def make_step(work: Work, data: dict[str, np.ndarray]) -> tuple[Callable[[Any], None], Any]:
    """One step of gradient descent on a network with one hidden layer.

    Args:
        work: Its `hidden` is the width of the layer.
        data: Arrays of shape `(rows, ...)`; the step reads `image`.

    Returns:
        A function that takes a batch on the device and returns when the step is done, and such a batch.
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

    def step(batch: Any) -> None:
        nonlocal parameters
        parameters = jax.block_until_ready(update(parameters, batch["image"]))

    return step, jax.device_put({key: array[: work.batch] for key, array in data.items()})
