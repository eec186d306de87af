"""Trains a byte-level language model on the source code of Python's own standard library, with Equinox.

    python examples/bytes_lm.py

A document is a paragraph of a module: a function, a class, or a part of one. The documents lie in a store, which is
memory-mapped, so it may be larger than memory. `pack` puts several of them into each row of 128 bytes, other ones in
each epoch, and the model begins anew with each document. The loss on held-out modules shows what the model has learnt.
At the end, the model writes a few lines of its own.
"""

from __future__ import annotations

import argparse
import sysconfig
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from loadax import DataLoader, JaggedDataset, as_dataset, write_jagged

LENGTH = 128  # bytes in a row
BATCH_SIZE = 16
HIDDEN = 192

Rows: TypeAlias = dict[str, jax.Array]
"""Packed rows of shape `(batch, LENGTH)`: `tokens` and `targets`, uint8; `positions`, int32; `loss_mask`, bool."""


def paragraphs(modules: list[Path]) -> list[np.ndarray]:
    """The paragraphs of modules, as arrays of bytes, each with the newlines that end it."""
    parts = (part for module in modules for part in module.read_bytes().split(b"\n\n") if part.strip())
    return [np.frombuffer(part + b"\n\n", np.uint8) for part in parts]


class Model(eqx.Module):
    """A recurrent network of gated units."""

    embedding: eqx.nn.Embedding
    cell: eqx.nn.GRUCell
    scores: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        keys = jax.random.split(key, 3)
        self.embedding = eqx.nn.Embedding(256, 64, key=keys[0])
        self.cell = eqx.nn.GRUCell(64, HIDDEN, key=keys[1])
        self.scores = eqx.nn.Linear(HIDDEN, 256, key=keys[2])

    def step(self, memory: jax.Array, token: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The new memory after a byte, and scores for the next byte, of shape `(256,)`."""
        memory = self.cell(self.embedding(token.astype(jnp.int32)), memory)
        return memory, self.scores(memory)

    def __call__(self, tokens: jax.Array, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Calls `step` for each byte. Returns the last memory, and scores of shape `(tokens, 256)`."""

        def step(memory: jax.Array, byte: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            token, position = byte
            # What is remembered of a document ends where the next one begins.
            return self.step(jnp.where(position == 0, 0.0, memory), token)

        return jax.lax.scan(step, jnp.zeros(HIDDEN), (tokens, positions))


@eqx.filter_jit
def loss_of(model: Model, batch: Rows) -> jax.Array:
    """The mean cross-entropy of a byte that follows another one in its document, in nats."""
    _, scores = jax.vmap(model)(batch["tokens"], batch["positions"])
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, batch["targets"].astype(jnp.int32))
    return losses.mean(where=batch["loss_mask"])


@eqx.filter_jit
def sample(model: Model, prompt: jax.Array, size: int) -> jax.Array:
    """The bytes that the model writes after the prompt, of shape `(size,)`."""

    def write(state: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        memory, scores = state
        token = jax.random.categorical(key, scores / 0.8)
        return model.step(memory, token), token

    memory, scores = model(prompt, jnp.arange(len(prompt)))
    return jax.lax.scan(write, (memory, scores[-1]), jax.random.split(jax.random.key(0), size))[1]


def unigram_bits(train: list[np.ndarray], held_out: list[np.ndarray]) -> float:
    """Bits per held-out byte of a model that knows only how frequent each byte is."""
    seen, unseen = (np.bincount(np.concatenate(documents), minlength=256) for documents in (train, held_out))
    return float(-(unseen / unseen.sum()) @ np.log2((seen + 1) / (seen + 1).sum()))


def main() -> None:
    """Trains, and prints what the model has learnt and where the time went."""
    parser = argparse.ArgumentParser(description="Train a language model on Python's standard library.")
    parser.add_argument("--steps", type=int, default=350)
    arguments = parser.parse_args()

    optimizer = optax.adam(optax.cosine_decay_schedule(6e-3, arguments.steps))

    @eqx.filter_jit
    def train_step(model: Model, state: optax.OptState, batch: Rows) -> tuple[Model, optax.OptState, jax.Array]:
        loss, gradients = eqx.filter_value_and_grad(loss_of)(model, batch)
        updates, state = optimizer.update(gradients, state)
        return eqx.apply_updates(model, updates), state, loss

    model = eqx.filter_jit(Model)(jax.random.key(0))
    state = optimizer.init(eqx.filter(model, eqx.is_array))
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    held_out = paragraphs(modules[::10])
    del modules[::10]
    train = paragraphs(modules)
    with TemporaryDirectory() as folder:
        write_jagged(folder, train, progress=False)
        rows = JaggedDataset(folder).pack(LENGTH, seed=1)
        print(rows)

        # The run has no last epoch; `islice` counts the steps.
        builder = DataLoader().batch_size(BATCH_SIZE, drop_remainder=True).prefetch(to_device=True)
        with iter(builder.epochs(None).build(rows)) as batches:
            for step, batch in enumerate(islice(batches, arguments.steps), 1):
                model, state, loss = train_step(model, state, batch)
                if step % 50 == 0:
                    print(f"step {step}: loss {loss:.3f}")
            stats = batches.stats()

    some = as_dataset(held_out).pack(LENGTH).frozen().take(400)
    bits = np.mean([loss_of(model, batch) for batch in builder.build(some)]) / np.log(2)
    baseline = unigram_bits(train, held_out)

    prompt = b"def __init__(self, "
    written = sample(model, jnp.array(list(prompt), jnp.uint8), 200)
    print((prompt + bytes(written.tolist())).decode(errors="replace"))
    print(f"held-out bits per byte {bits:.3f}; from the bytes' frequencies alone, {baseline:.3f}")
    print(stats)


if __name__ == "__main__":
    main()
