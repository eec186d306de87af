"""Trains with checkpoints. After a kill at any moment, it resumes as if nothing had happened.

The position of the data is a small dict. Orbax saves it beside the parameters:

    python examples/resume.py --directory /tmp/run     # interrupt it, or kill it, as often as you like
    python examples/resume.py --directory /tmp/run     # it resumes with the next row

The program appends the rows and the loss of each step to `log.jsonl`, so that you can compare two runs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from loadax import ArrayDataset, DataLoader
from sklearn.datasets import load_digits


def read_digits() -> ArrayDataset[Any]:
    """Handwritten digits, each with its row number."""
    images, labels = load_digits(return_X_y=True)
    return ArrayDataset(
        {
            "image": images.astype(np.float32) / 16,
            "label": labels.astype(np.int32),
            "row": np.arange(len(labels), dtype=np.int32),
        }
    )


optimizer = optax.adam(1e-2)


@jax.jit
def train_step(train: Any, batch: Any) -> tuple[Any, jax.Array]:
    """One step of a linear classifier: new parameters and optimiser state, and the loss."""

    def loss_of(params: Any) -> jax.Array:
        scores = batch["image"] @ params["w"] + params["b"]
        return optax.softmax_cross_entropy_with_integer_labels(scores, batch["label"]).mean()

    loss, gradients = jax.value_and_grad(loss_of)(train["params"])
    updates, state = optimizer.update(gradients, train["optimizer"])
    return {"params": optax.apply_updates(train["params"], updates), "optimizer": state}, loss


@jax.jit
def recognised(params: Any, batch: Any) -> jax.Array:
    """How many digits of a batch the classifier recognises."""
    return ((batch["image"] @ params["w"] + params["b"]).argmax(axis=-1) == batch["label"]).sum()


def main() -> None:
    """Trains from the last checkpoint, or from the start."""
    parser = argparse.ArgumentParser(description="Train with checkpoints that hold the position of the data.")
    parser.add_argument("--directory", type=Path, required=True, help="where checkpoints and the log go")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--save-every", type=int, default=10, help="steps between two checkpoints")
    arguments = parser.parse_args()

    digits = read_digits()
    builder = DataLoader().batch_size(arguments.batch_size).workers(2).prefetch(to_device=True)
    loader = builder.epochs(arguments.epochs).build(digits.shuffle(seed=3))
    params = {"w": jnp.zeros((64, 10)), "b": jnp.zeros(10)}
    train: Any = {"params": params, "optimizer": optimizer.init(params)}
    step = 0

    directory = arguments.directory.resolve()
    with ocp.CheckpointManager(directory / "checkpoints") as manager, iter(loader) as batches:
        latest = manager.latest_step()
        if latest is not None:
            restored = manager.restore(
                latest,
                args=ocp.args.Composite(train=ocp.args.StandardRestore(train), data=ocp.args.JsonRestore()),
            )
            train, step = restored["train"], latest
            batches.set_state(restored["data"])
            print(
                f"continuing after step {step}, at row {restored['data']['row']} of epoch {restored['data']['epoch']}"
            )
        with (directory / "log.jsonl").open("a") as log:
            for batch in batches:
                train, loss = train_step(train, batch)
                step += 1
                entry = {"step": step, "rows": batch["row"].tolist(), "loss": float(loss).hex()}
                print(json.dumps(entry), file=log, flush=True)
                if step % arguments.save_every == 0:
                    state = ocp.args.Composite(
                        train=ocp.args.StandardSave(train),
                        data=ocp.args.JsonSave(batches.get_state()),
                    )
                    manager.save(step, args=state)
        stats = batches.stats()

    params = train["params"]
    right = sum(int(recognised(params, batch)) for batch in builder.build(digits))
    print(f"trained {step} of {len(loader)} steps; recognises {right / len(digits):.3f} of the digits it has seen")
    print(stats)


if __name__ == "__main__":
    main()
