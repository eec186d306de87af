"""map and random_map."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import DataLoader, PadBatcher, StackError, aligned_empty, testing, tree
from loadax_datasets import (
    ArrayDataset,
    BaseDataset,
    InMemoryDataset,
    MappedDataset,
    RandomMappedDataset,
    RangeDataset,
    as_dataset,
)
from loadax_datasets.orders.keys import derive_keys


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def double(x: Any) -> Any:
    return x * 2


def label(batch: dict[str, Any]) -> dict[str, Any]:
    return {"y": batch["x"].sum(axis=-1), "tag": np.array(["odd", "even"])[batch["n"] % 2], "n": batch["n"]}


def draw(x: int, rng: np.random.Generator) -> float:
    return x + float(rng.random())


def test_map(check_dataset: CheckDataset) -> None:
    check_dataset(RangeDataset(7).map(double), [2 * i for i in range(7)], gathers=False)
    check_dataset(MappedDataset(["a", "b"], double), ["aa", "bb"], gathers=False)


def test_vectorized_map(check_dataset: CheckDataset) -> None:
    check_dataset(RangeDataset(7).map(double, vectorized=True), [np.int64(2 * i) for i in range(7)], gathers=True)
    arrays = {"x": np.arange(12.0).reshape(4, 3), "n": np.arange(4)}
    expected = [
        {"y": arrays["x"][i].sum(), "tag": np.array(["odd", "even"][i % 2], "U4"), "n": np.int64(i)} for i in range(4)
    ]
    check_dataset(ArrayDataset(arrays).map(label, vectorized=True), expected, gathers=True)


def test_vectorized_map_stacks_the_items_of_a_source_that_cannot_gather(check_dataset: CheckDataset) -> None:
    source = InMemoryDataset([{"x": float(i)} for i in range(4)])

    def negate(batch: dict[str, Any]) -> dict[str, Any]:
        return {"x": -batch["x"]}

    rows = source.map(negate, vectorized=True)
    assert rows.gather is not None
    assert rows.gather(np.arange(4), aligned_empty)["x"].tolist() == [0.0, -1.0, -2.0, -3.0]
    check_dataset(source.map(len).map(double, vectorized=True), [np.int64(2)] * 4, gathers=True)


def test_vectorized_map_is_called_once_for_many_rows() -> None:
    sizes: list[int] = []

    def note(x: Any) -> Any:
        sizes.append(len(x))
        return x

    rows = RangeDataset(100).map(note, vectorized=True).shuffle(seed=1)
    assert rows.gather is not None
    rows.gather(np.arange(32), aligned_empty)
    rows.read_many(list(range(8)))
    rows[0]
    assert sizes == [32, 8, 1]


def test_a_vectorized_map_of_no_rows() -> None:
    nothing = np.array([], np.int64)
    rows = RangeDataset(3).map(double, vectorized=True)
    assert rows.gather is not None
    assert rows.gather(nothing, aligned_empty).shape == (0,)
    rows = as_dataset([1, 2]).map(double, vectorized=True)
    assert rows.gather is not None
    assert rows.read_many([]) == []
    with pytest.raises(ValueError, match=r"gathers no rows, and IndexedDataset, .* ask for at least one row"):
        rows.gather(nothing, aligned_empty)


def drop_one(x: Any) -> Any:
    return {"a": x, "b": x[:-1]}


def add_dimension(x: Any) -> Any:
    return x[None]


def forgets(x: Any) -> None:
    x + 1


def test_a_vectorized_map_that_returns_nothing_is_told_so() -> None:
    with pytest.raises(ValueError, match="must return the new rows, but forgets returned None"):
        RangeDataset(10).map(forgets, vectorized=True)[0]


@pytest.mark.parametrize("fn", [sum, drop_one, add_dimension])
def test_vectorized_map_must_return_as_many_rows(fn: Any) -> None:
    rows = RangeDataset(10).map(fn, vectorized=True)
    assert rows.gather is not None
    with pytest.raises(ValueError, match=r"a vectorized map of 5 rows must return as many, but .* returned batch"):
        rows.gather(np.arange(5), aligned_empty)


def swapped(batch: Any) -> Any:
    return {"x": (batch * 2.0).astype(">f8"), "pair": np.stack([batch, batch], 1).astype(">i2")}


def fields(batch: Any) -> Any:
    return np.array([(i, (i, 0.5)) for i in batch.tolist()], [("n", ">i4"), ("x", ">f4", (2,))])


def objects(batch: Any) -> Any:
    numbers = batch.tolist()
    return {
        "number": np.array(numbers, object),
        "text": np.array([str(i) for i in numbers], object),
        "pair": np.array([[i, None] for i in numbers], object),
        "tree": np.array([{"a": float(i)} for i in numbers], object),
        "swapped": batch.astype(">i8"),
    }


def unmasked(batch: Any) -> Any:
    return np.ma.masked_array(batch, batch < 0)


@pytest.mark.parametrize("fn", [swapped, fields, objects, unmasked])
def test_a_gather_of_a_vectorized_map_is_the_stack_of_its_items(fn: Any) -> None:
    rows = RangeDataset(9).map(fn, vectorized=True)
    testing.check_dataset(rows)
    for path, leaf in tree.leaves(next(iter(DataLoader().batch_size(4).build(rows)))):
        assert type(leaf) is np.ndarray, path
        assert leaf.dtype == leaf.dtype.newbyteorder("="), path


def test_a_mask_that_a_batch_would_lose_is_refused() -> None:
    rows = RangeDataset(9).map(lambda batch: {"x": np.ma.masked_array(batch, batch == 3)}, vectorized=True)
    loader = DataLoader().batch_size(3).build(rows)
    with iter(loader) as batches:
        assert next(batches)["x"].tolist() == [0, 1, 2]
        with pytest.raises(TypeError, match=r"lambda>, returned batch\['x'\] as a masked array, .*\.filled\("):
            next(batches)


def test_objects_of_a_vectorized_map_that_do_not_stack_are_padded() -> None:
    rows = RangeDataset(3).map(lambda batch: {"x": _ragged(batch)}, vectorized=True)
    with pytest.raises(StackError, match=r"item 0 has shape .* item 1 has shape .*PadBatcher") as caught:
        next(iter(DataLoader().batch_size(3).build(rows)))
    assert "loadax: item 0 is row 0, item 1 is row 1" in caught.value.__notes__
    assert next(iter(DataLoader(PadBatcher()).batch_size(3).build(rows)))["x"].shape == (3, 2)


def _ragged(batch: Any) -> Any:
    made = np.empty(len(batch), object)
    made[:] = [np.zeros(i) for i in batch.tolist()]
    return made


def test_jitted_functions_pass_jax_arrays_on(check_dataset: CheckDataset) -> None:
    jax = pytest.importorskip("jax")
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    scale = jax.jit(double)
    item = ArrayDataset(array).map(scale)[1]
    assert isinstance(item, jax.Array)
    assert item.tolist() == [4.0, 6.0]
    many = ArrayDataset(array).map(scale, vectorized=True)
    assert isinstance(many[1], jax.Array)
    assert many.gather is not None
    assert isinstance(many.gather(np.array([2, 0]), aligned_empty), jax.Array)


def test_an_error_arrives_as_it_was_raised() -> None:
    def fail(x: int) -> int:
        raise KeyError("no such thing")

    with pytest.raises(KeyError, match="no such thing"):
        RangeDataset(3).map(fail)[0]


@pytest.mark.parametrize("bad", ["no", 1, None])
def test_what_is_no_flag_is_refused(bad: Any) -> None:
    for make in (RangeDataset(3).map, partial(MappedDataset[Any], RangeDataset(3))):
        with pytest.raises(TypeError, match=f"vectorized must be True or False, got {bad!r}"):
            make(double, vectorized=bad)
    assert RangeDataset(3).map(double, vectorized=cast("Any", np.True_)).gather is not None


@pytest.mark.parametrize("bad", [None, 3, "fn"])
def test_what_cannot_be_called_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=f"map takes a function of an item, got {bad!r}"):
        RangeDataset(3).map(bad)
    with pytest.raises(TypeError, match="random_map takes a function of an item and a generator"):
        RangeDataset(3).random_map(bad)


def test_random_map(check_dataset: CheckDataset) -> None:
    rows = RangeDataset(10).random_map(draw, seed=5)
    check_dataset(rows, [rows[i] for i in range(10)], gathers=False)
    assert [int(x) for x in rows] == list(range(10))
    assert repr(rows).splitlines()[0] == "RandomMappedDataset(draw, seed=5)"


def number(_: Any, rng: np.random.Generator) -> int:
    return int(rng.integers(2**62))


def test_random_numbers_belong_to_one_seed_epoch_and_row() -> None:
    seeds, epochs = (0, 1, 2, 43, 2**64), (0, 1, 2, 43, 2**64)
    drawn = [
        value
        for seed in seeds
        for epoch in epochs
        for value in RangeDataset(50).random_map(number, seed=seed).at_epoch(epoch)
    ]
    assert len(set(drawn)) == len(drawn) == len(seeds) * len(epochs) * 50


@given(rows=st.lists(st.integers(0, 2**62), min_size=2, max_size=6, unique=True), seed=st.integers(0, 2**70))
def test_generators_of_different_rows_share_nothing(rows: list[int], seed: int) -> None:
    def many(_: int, rng: np.random.Generator) -> list[int]:
        return rng.integers(2**62, size=50).tolist()

    dataset = RandomMappedDataset(RangeDataset(2**62 + 1), many, seed=seed)
    drawn = [x for row in rows for x in dataset[row]]
    assert len(set(drawn)) == len(drawn)


def test_a_row_has_the_generator_that_the_algorithm_says() -> None:
    def draw_some(_: int, rng: np.random.Generator) -> list[float]:
        return rng.standard_normal(5).tolist()

    low, high = derive_keys("random_map", 3, 2, 2)
    rows = RangeDataset(2**62 + 1).random_map(draw_some, seed=3).at_epoch(2)
    for row in (0, 7, 2**62):
        generator = np.random.Generator(np.random.Philox(key=high << 64 | low, counter=row << 128))
        assert rows[row] == generator.standard_normal(5).tolist()


def test_generators_that_a_row_spawns_belong_to_it_too() -> None:
    def spawn(_: int, rng: np.random.Generator) -> list[int]:
        return [int(child.integers(2**62)) for child in (*rng.spawn(2), *rng.spawn(1))]

    rows = RangeDataset(20).random_map(spawn, seed=1)
    drawn = list(rows)
    assert drawn == list(rows)
    numbers = [number for row in [*drawn, *rows.at_epoch(1)] for number in row]
    assert len(set(numbers)) == len(numbers)


def test_random_maps_one_after_the_other_draw_anew_with_the_same_seed() -> None:
    def append(numbers: list[float], rng: np.random.Generator) -> list[float]:
        return [*numbers, rng.random()]

    empty: list[list[float]] = [[]] * 500
    rows = InMemoryDataset(empty).random_map(append)
    first = [numbers[0] for numbers in rows]
    drawn = np.array(list(rows.random_map(append).map(list).shuffle(seed=1).random_map(append).at_epoch(0)))
    assert sorted(drawn[:, 0]) == sorted(first)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.2
    zipped = InMemoryDataset(empty).random_map(append).zip(InMemoryDataset(empty).random_map(append))
    assert all(left == right for left, right in zipped)


def test_random_numbers_do_not_depend_on_what_was_read_before() -> None:
    rows = RangeDataset(20).random_map(number, seed=1)
    expected = list(rows)
    assert [rows[i] for i in reversed(range(20))] == expected[::-1]
    assert rows.read_many([7, 7, 3]) == [expected[7], expected[7], expected[3]]


def test_random_numbers_look_uniform_over_rows() -> None:
    n = 20_000
    first = np.array(list(RangeDataset(n).random_map(lambda _, rng: float(rng.random()), seed=3)))
    # Mean, variance and lag-one correlation, each to within 6 standard deviations of what chance allows.
    assert abs(first.mean() - 0.5) < 6 * (1 / 12 / n) ** 0.5
    assert abs(first.var() - 1 / 12) < 6 * (1 / 180 / n) ** 0.5
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 6 / n**0.5


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (True, TypeError), (0.5, TypeError)])
def test_bad_seeds(seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed must be"):
        RangeDataset(3).random_map(draw, seed=seed)


def test_bad_epochs() -> None:
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        RangeDataset(3).random_map(draw).at_epoch(-1)
