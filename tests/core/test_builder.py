from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any, Literal

import elsewhere
import numpy as np
import pytest
from loadax_core import DataLoader, Loader, PadBatcher
from loadax_core import distributed as resolve
from loadax_core.testing import check_dataset


class Sharded:
    """Two data shards, of which this process holds the second."""

    def local_rows(self, batch_size: int, /) -> Any:
        if batch_size % 2:
            raise ValueError(f"2 data shards cannot divide {batch_size} rows")
        return np.arange(batch_size // 2, batch_size)

    def distribute_global_batch(self, local_batch: Any, /) -> Any:
        return ("global", local_batch.tolist())


def values(loader: Loader[Any]) -> list[list[int]]:
    return [batch.tolist() for batch in loader]


def test_every_call_returns_a_new_builder() -> None:
    base = DataLoader().batch_size(2)
    two, three = base.epochs(2), base.batch_size(3).workers(1)
    assert [len(builder.build(range(6))) for builder in (base, two, three)] == [3, 6, 2]
    assert "workers" not in repr(base)
    assert repr(three) == "DataLoader(StackBatcher(), batch_size=3, workers=1)"


def test_nothing_set_is_one_row_a_batch_in_the_callers_thread() -> None:
    loader = DataLoader().build([5, 6])
    assert values(loader) == [[5], [6]]
    assert "none; the caller loads" in repr(loader)


@pytest.mark.parametrize(
    ("builder", "workers"),
    [
        (DataLoader().prefetch(2), "1 thread, prefetch 2"),
        (DataLoader().prefetch(), "1 thread, prefetch auto"),
        (DataLoader().workers(3), "3 threads, prefetch 2"),
        (DataLoader().workers(3).prefetch(0), "3 threads, prefetch 0"),
        (DataLoader().timeout(1.5), "1 thread, prefetch 0"),
        (DataLoader().prefetch(0), "none; the caller loads"),
        (DataLoader().workers(0), "none; the caller loads"),
    ],
)
def test_defaults_of_workers_and_prefetch(builder: DataLoader[Any, Any], workers: str) -> None:
    loader = builder.batch_size(2).build(range(3))
    assert f"workers: {workers}\n" in repr(loader)
    assert values(loader) == [[0, 1], [2]]


@pytest.mark.parametrize(
    ("calls", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer of at least 1, got 2.0"),
        ({"batch_size": True}, TypeError, "batch_size must be an integer of at least 1, got True"),
        ({"workers": -1}, ValueError, "workers must be at least 0, got -1"),
        ({"workers": "4"}, TypeError, "workers must be an integer of at least 0, or an executor, got '4'"),
        ({"prefetch": -2}, ValueError, "prefetch must be at least 0, got -2"),
        ({"prefetch": 1.5}, TypeError, "prefetch must be an integer of at least 0, got 1.5"),
        ({"prefetch": 2.5}, TypeError, "prefetch must be an integer of at least 0, got 2.5$"),
        ({"prefetch": True}, TypeError, r"prefetch must .*, got True; where .* by name, prefetch\(to_device=True\)"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"epochs": -1}, ValueError, "epochs must be at least 1, got -1; None makes a run without an end"),
        ({"timeout": 0}, ValueError, "timeout must be a positive number of seconds, got 0"),
        ({"timeout": 1e30}, ValueError, r"timeout must be at most \d+ seconds, got 1e\+30; None waits for ever"),
        ({"timeout": 10**400}, ValueError, r"timeout must be at most \d+ seconds, got 1000"),
        ({"timeout": "1"}, TypeError, "timeout must be a number of seconds, got '1'"),
        ({"workers": 0, "prefetch": 2}, ValueError, r"prefetch\(2\) needs a worker, .* set \.workers\(1\)"),
        ({"prefetch": None, "workers": 0}, ValueError, r"prefetch\(\) needs a worker"),
        ({"timeout": 1, "workers": 0}, ValueError, r"timeout\(1\) needs a worker"),
    ],
)
def test_a_wrong_setting_fails_in_the_call_that_makes_it(
    calls: dict[str, Any], error: type[Exception], message: str
) -> None:
    *right, (last, value) = calls.items()
    builder = DataLoader()
    for name, argument in right:
        builder = getattr(builder, name)(argument)
    with pytest.raises(error, match=message):
        getattr(builder, last)(value)


def test_a_strategy_takes_no_axis() -> None:
    with pytest.raises(ValueError, match="a ShardingStrategy fixes the data axis"):
        DataLoader().shard(Sharded(), "rows")  # pyright: ignore[reportArgumentType]


class OddLength:
    def __len__(self) -> Any:
        return 2.5  # noqa: PLE0303

    def __getitem__(self, row: int) -> int:
        return row


class NoLength:
    def __getitem__(self, row: int) -> int:
        return row


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (iter([1]), r"and <list_iterator .*> has no \[i\]; collect its rows into a list"),
        ((i for i in range(3)), r"<generator .*> has no \[i\]"),
        ({*range(100)}, r"and \{0, 1, .*, 21\.\.\. has no \[i\]"),
        (3, r"and 3 has no \[i\]"),
        (None, r"and None has no \[i\]"),
        (NoLength, r"NoLength is a class; give a dataset, such as NoLength\(\.\.\.\)"),
        (OddLength(), r"len\(\) of <.*OddLength.*> fails: 'float' object cannot be interpreted as an integer"),
        ({"x": [1, 2]}, r"a dict has keys, not rows; ArrayDataset makes rows of a dict of arrays"),
        ((np.zeros(3), np.ones(3)), r"a tuple of 2 arrays would be a dataset of 2 rows; ArrayDataset\(\(x, y\)\)"),
        ("abc", r"a str is one item, not a dataset: 'abc'; put it in a list"),
        (NoLength(), r"and <.*NoLength.*> has no len\(\)"),
    ],
)
def test_what_is_no_dataset_is_refused(dataset: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        DataLoader().build(dataset)


def test_tables_of_other_packages_are_refused() -> None:
    series = type("Series", (list,), {"__module__": "pandas.core.series"})
    with pytest.raises(TypeError, match=r"a pandas Series does not give row i for \[i\]; ArrayDataset\(series"):
        DataLoader().build(series([1, 2]))


def test_what_is_no_batcher_is_refused() -> None:
    with pytest.raises(TypeError, match="a batcher is a callable that takes a list of items, got 3"):
        DataLoader(3)  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(TypeError, match=r"got \[1, 2\]; give the dataset to build: DataLoader\(\)\.batch_size"):
        DataLoader([1, 2])  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(TypeError, match=r"PadBatcher is a class; give a batcher, such as PadBatcher\(\.\.\.\)"):
        DataLoader(PadBatcher)


def test_settings_that_are_given_to_the_constructor_are_explained() -> None:
    loader: Any = DataLoader
    with pytest.raises(TypeError, match=r"takes a batcher, and no batch_size, shuffle; settings are calls, as in Data"):
        loader([1, 2, 3], batch_size=2, shuffle=True)


def test_a_flag_that_is_no_bool_is_refused() -> None:
    wrong: Any = "False"
    with pytest.raises(TypeError, match="drop_remainder must be True or False, got 'False'"):
        DataLoader().batch_size(2, drop_remainder=wrong)


def test_a_setting_cannot_be_assigned() -> None:
    builder: Any = DataLoader()
    with pytest.raises(AttributeError, match="'batch_size' is read-only"):
        builder.batch_size = 4


def test_rows_that_make_no_batch_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="no batch: 3 rows are fewer than batch_size 4, and drop_remainder") as caught:
        loader = DataLoader().batch_size(4, drop_remainder=True).build(range(3))
    assert caught[0].filename == __file__
    assert list(loader) == []


def test_an_endless_loader_without_batches_is_refused() -> None:
    for builder, rows in ((DataLoader().batch_size(4, drop_remainder=True), 3), (DataLoader(), 0)):
        with pytest.raises(ValueError, match=f"would never yield a batch: {rows} rows"):
            builder.epochs(None).build(range(rows))


def test_numpy_integers_are_integers() -> None:
    assert len(DataLoader().batch_size(np.int64(2)).build(range(4))) == 2  # pyright: ignore[reportArgumentType]


def test_sizes() -> None:
    assert len(DataLoader().batch_size(4).epochs(3).build(range(10))) == 9
    assert len(DataLoader().batch_size(4, drop_remainder=True).build(range(10))) == 2
    endless = DataLoader().batch_size(4).epochs(None).build(range(10))
    assert endless.steps_per_epoch == 3
    assert endless
    with pytest.raises(TypeError, match="endless and has no len"):
        len(endless)


def test_plain_objects_need_no_wrapper() -> None:
    class Squares:
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> int:
            if not 0 <= i < 4:
                raise IndexError(i)
            return i * i

    builder = DataLoader().batch_size(3)
    assert values(builder.build(Squares())) == [[0, 1, 4], [9]]
    assert values(builder.build([1, 2, 3, 4])) == [[1, 2, 3], [4]]
    assert values(builder.build(np.arange(8).reshape(4, 2))) == [[[0, 1], [2, 3], [4, 5]], [[6, 7]]]


def test_a_shape_will_do_for_a_length() -> None:
    class Stored:
        shape = (4, 2)

        def __getitem__(self, row: int) -> Any:
            return np.full(2, row)

    stored: Any = Stored()
    loader = DataLoader().batch_size(3).build(stored)
    assert values(loader) == [[[0, 0], [1, 1], [2, 2]], [[3, 3]]]
    assert "└─ Stored of shape (4, 2)" in repr(loader)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("gathered", [False, True])
def test_a_strategy_may_leave_a_process_no_row(gathered: bool, workers: int) -> None:
    class Nothing(Sharded):
        def local_rows(self, batch_size: int, /) -> Any:
            return np.empty(0, np.int64)

    builder = DataLoader() if gathered else DataLoader(list)
    loader: Any = builder.batch_size(2).workers(workers).shard(Nothing()).build(np.zeros((6, 2)))
    assert [len(batch) for batch in loader] == [0, 0, 0]


def test_sharding_loads_the_local_rows_and_keeps_batch_size_global() -> None:
    builder = DataLoader().batch_size(4).shard(Sharded())
    loader = builder.build(range(8))
    assert len(loader) == 2
    assert values(loader) == [[2, 3], [6, 7]]
    assert loader.sharding_strategy is not None
    assert loader.sharding_strategy.distribute_global_batch(np.array([2, 3])) == ("global", [2, 3])
    assert list(builder.prefetch(1, to_device=True).build(range(8))) == [("global", [2, 3]), ("global", [6, 7])]


def test_lengths_that_would_differ_between_processes_are_refused_by_build() -> None:
    rows = [[1], [2, 3], [4], [5, 6, 7]]
    for batcher in (PadBatcher(), PadBatcher(multiple_of=4), PadBatcher([2, 4])):
        builder = DataLoader(batcher).batch_size(4)
        with pytest.raises(ValueError, match=r"all 4 rows of a batch: .* lengths, .*; give one length for all"):
            builder.shard(Sharded()).build(rows)
        builder.build(rows)
    loader: Any = DataLoader(PadBatcher([3])).batch_size(4).shard(Sharded()).build(rows)
    assert next(iter(loader))[0].tolist() == [[4, 0, 0], [5, 6, 7]]


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_batcher_keeps_the_rows_first_where_they_are_divided(kind: Literal["thread", "process"]) -> None:
    builder = DataLoader(elsewhere.as_columns).batch_size(6).shard(Sharded()).workers(1, kind=kind)
    message = r"batch has shape \(1, 3\), made of 3 rows, and \.shard divides the first dimension"
    with pytest.raises(ValueError, match=message), iter(builder.prefetch(1, to_device=True).build(range(6))) as batches:
        next(batches)
    # Whoever distributes batches by hand may want to reshape them first.
    assert next(iter(builder.build(range(6)))).tolist() == [[3, 4, 5]]


def test_batches_that_the_shards_cannot_divide_are_refused_by_build() -> None:
    with pytest.raises(ValueError, match="2 data shards cannot divide 3 rows"):
        DataLoader().batch_size(3).shard(Sharded()).build(range(6))
    with pytest.raises(ValueError, match=r"the last batch .* has 3 rows instead of 4.*drop_remainder=True.*pad_to_mul"):
        DataLoader().batch_size(4).shard(Sharded()).build(range(7))
    assert len(DataLoader().batch_size(4, drop_remainder=True).shard(Sharded()).build(range(7))) == 1


def test_a_device_beside_a_strategy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "device_placement", str)
    with pytest.raises(ValueError, match=r"to_device names another place; use \.prefetch\(to_device=True\)"):
        DataLoader().prefetch(1, to_device="a device").shard(Sharded())


def test_without_loadax_distributed_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loadax_distributed", None)
    mesh: Any = object()
    with pytest.raises(ImportError, match=r"shard.* pip install loadax-distributed"):
        DataLoader().shard(mesh)
    with pytest.raises(ImportError, match=r"to_device.* pip install loadax-distributed"):
        DataLoader().prefetch(1, to_device=True).build([1])


def test_a_broken_dependency_is_not_reported_as_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "loadax_distributed.py").write_text("import a_module_that_is_missing\n")
    monkeypatch.delitem(sys.modules, "loadax_distributed", raising=False)
    monkeypatch.syspath_prepend(tmp_path)  # pyright: ignore[reportUnknownMemberType]
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing"):
        DataLoader().prefetch(1, to_device=True).build([1])


def test_a_loader_tells_its_dataset_and_batch_size() -> None:
    dataset = [1, 2, 3]
    loader = DataLoader().batch_size(2).build(dataset)
    assert (loader.dataset, loader.batch_size) == (dataset, 2)
    assert loader.epoch(1).dataset is dataset

    class Shaped:
        shape = (5, 2)

        def __getitem__(self, row: int) -> int:
            return row

    shaped: Any = Shaped()
    assert len(DataLoader().build(shaped).dataset) == 5


def test_a_loader_shows_its_dataset_and_plan() -> None:
    class Tree(list[int]):
        def __repr__(self) -> str:
            return "Tree\n└─ Leaf"

    class Described:
        def __len__(self) -> int:
            return 10

        def __getitem__(self, row: int) -> int:
            return row

        def __repr__(self) -> str:
            return "Shuffled\n└─ Rows"

    assert "└─ Tree" in repr(DataLoader().build(Tree()))
    assert repr(DataLoader().batch_size(4).workers(2).epochs(None).build(Described())) == (
        "Loader\n"
        "├─ rows: 10 an epoch, in order\n"
        "├─ batches: 3 an epoch, of 4 rows, the last of 2\n"
        "├─ batcher: StackBatcher()\n"
        "├─ epochs: endless\n"
        "├─ workers: 2 threads, prefetch 2\n"
        "├─ placement: on the host\n"
        "├─ memory: known after loader.peek(), which reads one batch\n"
        "└─ Shuffled\n"
        "   └─ Rows"
    )


@pytest.mark.parametrize("shown", ["/data/train.jpg, " * 1_000_000, None])
def test_what_a_dataset_shows_is_not_kept_and_need_not_be_shown(shown: str | None) -> None:
    class Rows:
        asked = 0

        def __len__(self) -> int:
            return 3

        def __getitem__(self, row: int) -> int:
            return row

        def __repr__(self) -> str:
            Rows.asked += 1
            if shown is None:
                raise LookupError
            return shown

    loader = DataLoader().build(Rows())
    assert Rows.asked == 0
    assert repr(loader).endswith("\n└─ Rows")


@pytest.mark.parametrize("seconds", [np.int64(5), np.float32(5), Fraction(5)])
def test_a_timeout_is_any_real_number(seconds: Any) -> None:
    assert "timeout=5.0" in repr(DataLoader().timeout(seconds))


@pytest.mark.parametrize("array", [np.arange(4, dtype=">i4"), np.array(["a", "bb"]), np.array([1, 2], object)])
def test_arrays_whose_items_stack_to_something_else_are_not_gathered(array: Any) -> None:
    check_dataset(array)
