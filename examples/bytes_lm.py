"""Trains a byte-level language model on the source code of Python's own standard library, with Equinox.

    python examples/bytes_lm.py

The text is one file of bytes, which is mapped and not read: it might be larger than memory. Training sees windows of it
in an order that is shuffled over the whole file, the held-out modules tell what was learnt, and the model writes a few
lines of its own.
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
from loadax import DataLoader, TokenDataset

LENGTH = 64  # bytes in a window
BATCH_SIZE = 32
HIDDEN = 192

Windows: TypeAlias = dict[str, jax.Array]
"""`tokens`, and `targets`, each the byte that follows its token; both uint8, of shape `(batch, LENGTH)`."""


def write_corpus(train: Path, held_out: Path) -> None:
    """Writes every tenth module of the standard library into one file, and the others into another."""
    modules = [module.read_bytes() for module in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))]
    held_out.write_bytes(b"\n".join(modules[::10]))
    del modules[::10]
    train.write_bytes(b"\n".join(modules))


class Model(eqx.Module):
    """A recurrent network, of gated units."""

    embedding: eqx.nn.Embedding
    cell: eqx.nn.GRUCell
    scores: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        keys = jax.random.split(key, 3)
        self.embedding = eqx.nn.Embedding(256, 64, key=keys[0])
        self.cell = eqx.nn.GRUCell(64, HIDDEN, key=keys[1])
        self.scores = eqx.nn.Linear(HIDDEN, 256, key=keys[2])

    def step(self, memory: jax.Array, token: jax.Array) -> tuple[jax.Array, jax.Array]:
        """What to remember after a byte, and scores for the next one, of shape `(256,)`."""
        memory = self.cell(self.embedding(token.astype(jnp.int32)), memory)
        return memory, self.scores(memory)

    def __call__(self, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As `step`, byte after byte: the last memory, and scores of shape `(tokens, 256)`."""

        # JAX keeps functions by their hash, which the method of a model with arrays does not have.
        def step(memory: jax.Array, token: jax.Array) -> tuple[jax.Array, jax.Array]:
            return self.step(memory, token)

        return jax.lax.scan(step, jnp.zeros(HIDDEN), tokens)


@eqx.filter_jit
def loss_of(model: Model, batch: Windows) -> jax.Array:
    """The mean cross-entropy of a byte, in nats."""
    _, scores = jax.vmap(model)(batch["tokens"])
    return optax.softmax_cross_entropy_with_integer_labels(scores, batch["targets"].astype(jnp.int32)).mean()


@eqx.filter_jit
def sample(model: Model, prompt: jax.Array, size: int) -> jax.Array:
    """What the model writes after the prompt."""

    def write(state: tuple[jax.Array, jax.Array], key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        memory, scores = state
        token = jax.random.categorical(key, scores / 0.8)
        return model.step(memory, token), token

    memory, scores = model(prompt)
    return jax.lax.scan(write, (memory, scores[-1]), jax.random.split(jax.random.key(0), size))[1]


def unigram_bits(train: Path, held_out: Path) -> float:
    """Bits per held-out byte for a model that knows how often each byte comes, and nothing else."""
    seen, unseen = (np.bincount(np.fromfile(file, np.uint8), minlength=256) for file in (train, held_out))
    return float(-(unseen / unseen.sum()) @ np.log2((seen + 1) / (seen + 1).sum()))


def main() -> None:
    """Trains, and says what was learnt and where the time went."""
    parser = argparse.ArgumentParser(description="Train a language model on Python's standard library.")
    parser.add_argument("--steps", type=int, default=350)
    arguments = parser.parse_args()

    optimizer = optax.adam(optax.cosine_decay_schedule(6e-3, arguments.steps))

    @eqx.filter_jit
    def train_step(model: Model, state: optax.OptState, batch: Windows) -> tuple[Model, optax.OptState, jax.Array]:
        loss, gradients = eqx.filter_value_and_grad(loss_of)(model, batch)
        updates, state = optimizer.update(gradients, state)
        return eqx.apply_updates(model, updates), state, loss

    model = eqx.filter_jit(Model)(jax.random.key(0))
    state = optimizer.init(eqx.filter(model, eqx.is_array))
    with TemporaryDirectory() as folder:
        train, held_out = Path(folder, "train.bin"), Path(folder, "held_out.bin")
        write_corpus(train, held_out)

        # Epochs follow each other without end; the steps are counted here.
        windows = TokenDataset(train, LENGTH, dtype=np.uint8).shuffle(seed=1)
        builder = DataLoader().batch_size(BATCH_SIZE, drop_remainder=True).prefetch(to_device=True)
        with iter(builder.epochs(None).build(windows)) as batches:
            for step, batch in enumerate(islice(batches, arguments.steps), 1):
                model, state, loss = train_step(model, state, batch)
                if step % 50 == 0:
                    print(f"step {step}: loss {loss:.3f}")
            stats = batches.stats()

        some = TokenDataset(held_out, LENGTH, dtype=np.uint8).sample(800, seed=2)
        bits = np.mean([loss_of(model, batch) for batch in builder.build(some)]) / np.log(2)
        baseline = unigram_bits(train, held_out)

    prompt = b"def __init__(self, "
    written = sample(model, jnp.array(list(prompt), jnp.uint8), 200)
    print((prompt + bytes(written.tolist())).decode(errors="replace"))
    print(f"held-out bits per byte {bits:.3f}; from the bytes' frequencies alone, {baseline:.3f}")
    print(stats)


if __name__ == "__main__":
    main()
