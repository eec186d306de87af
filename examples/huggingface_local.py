"""Trains on a Hugging Face dataset of texts that differ in length. It reads local files, and downloads nothing.

    python examples/huggingface_local.py

The texts are docstrings of Python's standard library, which the program first writes to Parquet files. The network
learns to tell from which package a text comes. Needs Hugging Face's library:
`pip install 'loadax-datasets[huggingface]'`.
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

os.environ["HF_HUB_OFFLINE"] = "1"  # the library reads it when it is imported
import datasets

PACKAGES = ["asyncio", "email", "importlib", "logging", "multiprocessing", "unittest", "xml"]
BATCH_SIZE = 32
VOCABULARY = 4096
WIDTH = 64
LONGEST = 128  # words of a text that the network sees


def docstrings(package: str) -> Iterator[str]:
    """The docstrings of all functions and classes of a package."""
    for module in sorted(Path(sysconfig.get_path("stdlib"), package).rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                text = ast.get_docstring(node)
                if text:
                    yield text


def write_texts(folder: Path) -> dict[str, str]:
    """Writes `text` and `package` of each text: every fifth to `held_out`, the others to `train`. Returns the files."""
    # Some texts occur several times. Keep one of each, so that no held-out text is trained on.
    packages = {text: package for package in PACKAGES for text in docstrings(package)}
    rows = [{"text": text, "package": package} for text, package in packages.items()]
    files = {"train": str(folder / "train.parquet"), "held_out": str(folder / "held_out.parquet")}
    datasets.Dataset.from_list([row for i, row in enumerate(rows) if i % 5]).to_parquet(files["train"])
    datasets.Dataset.from_list(rows[::5]).to_parquet(files["held_out"])
    return files


def tokenize(row: dict[str, Any]) -> dict[str, Any]:
    """Words as numbers, and the package as a label. Several words may share a number. JAX has int32, and no int64."""
    words = re.findall(r"\w+", row["text"].lower())[:LONGEST]
    ids = [zlib.crc32(word.encode()) % VOCABULARY for word in words]
    return {"ids": np.array(ids, np.int32), "label": np.int32(PACKAGES.index(row["package"]))}


class Network(nnx.Module):
    """A vector for each word, the mean of the vectors of a text, and a layer of hidden units."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.words = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
        self.hidden = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.scores = nnx.Linear(WIDTH, len(PACKAGES), rngs=rngs)

    def __call__(self, ids: jax.Array, mask: jax.Array) -> jax.Array:
        """Scores for the packages, from words and a mask of the real words, both of shape `(batch, length)`."""
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
    """The share of the texts for which the network names the right package."""
    return (network(batch["ids"], batch["ids_mask"]).argmax(axis=-1) == batch["label"]).mean()


def main() -> None:
    """Trains, and prints what the network has learnt and where the time went."""
    parser = argparse.ArgumentParser(description="Train on a local Hugging Face dataset of texts.")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()

    datasets.disable_progress_bars()
    with TemporaryDirectory() as folder:
        texts: Any = datasets.load_dataset("parquet", data_files=write_texts(Path(folder)), cache_dir=folder)
        texts = texts.map(tokenize, remove_columns=["text", "package"])
        train, held_out = HuggingFaceDataset(texts["train"]), HuggingFaceDataset(texts["held_out"])
        print(train)

        # Pads a batch to a multiple of 64 words, so that the step is compiled for two shapes.
        padded = DataLoader(PadBatcher(multiple_of=64, add="mask"))
        builder = padded.batch_size(BATCH_SIZE, drop_remainder=True).prefetch(to_device=True)
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
