"""Trains one network on one process or on many: data-parallel, FSDP, or divided over a data and a model axis.

    python examples/several_hosts.py                                     # one process
    loadax-launch -n 2 -d 2 examples/several_hosts.py --parallel fsdp    # two processes here, with two CPU devices each
    srun python examples/several_hosts.py --cluster --parallel fsdp      # a real cluster: see docs/clusters.md

The mesh and the layout of the parameters differ between the three. The loader is the same. Each process reads the rows
that its own devices hold. The losses equal those of one process, up to rounding.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh
from loadax import ArrayDataset, BaseDataset, DataLoader, make_mesh
from sklearn.datasets import load_digits

BATCH_SIZE = 64  # rows of the global batch, over all processes and devices
HIDDEN = 128

Digits: TypeAlias = dict[str, Any]
"""One digit, or a batch of digits: `image`, 64 pixels from 0 (paper) to 1 (ink), and `label`."""


class Layout(NamedTuple):
    """For each of the two kernels, which mesh axis divides its inputs and which its outputs."""

    hidden: tuple[str | None, str | None]
    scores: tuple[str | None, str | None]


LAYOUTS = {
    # Every device holds all parameters.
    "data": Layout(hidden=(None, None), scores=(None, None)),
    # The data axis divides the parameters too. XLA gathers them where they are used.
    "fsdp": Layout(hidden=("data", None), scores=("data", None)),
    # A device computes its part of the hidden units. XLA adds up the scores of the parts.
    "model": Layout(hidden=(None, "model"), scores=("model", None)),
}


def mesh_for(parallel: str) -> Mesh:
    """All devices of the job, with the axes `data` and `model`."""
    if parallel == "model":
        # `make_mesh()` has one row for each process. Transposed, its model axis crosses them: all read the same rows.
        return Mesh(make_mesh().devices.T, ("data", "model"))
    return make_mesh(model=1)


def read_digits() -> tuple[BaseDataset[Digits], BaseDataset[Digits]]:
    """The digits for training, and the held-out ones: every fifth digit, which training does not see."""
    images, labels = load_digits(return_X_y=True)
    digits = {"image": images.astype(np.float32) / 16, "label": labels.astype(np.int32)}
    held_out = np.arange(len(labels)) % 5 == 0
    return (
        ArrayDataset({name: values[~held_out] for name, values in digits.items()}),
        ArrayDataset({name: values[held_out] for name, values in digits.items()}),
    )


class Network(nnx.Module):
    """One hidden layer. Flax divides its parameters, and Adam's state for them, as the layout says."""

    def __init__(self, layout: Layout, rngs: nnx.Rngs) -> None:
        def linear(inputs: int, outputs: int, axes: tuple[str | None, str | None]) -> nnx.Linear:
            kernel = nnx.with_partitioning(nnx.initializers.lecun_normal(), axes)
            bias = nnx.with_partitioning(nnx.initializers.zeros_init(), axes[1:])
            return nnx.Linear(inputs, outputs, kernel_init=kernel, bias_init=bias, rngs=rngs)

        self.hidden = linear(64, HIDDEN, layout.hidden)
        self.scores = linear(HIDDEN, 10, layout.scores)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Scores for the ten digits, of shape `(batch, 10)`, from images of shape `(batch, 64)`."""
        return self.scores(nnx.relu(self.hidden(images)))


# Jitted, so that each device only ever holds its own part of the parameters.
@nnx.jit(static_argnames="layout")
def create(layout: Layout) -> tuple[Network, nnx.Optimizer[Network]]:
    """The network and its optimizer. Their values are the same on any mesh."""
    network = Network(layout, nnx.Rngs(0))
    return network, nnx.Optimizer(network, optax.adam(3e-3), wrt=nnx.Param)


@nnx.jit
def train_step(network: Network, optimizer: nnx.Optimizer[Network], batch: Digits) -> jax.Array:
    """Improves the network in place, and returns its loss on the batch."""

    def loss_of(network: Network) -> jax.Array:
        scores = network(batch["image"])
        return optax.softmax_cross_entropy_with_integer_labels(scores, batch["label"]).mean()

    loss, gradients = nnx.value_and_grad(loss_of)(network)
    optimizer.update(network, gradients)
    return loss


@nnx.jit
def recognised(network: Network, digits: Digits, real: jax.Array) -> jax.Array:
    """How many digits the network recognises; rows that only fill up the batch do not count."""
    return jnp.sum((network(digits["image"]).argmax(axis=-1) == digits["label"]) & real)


def held_by_a_device(network: Network) -> tuple[int, int]:
    """The number of parameters that one device holds, and the number of all parameters."""
    leaves = jax.tree.leaves(nnx.state(network, nnx.Param))
    return sum(leaf.addressable_shards[0].data.size for leaf in leaves), sum(leaf.size for leaf in leaves)


def main() -> None:
    """Trains, and prints what the network has learnt and how long training waited for data."""
    parser = argparse.ArgumentParser(description="Train on one process or on many.")
    parser.add_argument("--parallel", choices=LAYOUTS, default="data", help="what devices divide among themselves")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--log", type=Path, help="where the losses go, one a line")
    parser.add_argument("--cluster", action="store_true", help="join the other processes; loadax-launch does it itself")
    arguments = parser.parse_args()

    if arguments.cluster:
        jax.distributed.initialize()

    def say(text: object) -> None:
        if jax.process_index() == 0:
            print(text)

    mesh = mesh_for(arguments.parallel)
    train, held_out = read_digits()
    builder = DataLoader().batch_size(BATCH_SIZE, drop_remainder=True).shard(mesh).prefetch(to_device=True)
    loader = builder.epochs(arguments.epochs).build(train.shuffle(seed=1))
    loader.check_agreement()  # fails on all processes if one was started differently
    say(loader.sharding_strategy)

    losses: list[float] = []
    with jax.set_mesh(mesh):
        network, optimizer = create(LAYOUTS[arguments.parallel])
        with iter(loader) as batches:
            for epoch in range(arguments.epochs):
                steps = [train_step(network, optimizer, batch) for batch in islice(batches, loader.steps_per_epoch)]
                losses += map(float, steps)
                say(f"epoch {epoch + 1:2}: loss {np.mean(losses[-len(steps) :]):.3f}")
            stats = batches.stats()

        # Evaluation needs whole batches too: `pad_to_multiple` adds rows to the last batch, and marks them.
        evaluation = builder.build(held_out.pad_to_multiple(BATCH_SIZE))
        correct = sum(int(recognised(network, digits, real)) for digits, real in evaluation)

    held, total = held_by_a_device(network)
    say(f"a device holds {held:,} of {total:,} parameters")
    say(f"held-out accuracy {correct / len(held_out):.3f}")
    say(stats)
    if arguments.log and jax.process_index() == 0:
        arguments.log.write_text("".join(f"{loss!r}\n" for loss in losses))


if __name__ == "__main__":
    main()
