"""tf.data."""

# ruff: noqa: D102 - base.py says what a method does, and its class says how

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..works import Work
from .base import Loader, UnsupportedError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf


class Batched(Loader):
    """Row numbers shuffled and batched, `tf.gather` mapped over batches in parallel, `prefetch(AUTOTUNE)`."""

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        tensors = {key: tf.constant(array) for key, array in data.items()}
        return self._gathers(
            work,
            len(data["image"]),
            lambda rows: {key: tf.gather(tensor, rows) for key, tensor in tensors.items()},
        )

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        tensor = tf.constant(data)
        return self._gathers(work, len(data), lambda rows: tf.cast(tf.gather(tensor, rows), tf.int32))

    def _gathers(self, work: Work, length: int, read: Any) -> Iterator[Any]:
        rows = tf.data.Dataset.range(length).shuffle(length, seed=0).batch(work.batch, drop_remainder=True).repeat()
        batches = rows.map(read, num_parallel_calls=tf.data.AUTOTUNE)
        return batches.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()


class Default(Loader):
    """`from_tensor_slices`, `shuffle` with a buffer of the whole dataset, `batch`, `prefetch(AUTOTUNE)`."""

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        rows = tf.data.Dataset.from_tensor_slices(data).shuffle(len(data["image"]), seed=0)
        batches = rows.batch(work.batch, drop_remainder=True).repeat()
        return batches.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()

    def numbers(self, work: Work, data: int) -> Iterator[Any]:
        """`range`, `shuffle` with a buffer of 10,000 rows, `batch`."""
        if work.measure != "first":
            raise UnsupportedError("a tf.data pipeline has no batcher in Python")
        return tf.data.Dataset.range(data).shuffle(10_000, seed=0).batch(work.batch).as_numpy_iterator()


VERSION = tf.__version__
LOADERS = {"tensorflow": Batched, "tensorflow-default": Default}
