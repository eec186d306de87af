"""The contract of every dataset, as one fixture."""

import json
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import pytest
from loadax_core import StackBatcher, aligned_empty, tree
from loadax_core.testing import check_same
from loadax_datasets import BaseDataset


def same(a: Any, b: Any) -> bool:
    """Whether two trees are equal to the last bit, dtypes and containers included."""
    try:
        check_same(a, b)
    except AssertionError:
        return False
    return True


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


@pytest.fixture(name="same", scope="session")
def same_fixture() -> Callable[[Any, Any], bool]:
    return same


@pytest.fixture
def check_dataset() -> CheckDataset:
    """Checks all that a dataset promises, given the items that it should have."""

    def check(dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None:
        n = len(expected)
        assert len(dataset) == n
        assert same(list(dataset), list(expected))
        _check_indexing(dataset, expected)
        _check_batched_reads(dataset, expected)
        assert (dataset.gather is not None) == gathers
        if gathers:
            _check_gather(dataset)
        _check_copies(dataset, expected)
        _check_epochs(dataset)
        assert json.loads(json.dumps(dataset.fingerprint())) == dataset.fingerprint()
        lines = repr(dataset).splitlines()
        assert type(dataset).__name__ in lines[0]
        assert len(lines) == 1 + sum(len(repr(source).splitlines()) for source in dataset.sources)

    return check


def _check_indexing(dataset: BaseDataset[Any], expected: Sequence[Any]) -> None:
    n = len(expected)
    for row in range(-n, n):
        assert same(dataset[row], expected[row])
        assert same(dataset[np.int32(row)], expected[row])
    for row in (n, -n - 1, n + 10**6):
        with pytest.raises(IndexError, match=f"row {row} .* {n} rows"):
            dataset[row]
    for bad in (True, 1.0, "0", None, np.True_, np.float64(0)):
        with pytest.raises(TypeError, match="a row is an integer or a slice"):
            dataset[bad]  # pyright: ignore[reportCallIssue, reportArgumentType]
    for part in (slice(None), slice(1, -1), slice(None, None, -1), slice(-100, 100, 2), slice(3, 1)):
        assert same(list(dataset[part]), list(expected[part]))


def _check_batched_reads(dataset: BaseDataset[Any], expected: Sequence[Any]) -> None:
    n = len(expected)
    read_many = dataset.read_many
    assert getattr(dataset, "__getitems__") == (read_many if dataset.batched else None)  # noqa: B009
    assert dataset.batched or not any(source.batched for source in dataset.sources), "a batched read is not handed on"
    for rows in ([], list(range(n)), list(range(n))[::-1], [*range(n), *range(n)], [-1] * (n > 0)):
        assert same(list(read_many(rows)), [expected[row] for row in rows])
    with pytest.raises(IndexError, match=f"row {n} "):
        read_many([n])
    with pytest.raises(TypeError):
        read_many([0.5])  # pyright: ignore[reportArgumentType]


def _check_gather(dataset: BaseDataset[Any]) -> None:
    gather, n = dataset.gather, len(dataset)
    assert gather is not None
    rng = np.random.default_rng(0)
    if n:
        for rows in (
            np.arange(n),
            np.arange(n)[::-1],
            rng.integers(0, n, 2 * n),
            np.array([n - 1]),
            np.zeros(3, np.int64),
        ):
            stacked = StackBatcher()([dataset[row] for row in rows])
            assert same(gather(rows, aligned_empty), stacked)
            short: Any = rows.astype(np.int32)
            assert same(gather(short, aligned_empty), stacked)
            again = gather(rows, aligned_empty)
            for (_, first), (_, second) in zip(
                tree.leaves(gather(rows, aligned_empty)), tree.leaves(again), strict=True
            ):
                assert not np.shares_memory(np.asarray(first), np.asarray(second)), "a batch belongs to one step"
    for bad in (n, -1):
        with pytest.raises(IndexError):
            gather(np.array([bad]), aligned_empty)
    with pytest.raises(TypeError):
        gather(np.array([0.0]), aligned_empty)


def _check_copies(dataset: BaseDataset[Any], expected: Sequence[Any]) -> None:
    copied: BaseDataset[Any] = pickle.loads(pickle.dumps(dataset))
    assert same(list(copied), list(expected))
    assert copied.fingerprint() == dataset.fingerprint()
    fresh: BaseDataset[Any] = pickle.loads(pickle.dumps(dataset))
    with ThreadPoolExecutor(4) as pool:
        rows = [row for row in range(len(expected)) for _ in range(4)]
        assert same(list(pool.map(fresh.read, rows)), [expected[row] for row in rows])


def _check_epochs(dataset: BaseDataset[Any]) -> None:
    first = dataset.at_epoch(3)
    assert len(first) == len(dataset)
    assert first.fingerprint() == dataset.fingerprint()
    items = list(first)
    assert same(list(dataset.at_epoch(3)), items)
    assert same(list(pickle.loads(pickle.dumps(dataset)).at_epoch(3)), items)
    assert same(list(dataset.at_epoch(5).at_epoch(3)), items)
    assert same(list(first.at_epoch(0)), list(dataset.at_epoch(0)))
    assert same(list(dataset.at_epoch(0)), list(dataset))
    assert (first.gather is None) == (dataset.gather is None)
    if first.gather is not None and items:
        assert same(first.gather(np.arange(len(items)), aligned_empty), StackBatcher()(items))
