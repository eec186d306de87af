"""filter: what is kept, and that the index is built once, and says so."""

import logging
import pickle
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_datasets import BaseDataset, FilteredDataset, InMemoryDataset, RangeDataset
from loadax_datasets.transforms import filtered


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def is_even(x: int) -> bool:
    return x % 2 == 0


def test_filter(check_dataset: CheckDataset) -> None:
    check_dataset(RangeDataset(9).filter(is_even), [0, 2, 4, 6, 8], gathers=True)
    check_dataset(RangeDataset(1, 9, 2).filter(is_even), [], gathers=True)
    check_dataset(RangeDataset(0).filter(is_even), [], gathers=True)
    check_dataset(FilteredDataset(["a", "", "b"], bool), ["a", "b"], gathers=False)


@given(st.lists(st.booleans(), max_size=700))
def test_what_is_kept_is_what_the_function_says(flags: list[bool]) -> None:
    numbered = InMemoryDataset(enumerate(flags))
    assert [i for i, _ in numbered.filter(lambda item: item[1])] == [i for i, flag in enumerate(flags) if flag]


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: int) -> bool:
        self.calls += 1
        return x > 5


def test_the_index_is_built_once_and_not_before_it_is_needed() -> None:
    counter = Counter()
    rows = RangeDataset(1000).filter(counter)
    assert "not counted yet" in repr(rows)
    assert counter.calls == 0
    assert len(rows) == 994
    assert list(rows) == list(range(6, 1000))
    assert counter.calls == 1000
    assert "994 of 1000 rows" in repr(rows)
    assert "994 of 1000 rows" in repr(pickle.loads(pickle.dumps(rows))), "the index is pickled along"


class WatchedLock:
    """A lock that says when somebody is about to wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = threading.Semaphore(0)

    def __enter__(self) -> None:
        self.wanted.release()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_two_threads_that_need_the_index_build_it_once() -> None:
    counter, watched = Counter(), WatchedLock()
    rows = FilteredDataset(range(1000), counter)
    rows._lock._lock = watched  # pyright: ignore[reportAttributeAccessIssue]
    with ThreadPoolExecutor(2) as pool:
        with watched.lock:
            lengths = [pool.submit(len, rows) for _ in range(2)]
            both = [watched.wanted.acquire(timeout=10) for _ in lengths]
        assert [length.result() for length in lengths] == [994, 994]
    assert both == [True, True]
    assert counter.calls == 1000


def test_building_the_index_is_reported(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with caplog.at_level(logging.INFO, logger="loadax.datasets"):
        len(RangeDataset(1000).filter(is_even))
        assert [record.getMessage()[:37] for record in caplog.records] == ["filter is_even: 500 of 1000 rows in 0"]
        monkeypatch.setattr(filtered, "PROGRESS_SECONDS", 0.0)
        len(RangeDataset(1000).filter(is_even))
    assert "filter is_even: looked at 512 of 1000 rows in 0 s" in [record.getMessage() for record in caplog.records]


def test_an_error_names_the_row() -> None:
    def fail(x: int) -> bool:
        if x == 7:
            raise OSError("broken")
        return True

    rows = RangeDataset(10).filter(fail)
    with pytest.raises(OSError, match="broken") as caught:
        len(rows)
    assert caught.value.__notes__ == ["raised while filter looked at row 7 of its source"]


@pytest.mark.parametrize("chain", ["shuffle", "random_map", "sample"])
def test_a_source_that_changes_with_the_epoch_is_refused(chain: str) -> None:
    source = {
        "shuffle": RangeDataset(9).shuffle().map(abs),
        "random_map": RangeDataset(9).random_map(lambda x, _: x),
        "sample": RangeDataset(9).sample(3),
    }[chain]
    with pytest.raises(ValueError, match="filter first, then shuffle, sample or random_map:\n"):
        source.filter(is_even)
    assert list(RangeDataset(9).filter(is_even).shuffle(seed=1).at_epoch(1)) != [0, 2, 4, 6, 8]


def test_bad_predicates() -> None:
    with pytest.raises(TypeError, match="filter takes a function of an item, got 3"):
        RangeDataset(9).filter(3)  # pyright: ignore[reportArgumentType]


def test_fingerprints_tell_what_was_kept() -> None:
    rows = RangeDataset(10)
    same = rows.filter(is_even).fingerprint()
    assert same == rows.filter(lambda x: x % 2 == 0).fingerprint()
    assert same != rows.filter(lambda x: x % 2 == 1).fingerprint()
