"""What all datasets have from their base class: see also the contract in conftest.py."""

import inspect
import re
from collections import UserList
from typing import Any, NamedTuple

import numpy as np
import pytest
from loadax_core import DataLoader, Gather, StateError, aligned_empty
from loadax_core.testing import check_dataset as check_public_dataset
from loadax_datasets import (
    ArrayDataset,
    BaseDataset,
    InMemoryDataset,
    MappedDataset,
    RangeDataset,
    SlicedDataset,
    as_dataset,
)


class Squares(BaseDataset[int]):
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def read(self, row: int) -> int:
        assert type(row) is int, "read gets what the check of the index gives"
        assert 0 <= row < self.length
        return row**2


def test_a_subclass_needs_two_methods() -> None:
    squares = Squares(5)
    assert list(squares) == [0, 1, 4, 9, 16]
    assert squares[-1] == squares[np.uint8(4)] == squares[np.array(4)] == 16
    assert list(reversed(squares)) == [16, 9, 4, 1, 0]
    assert 9 in squares
    assert squares.gather is None
    assert squares.at_epoch(3) is squares
    assert squares.fingerprint() == {"rows": 5}
    assert repr(squares) == "Squares(5 rows)"


def test_an_empty_dataset_is_an_empty_list() -> None:
    empty = RangeDataset(0)
    assert list(empty) == []
    assert not empty
    assert list(empty[:].shuffle().map(str)) == []
    with pytest.raises(IndexError, match="row 0 is out of range for 0 rows"):
        empty[0]


def test_take_and_skip() -> None:
    rows = RangeDataset(10)
    assert list(rows.take(3)) == [0, 1, 2]
    assert list(rows.skip(8)) == [8, 9]
    assert list(rows.take(0)) == list(rows.skip(10)) == list(rows.skip(99)) == []
    assert list(rows.take(99)) == list(rows)
    with pytest.raises(ValueError, match="count must be at least 0, got -1"):
        rows.take(-1)
    with pytest.raises(TypeError, match=r"count must be an integer of at least 0, got 2\.5"):
        rows.skip(2.5)  # pyright: ignore[reportArgumentType]


def test_repr_shows_the_pipeline_as_a_tree() -> None:
    def halve(x: int) -> float:
        return x / 2

    rows = RangeDataset(2, 10).map(halve).shuffle(seed=7)[:4]
    assert repr(rows).splitlines() == [
        "SlicedDataset[0:4]",
        "└─ ShuffledDataset(seed=7)",
        "   └─ MappedDataset(test_repr_shows_the_pipeline_as_a_tree.<locals>.halve)",
        "      └─ RangeDataset(2, 10)",
    ]


def test_iterating_reads_more_and_more_at_once_where_that_is_quicker() -> None:
    reads: list[int] = []

    class Counted(BaseDataset[int]):
        @property
        def batched(self) -> bool:
            return True

        def __len__(self) -> int:
            return 1000

        def read(self, row: int) -> int:
            reads.append(1)
            if row == 700:
                raise OSError("gone")
            return row

        def read_many(self, rows: list[int]) -> list[int]:
            if 700 in rows:
                raise OSError("gone")
            reads.append(len(rows))
            return rows

    items = iter(Counted())
    assert next(items) == 0
    assert reads == [1]
    received = [0]
    with pytest.raises(OSError, match="gone"):
        received.extend(items)
    assert received == list(range(700)), "those before the one that fails are to be had"
    assert reads[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]


def test_iterating_hands_on_an_error_that_does_not_come_again() -> None:
    class Flaky(BaseDataset[int]):
        @property
        def batched(self) -> bool:
            return True

        def __len__(self) -> int:
            return 10

        def read(self, row: int) -> int:
            return row

        def read_many(self, rows: list[int]) -> list[int]:
            raise OSError("stale file handle")

    received: list[int] = []
    with pytest.raises(OSError, match="stale file handle"):
        received.extend(Flaky())
    assert received == [0, 1, 2]


@pytest.mark.parametrize("times", [0, 2])
@pytest.mark.parametrize("of", ["itself", "map", "shuffle"])
def test_iterating_misses_no_row_that_read_many_leaves_out(times: int, of: str) -> None:
    class Wrong(BaseDataset[int]):
        @property
        def batched(self) -> bool:
            return True

        def __len__(self) -> int:
            return 6

        def read(self, row: int) -> int:
            return row

        def read_many(self, rows: list[int]) -> list[int]:
            return [row for row in rows for _ in range(times if row % 2 else 1)]

    rows = {"itself": Wrong(), "map": Wrong().map(int), "shuffle": Wrong().shuffle(seed=1)}[of]
    message = r"(Dataset|Wrong)\.read_range was asked for \d items, gave \d; it must return one for each row"
    with pytest.raises(ValueError, match=message):
        list(rows)


def test_slices_with_bad_bounds_are_refused() -> None:
    with pytest.raises(TypeError):
        RangeDataset(5)[1.0:]
    with pytest.raises(ValueError, match="step"):
        RangeDataset(5)[::0]


@pytest.mark.parametrize("step", [10**30, -(10**30), 2**63, 5, -5])
@pytest.mark.parametrize("start", [None, 0, 2, -1])
def test_a_step_may_be_longer_than_the_dataset(start: int | None, step: int) -> None:
    rows = RangeDataset(5)[start::step]
    expected = list(range(5))[start::step]
    assert list(rows) == rows.read_many([0]) == expected
    assert rows.gather is not None
    assert rows.gather(np.array([0]), aligned_empty).tolist() == expected
    assert list(RangeDataset(0)[::step]) == []


def test_iteration_is_lazy() -> None:
    reads: list[int] = []

    def note(x: int) -> int:
        reads.append(x)
        return x

    rows = iter(RangeDataset(1000).shuffle(seed=1).map(note)[10:])
    assert reads == []
    next(rows)
    assert len(reads) == 1


def test_chained_methods_leave_the_original_alone() -> None:
    rows = InMemoryDataset([3, 1, 2])
    rows.shuffle(seed=1)
    rows.map(str)
    assert list(rows) == [3, 1, 2]


def test_a_gather_of_ones_own_is_not_passed_by() -> None:
    class Negated(ArrayDataset[Any]):
        def read(self, row: int) -> Any:
            return -super().read(row)

        @property
        def gather(self) -> Gather:
            return lambda rows, alloc: -self._gather(rows, alloc)

    rows = Negated(np.arange(1, 7))
    assert rows.gather_range(range(2, 4), aligned_empty).tolist() == [-3, -4]
    for dataset in (rows, rows[:], rows.map(np.abs, vectorized=True).map(np.negative, vectorized=True)):
        assert [batch.tolist() for batch in DataLoader().batch_size(3).build(dataset)] == [[-1, -2, -3], [-4, -5, -6]]


def test_a_read_of_many_of_ones_own_is_not_passed_by() -> None:
    class Negated(SlicedDataset[Any]):
        def read(self, row: int) -> Any:
            return -super().read(row)

        def read_many(self, rows: list[int]) -> list[Any]:
            return [-item for item in super().read_many(rows)]

        @property
        def gather(self) -> None:
            return None

    rows = Negated(RangeDataset(1, 7), slice(None))
    assert list(DataLoader(list).batch_size(3).build(rows)) == [[-1, -2, -3], [-4, -5, -6]]
    assert list(DataLoader(list).batch_size(3).build(rows.map(abs))) == [[1, 2, 3], [4, 5, 6]]


class Doubled(RangeDataset):
    def read(self, row: int) -> int:
        return 2 * super().read(row)


class Doubles:
    def read(self, row: int) -> int:
        return 2 * row


class DoubledMap(Doubles, MappedDataset[Any]):
    pass


@pytest.mark.parametrize("dataset", [Doubled(4), DoubledMap(range(4), lambda x: x)])
def test_a_new_read_is_not_passed_by(dataset: BaseDataset[Any]) -> None:
    assert list(dataset) == [dataset[i] for i in range(4)] == [0, 2, 4, 6]
    assert list(dataset.read_range(range(1, 3))) == [2, 4]
    assert list(dataset[::-1].read_many([0, 1, 3])) == [6, 4, 0]
    assert dataset.gather is None


class Offset(BaseDataset[int]):
    """A dataset of somebody else's, without a fingerprint of its own."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __len__(self) -> int:
        return 10

    def read(self, row: int) -> int:
        return self.start + row


class Told(Offset):
    """The same, with one."""

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"start": self.start}


def test_arguments_that_a_fingerprint_does_not_tell_are_found() -> None:
    with pytest.raises(AssertionError, match=r"define Offset\.fingerprint\(\)"):
        check_public_dataset(Offset(1), other=Offset(2))
    check_public_dataset(Told(1), other=Told(2))
    assert Told(1).shuffle(seed=3).fingerprint()["source"] == {"rows": 10, "start": 1}
    with pytest.raises(StateError, match="the state was saved with start 1, and this dataset has 2"):
        iter(DataLoader().build(Told(2))).set_state(iter(DataLoader().build(Told(1))).get_state())


class Pair(NamedTuple):
    x: Any
    y: Any


NUMBERS = np.arange(10)


@pytest.mark.parametrize(
    ("dataset", "calls"),
    [
        (RangeDataset(10).shuffle(seed=0)[2:], False),
        (ArrayDataset({"x": NUMBERS, "y": [NUMBERS, (NUMBERS,)]}).cast(np.int8).cache(), False),
        (RangeDataset(10).mix(ArrayDataset(NUMBERS), weights=[1, 1]), False),
        (ArrayDataset(Pair(NUMBERS, NUMBERS)), True),
        (as_dataset(UserList(range(10))), True),
        (Squares(10), True),
        (Doubled(10), True),
        (RangeDataset(10).map(float, vectorized=True), True),
        (RangeDataset(10) + RangeDataset(10).map(float), True),
    ],
)
def test_only_what_is_loadaxs_own_says_that_it_calls_no_user_code(dataset: BaseDataset[Any], calls: bool) -> None:
    assert dataset.calls_user_code is calls


NOT_OF_THE_CHAIN = {
    "at_epoch",
    "build_warnings",
    "content_fingerprint",
    "describe",
    "fingerprint",
    "gather_range",
    "read",
    "read_many",
    "read_range",
}
"""The methods that a subclass defines or a loader calls."""

CHAIN = {name for name, method in vars(BaseDataset).items() if inspect.isfunction(method) and name[0] != "_"}


@pytest.mark.parametrize("name", sorted(CHAIN - NOT_OF_THE_CHAIN))
def test_methods_describe_their_own_arguments(name: str) -> None:
    method: Any = getattr(BaseDataset, name)
    text = inspect.getdoc(method) or ""
    for argument, parameter in list(inspect.signature(method).parameters.items())[1:]:
        star = r"\*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        assert re.search(rf"^    {star}{argument}: ", text, re.MULTILINE), f"{name} does not say what {argument} is"
