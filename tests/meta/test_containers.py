"""Containers hold the same values on every path, be they modules of Equinox or Flax: host, devices, arrays, workers."""

# Flax has few types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import equinox as eqx
import flax.struct
import numpy as np
import pytest
from flax.core import FrozenDict
from loadax import ArrayDataset, DataLoader, StackBatcher
from loadax_core import tree


@dataclass
class Halved:
    x: Any

    def __post_init__(self) -> None:
        self.x = self.x / 2


class Module(eqx.Module):
    x: Any
    name: str = eqx.field(static=True)

    def __init__(self, number: Any) -> None:
        self.x = number
        self.name = "a"


@flax.struct.dataclass
class Struct:
    x: Any
    name: Any = flax.struct.field(pytree_node=False, default="a")

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", self.x / 2)


class Doubled(NamedTuple("Doubled", [("x", Any), ("y", Any)])):
    def __new__(cls, number: Any) -> Self:
        return super().__new__(cls, number, 2 * number)


MAKE: dict[str, Callable[[Any], Any]] = {
    "dataclass": Halved,
    "equinox": Module,
    "flax": Struct,
    "frozen dict": lambda x: FrozenDict({"x": x}),
    "named tuple": Doubled,
}


def values(batch: Any) -> list[Any]:
    return [np.asarray(leaf).tolist() for _, leaf in tree.leaves(batch)]


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_values_and_types_are_the_same_on_every_path(make: Callable[[Any], Any]) -> None:
    numbers = np.arange(0, 64, 4, dtype=np.float32)
    items = [make(number) for number in numbers]
    whole = make(numbers)
    expected = [StackBatcher()(items[i : i + 4]) for i in range(0, 16, 4)]
    leaves, build = tree.flatten(whole)
    assert list(map(values, expected)) == [values(build([leaf[i : i + 4] for leaf in leaves])) for i in range(0, 16, 4)]
    for dataset in (items, ArrayDataset(whole), ArrayDataset(whole).map(lambda item: item)):
        builder = DataLoader().batch_size(4)
        for loader in (
            builder,
            builder.workers(4),
            builder.prefetch(2, to_device=True),
            builder.workers(4).prefetch(2, to_device=True),
        ):
            batches = list(loader.build(dataset))
            assert [type(batch) for batch in batches] == [type(items[0])] * 4
            assert [values(batch) for batch in batches] == [values(batch) for batch in expected]
