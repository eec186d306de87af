"""JAX's context managers hold in one thread, so that workers do not share them; its global settings hold in all."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
import pytest
from loadax_core import DataLoader


def enable_x64() -> AbstractContextManager[Any]:
    """`jax.enable_x64(True)`; older versions of JAX have it among the experiments."""
    holder: Any = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    return holder.enable_x64(True)


def size() -> int:
    """Bits of JAX's integers in the calling thread."""
    return jax.dtypes.canonicalize_dtype(np.int64).itemsize * 8


class Sizes:
    """Rows that say how many bits JAX's integers have where they are read."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> int:
        return size()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("depth", [0, 4])
def test_each_row_sees_the_same_configuration_whatever_the_loop_does(workers: int, depth: int) -> None:
    batches = iter(DataLoader(list[int]).workers(workers).prefetch(depth).build(Sizes()))
    seen = [next(batches)[0]]
    with enable_x64():
        assert size() == 64
        seen += [next(batches)[0] for _ in range(20)]
    seen += [batch[0] for batch in batches]
    assert seen == [32] * 40


def test_an_iterator_that_is_made_within_a_context_of_jax_does_not_have_it() -> None:
    with enable_x64():
        assert next(iter(DataLoader(list[int]).workers(1).build(Sizes()))) == [32]
        assert next(iter(DataLoader(list[int]).build(Sizes()))) == [64], "the caller's thread is in the context"
