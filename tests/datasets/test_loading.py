"""Pipelines through the loader: the same values whatever loads them, and after any resume."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import DataLoader
from loadax_core.testing import check_dataset, check_loader, check_same
from loadax_datasets import ArrayDataset, BaseDataset, InMemoryDataset, RangeDataset

numbers = RangeDataset(23)
arrays = ArrayDataset({"x": np.arange(46, dtype=np.float32).reshape(23, 2), "y": np.arange(23, dtype=np.int32)})


def noise(x: int, rng: np.random.Generator) -> tuple[int, float]:
    return x, rng.normal()


def double(x: Any) -> Any:
    return 2 * x


def is_even(x: int) -> bool:
    return x % 2 == 0


PIPELINES: dict[str, BaseDataset[Any]] = {
    "range": numbers,
    "arrays": arrays,
    "in memory": InMemoryDataset([{"a": i, "b": "x" * i} for i in range(11)]),
    "shuffle": arrays.shuffle(seed=3),
    "block shuffle": numbers.shuffle(seed=3, block=4, window=2),
    "random map": numbers.random_map(noise, seed=4).shuffle(seed=5),
    "random map of a shuffle": numbers.shuffle(seed=5).random_map(noise, seed=4),
    "vectorized map": numbers.map(double, vectorized=True).shuffle(seed=1),
    "map": numbers.map(double)[3:20],
    "cast": arrays.cast({"x": np.float16}).shuffle(seed=1),
    "cast of items": numbers.map(double).cast(np.float32).shuffle(seed=1),
    "select": arrays.select(list(range(0, 23, 2))).shuffle(seed=2),
    "split": arrays.random_split([0.7, 0.3], seed=2)[0].shuffle(seed=2),
    "filter": numbers.filter(is_even).shuffle(seed=2),
    "concat": numbers + numbers.map(double),
    "zip": arrays.shuffle(seed=1).zip(numbers),
    "mix": numbers.shuffle(seed=1).mix(numbers.map(double).shuffle(seed=2), weights=[2, 1], seed=3),
    "sample": arrays.sample(17, replace=True, seed=6),
    "repeat": numbers.shuffle(seed=1).repeat(2),
    "pad": numbers.shuffle(seed=1).pad_to_multiple(8),
    "retry": numbers.retry(2).shuffle(seed=1),
    "tolerate": InMemoryDataset(["x" if row in (2, 9) else str(row) for row in range(23)]).map(int).tolerate(2),
    "cache": numbers.cache().shuffle(seed=1),
}


@pytest.mark.parametrize("dataset", PIPELINES.values(), ids=PIPELINES)
def test_the_public_contract(dataset: BaseDataset[Any]) -> None:
    check_dataset(dataset)


@pytest.mark.parametrize("dataset", PIPELINES.values(), ids=PIPELINES)
@pytest.mark.parametrize("workers", [0, 3])
def test_resume_at_every_step(dataset: BaseDataset[Any], workers: int) -> None:
    check_loader(DataLoader().batch_size(5).workers(workers).epochs(2).build(dataset))


@pytest.mark.parametrize("dataset", PIPELINES.values(), ids=PIPELINES)
def test_values_do_not_depend_on_who_loads_them(dataset: BaseDataset[Any]) -> None:
    builder = DataLoader().batch_size(4).epochs(2)
    expected = list(builder.build(dataset))
    for chain in (builder.workers(1).prefetch(1), builder.workers(4).prefetch(40), builder.workers(3).prefetch()):
        check_same(list(chain.build(dataset)), expected)


def test_a_directory_cache_serves_several_workers(tmp_path: Path) -> None:
    dataset = numbers.map(float).cache(tmp_path).shuffle(seed=1)
    check_loader(DataLoader().batch_size(4).workers(3).epochs(2).build(dataset))


def flat(batches: Iterable[list[Any]]) -> list[Any]:
    return [item for batch in batches for item in batch]


@given(
    seeds=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    batch_sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    workers=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    data=st.data(),
)
def test_random_maps_continue_under_any_settings(
    seeds: tuple[int, int], batch_sizes: tuple[int, int], workers: tuple[int, int], data: st.DataObject
) -> None:
    dataset = numbers.random_map(noise, seed=seeds[0]).shuffle(seed=seeds[1])

    def batches(i: int) -> Any:
        return iter(DataLoader(list[Any]).batch_size(batch_sizes[i]).workers(workers[i]).epochs(2).build(dataset))

    expected = list(dataset) + list(dataset.at_epoch(1))
    with batches(0) as first, batches(1) as then:
        steps = data.draw(st.integers(0, 2 * -(-23 // batch_sizes[0])))
        seen = flat(next(first) for _ in range(steps))
        then.set_state(first.get_state())
        assert seen + flat(then) == expected


@pytest.mark.parametrize("other", [{"seed": 2}, {"rows": 22}])
def test_a_state_of_another_order_is_refused(other: dict[str, int]) -> None:
    def batches(seed: int = 1, rows: int = 23) -> Any:
        return iter(DataLoader().build(RangeDataset(rows).shuffle(seed=seed)))

    message = {
        "seed": "the state was saved with shuffle seed 2, and this dataset has 1",
        "rows": "the state was saved with rows 22, and this dataset has 23",
    }
    with pytest.raises(ValueError, match=message[next(iter(other))]):
        batches().set_state(batches(**other).get_state())
