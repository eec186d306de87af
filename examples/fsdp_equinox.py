"""FSDP with Equinox: each device holds a part of the parameters and of Adam's state, and a part of each batch.

    python examples/fsdp_equinox.py                        # one process
    loadax-launch -n 2 -d 2 examples/fsdp_equinox.py       # two processes here, with two CPU devices each
    srun python examples/fsdp_equinox.py --cluster         # a real cluster: see docs/clusters.md

FSDP needs one function, `divided`, and a mesh. `several_hosts.py` shows other layouts, with Flax.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec
from loadax import ArrayDataset, DataLoader, make_mesh
from sklearn.datasets import load_digits

optimizer = optax.adam(3e-3)


def divided(tree: Any) -> Any:
    """Divides each array over the devices, along its first dimension that is a multiple of their number.

    An array without such a dimension is on every device, whole.
    """

    def divide(leaf: Any) -> Any:
        if not eqx.is_array(leaf):
            return leaf
        dimension = next((i for i, size in enumerate(leaf.shape) if size % jax.device_count() == 0), None)
        spec = PartitionSpec() if dimension is None else PartitionSpec(*[None] * dimension, "data")
        return jax.lax.with_sharding_constraint(leaf, spec)

    return jax.tree.map(divide, tree)


# Jitted, so that each device only ever holds its own part.
@eqx.filter_jit
def create() -> tuple[eqx.nn.MLP, optax.OptState]:
    """The network and the state of its optimizer. Their values are the same on any number of devices."""
    network = eqx.nn.MLP(in_size=64, out_size=10, width_size=128, depth=1, key=jax.random.key(0))
    return divided((network, optimizer.init(eqx.filter(network, eqx.is_array))))


@eqx.filter_jit
def train_step(
    network: eqx.nn.MLP, state: optax.OptState, batch: dict[str, jax.Array]
) -> tuple[eqx.nn.MLP, optax.OptState, jax.Array]:
    """Takes one step. Returns the new network, the new optimizer state, and the loss on the batch."""

    def loss_of(network: eqx.nn.MLP) -> jax.Array:
        scores = jax.vmap(network)(batch["image"])
        return optax.softmax_cross_entropy_with_integer_labels(scores, batch["label"]).mean()

    loss, gradients = eqx.filter_value_and_grad(loss_of)(network)
    updates, state = optimizer.update(gradients, state)
    network, state = divided((eqx.apply_updates(network, updates), state))
    return network, state, loss


@eqx.filter_jit
def recognised(network: eqx.nn.MLP, digits: dict[str, jax.Array], real: jax.Array) -> jax.Array:
    """How many digits the network recognises; rows that only fill up the batch do not count."""
    return jnp.sum((jax.vmap(network)(digits["image"]).argmax(axis=-1) == digits["label"]) & real)


def main() -> None:
    """Trains, and prints what the network has learnt and how long training waited for data."""
    parser = argparse.ArgumentParser(description="Train with parameters divided over all devices.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--log", type=Path, help="where the losses go, one a line")
    parser.add_argument("--cluster", action="store_true", help="join the other processes; loadax-launch does it itself")
    arguments = parser.parse_args()
    if arguments.cluster:
        jax.distributed.initialize()

    images, labels = load_digits(return_X_y=True)
    images, labels = images.astype(np.float32) / 16, labels.astype(np.int32)
    fifth = np.arange(len(labels)) % 5 == 0
    train = ArrayDataset({"image": images[~fifth], "label": labels[~fifth]})
    held_out = ArrayDataset({"image": images[fifth], "label": labels[fifth]})
    mesh = make_mesh(model=1)
    builder = DataLoader().batch_size(64, drop_remainder=True).shard(mesh).prefetch(to_device=True)

    losses: list[jax.Array] = []
    with jax.set_mesh(mesh):
        network, state = create()
        with iter(builder.epochs(arguments.epochs).build(train.shuffle(seed=1))) as batches:
            for batch in batches:
                network, state, loss = train_step(network, state, batch)
                losses.append(loss)
            stats = batches.stats()
        # Evaluation needs whole batches too: `pad_to_multiple` adds rows to the last batch, and marks them.
        evaluation = builder.build(held_out.pad_to_multiple(64))
        correct = sum(int(recognised(network, batch, real)) for batch, real in evaluation)

    if jax.process_index() == 0:
        parameters = jax.tree.leaves(eqx.filter(network, eqx.is_array))
        held = sum(leaf.addressable_shards[0].data.size for leaf in parameters)
        print(f"a device holds {held:,} of {sum(leaf.size for leaf in parameters):,} parameters")
        print(f"loss {float(losses[0]):.3f} at first, {float(losses[-1]):.3f} at last")
        print(f"held-out accuracy {correct / len(held_out):.3f}")
        print(stats)
        if arguments.log:
            arguments.log.write_text("".join(f"{float(loss)!r}\n" for loss in losses))


if __name__ == "__main__":
    main()
