"""Trains on a Hugging Face dataset from local files, of texts that differ in length: nothing is downloaded.

    python examples/huggingface_local.py

The texts are docstrings of Python's standard library, written as Parquet files first; the network learns to tell which
package one comes from. Needs Hugging Face's library: `pip install 'loadax-datasets[huggingface]'`.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sysconfig
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from loadax import DataLoader, HuggingFaceDataset, PadBatcher

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported
import datasets

PACKAGES = ["asyncio", "email", "importlib", "logging", "multiprocessing", "unittest", "xml"]
BATCH_SIZE = 32
VOCABULARY = 4096
WIDTH = 64
LONGEST = 128  # words of a text that are looked at


def docstrings(package: str) -> Iterator[str]:
    """The docstrings of all functions and classes of a package."""
    for module in sorted(Path(sysconfig.get_path("stdlib"), package).rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                text = ast.get_docstring(node)
                if text:
                    yield text


def write_texts(folder: Path) -> dict[str, str]:
    """Writes `text` and `package` of all texts, every fifth one into a file of its own; returns the files."""
    # Some texts come several times. One of each is kept, or some that are held out would be trained on.
    packages = {text: package for package in PACKAGES for text in docstrings(package)}
    rows = [{"text": text, "package": package} for text, package in packages.items()]
    files = {"train": str(folder / "train.parquet"), "held_out": str(folder / "held_out.parquet")}
    datasets.Dataset.from_list([row for i, row in enumerate(rows) if i % 5]).to_parquet(files["train"])
    datasets.Dataset.from_list(rows[::5]).to_parquet(files["held_out"])
    return files


def tokenize(row: dict[str, Any]) -> dict[str, Any]:
    """Words as numbers, which several may share, and the package as a label; in int32, as JAX has no int64."""
    words = re.findall(r"\w+", row["text"].lower())[:LONGEST]
    ids = [zlib.crc32(word.encode()) % VOCABULARY for word in words]
    return {"ids": np.array(ids, np.int32), "label": np.int32(PACKAGES.index(row["package"]))}


class Network(nnx.Module):
    """A vector for each word, the mean of those of a text, and a layer of hidden units."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.words = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
        self.hidden = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.scores = nnx.Linear(WIDTH, len(PACKAGES), rngs=rngs)

    def __call__(self, ids: jax.Array, mask: jax.Array) -> jax.Array:
        """Scores for the packages, from words and which of them are not padding, both of shape `(batch, length)`."""
        total = (self.words(ids) * mask[..., None]).sum(axis=1)
        mean = total / jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
        return self.scores(nnx.relu(self.hidden(mean)))


@nnx.jit
def train_step(network: Network, optimizer: nnx.Optimizer[Network], batch: dict[str, jax.Array]) -> jax.Array:
    """Improves the network in place, and returns its loss on the batch."""

    def loss_of(network: Network) -> jax.Array:
        scores = network(batch["ids"], batch["ids_mask"])
        return optax.softmax_cross_entropy_with_integer_labels(scores, batch["label"]).mean()

    loss, gradients = nnx.value_and_grad(loss_of)(network)
    optimizer.update(network, gradients)
    return loss


@nnx.jit
def accuracy_of(network: Network, batch: dict[str, jax.Array]) -> jax.Array:
    """The share of the texts of which the network names the package."""
    return (network(batch["ids"], batch["ids_mask"]).argmax(axis=-1) == batch["label"]).mean()


def main() -> None:
    """Trains, and says what was learnt and where the time went."""
    parser = argparse.ArgumentParser(description="Train on a local Hugging Face dataset of texts.")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()

    datasets.disable_progress_bars()
    with TemporaryDirectory() as folder:
        texts: Any = datasets.load_dataset("parquet", data_files=write_texts(Path(folder)), cache_dir=folder)
        texts = texts.map(tokenize, remove_columns=["text", "package"])
        train, held_out = HuggingFaceDataset(texts["train"]), HuggingFaceDataset(texts["held_out"])
        print(train)

        # A batch is padded to its longest text, in steps of 64 words, so that the step is compiled for two shapes.
        padded = DataLoader(PadBatcher(multiple_of=64, add="mask"))
        builder = padded.batch_size(BATCH_SIZE, drop_remainder=True).prefetch(4, to_device=True)
        loader = builder.epochs(arguments.epochs).build(train.shuffle(seed=1))

        network = Network(nnx.Rngs(0))
        optimizer = nnx.Optimizer(network, optax.adam(3e-3), wrt=nnx.Param)
        with iter(loader) as batches:
            for epoch in range(arguments.epochs):
                steps = islice(batches, loader.steps_per_epoch)
                losses = [train_step(network, optimizer, batch) for batch in steps]
                print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
            stats = batches.stats()

        everything = next(iter(padded.batch_size(len(held_out)).build(held_out)))
        accuracy = float(accuracy_of(network, everything))
        majority = np.bincount(everything["label"]).max() / len(held_out)

    print(f"held-out accuracy {accuracy:.3f}; if all were of one package, {majority:.3f}")
    print(stats)


if __name__ == "__main__":
    main()
