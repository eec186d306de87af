"""What a type checker knows about the batches in a training loop. `make types` checks it; here it runs as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, assert_type

import numpy as np
import numpy.typing as npt
from loadax import (
    ArrayDataset,
    BaseDataset,
    Batcher,
    CastDataset,
    DataLoader,
    InMemoryDataset,
    Loader,
    LoaderIterator,
    PadBatcher,
    Preview,
    RangeDataset,
    ShuffledDataset,
    StackBatcher,
    Stats,
    make_mesh,
    progress,
)


class Digit(TypedDict):
    image: npt.NDArray[np.float32]
    label: npt.NDArray[np.int32]


def total(items: list[int]) -> int:
    return sum(items)


def lengths(items: list[str]) -> list[int]:
    return [len(item) for item in items]


def first(items: Sequence[int]) -> int:
    return items[0]


def test_batcher_gives_the_loop_variable_its_type() -> None:
    loader = DataLoader(Batcher(total)).batch_size(2).build(RangeDataset(0, 4, 1))
    assert_type(loader, Loader[int])
    assert_type(iter(loader), LoaderIterator[int])
    assert_type(iter(loader).start(), LoaderIterator[int])
    assert_type(loader.peek(), Preview)
    assert_type(next(iter(loader)), int)
    for batch in loader:
        assert_type(batch, int)
    assert_type(list(loader), list[int])


def test_what_is_counted_gets_the_type_of_the_batch() -> None:
    counted = DataLoader(Batcher(total)).batch_size(2).count(total=lambda batch: assert_type(batch, int))
    loader = counted.build(RangeDataset(0, 4, 1))
    assert_type(loader, Loader[int])
    batches = iter(loader)
    assert [*batches, batches.stats().counts["total"]] == [1, 5, 6]


def test_function_in_place_of_a_batcher() -> None:
    assert_type(DataLoader(total).build(RangeDataset(3)), Loader[int])
    assert_type(DataLoader(lengths).build(["a", "bc"]), Loader[list[int]])
    assert_type(DataLoader(first).build([1, 2]), Loader[int])


def test_a_function_of_any_items_is_told_what_they_are() -> None:
    for items in DataLoader(Batcher[str, list[str]](list)).build(["a", "b"]):
        assert_type(items, list[str])
    for number in DataLoader(Batcher[str, int](lambda items: len(items))).build(["a", "b"]):  # noqa: PLW0108 (a lambda is what is shown)
        assert_type(number, int)


def test_types_survive_every_call_of_the_chain() -> None:
    loader = (
        DataLoader(Batcher(lengths))
        .batch_size(2, drop_remainder=True)
        .workers(2)
        .prefetch(2)
        .timeout(60)
        .epochs(2)
        .build(["a", "bc", "def"])
    )
    assert_type(loader, Loader[list[int]])
    assert_type(loader.epoch(1), Loader[list[int]])
    with iter(loader) as batches:
        assert_type(batches, LoaderIterator[list[int]])
        assert_type(next(batches), list[int])
        assert_type(batches.get_state(), dict[str, Any])
        assert_type(batches.stats(), Stats)
        assert_type(batches.steps_left, int | None)
    for batch in progress(loader):
        assert_type(batch, list[int])
    for batch in progress(iter(loader)):
        assert_type(batch, list[int])


def test_stacked_dicts_are_dicts() -> None:
    rows = InMemoryDataset([{"x": np.zeros(3), "y": np.ones(3)}])
    assert_type(DataLoader().batch_size(2).build(rows), Loader[dict[str, Any]])
    assert_type(DataLoader().batch_size(2).prefetch(2, to_device=True).build(rows), Loader[dict[str, Any]])
    for batch in DataLoader().workers(2).build(rows.shuffle(seed=1)):
        assert_type(batch, dict[str, Any])
    arrays = ArrayDataset({"x": np.zeros((4, 3), np.float32), "y": np.arange(4)})
    assert_type(DataLoader().build(arrays), Loader[dict[str, Any]])
    assert_type(DataLoader().prefetch(2, to_device=True).build(arrays.shuffle(seed=1)), Loader[dict[str, Any]])
    assert_type(DataLoader().build(arrays.map(lambda row: {"x": row["x"] / 255})), Loader[dict[str, Any]])
    assert_type(DataLoader().build((arrays + arrays).cache()[:2]), Loader[dict[str, Any]])
    counted = DataLoader().count(rows=lambda batch: len(batch["y"])).epochs(2)
    assert_type(counted.build(arrays), Loader[dict[str, Any]])
    nested = ArrayDataset({"pair": {"left": np.zeros(4), "right": np.zeros(4)}, "label": np.arange(4)})
    assert_type(DataLoader().build(nested), Loader[dict[str, Any]])


def test_padded_dicts_are_dicts() -> None:
    ragged = [{"ids": np.arange(n)} for n in (1, 3)]
    assert_type(DataLoader(PadBatcher(multiple_of=4)).batch_size(2).build(ragged), Loader[dict[str, Any]])
    assert_type(DataLoader(StackBatcher()).build(ragged), Loader[dict[str, Any]])
    assert_type(DataLoader(PadBatcher()).build([np.arange(2)]), Loader[Any])


def test_other_stacked_and_placed_batches_are_any() -> None:
    # What a stack of items is, no type can say: an int becomes an array.
    assert_type(DataLoader().build(RangeDataset(3)), Loader[Any])
    untyped: Any = [1, 2]
    assert_type(DataLoader().build(untyped), Loader[Any])
    assert_type(DataLoader().build(RangeDataset(3).map(float, vectorized=True)), Loader[Any])
    # Of a builder that comes from elsewhere, nobody knows what its batcher returns.
    builder: DataLoader[Any, Any] = DataLoader(total)
    assert_type(builder.build([{"x": 1}][:0]), Loader[Any])
    # On a device, the batcher's arrays are other arrays.
    assert_type(DataLoader(total).prefetch(2, to_device=True).build(RangeDataset(3)), Loader[Any])
    assert_type(DataLoader(total).prefetch(2, to_device=False).build(RangeDataset(3)), Loader[int])


def test_any_batch_can_be_given_a_type() -> None:
    images = ArrayDataset(Digit(image=np.zeros((2, 8, 8), np.float32), label=np.zeros(2, np.int32)))
    loader: Loader[Digit] = DataLoader().prefetch(2, to_device=True).build(images)
    for batch in loader:
        assert_type(batch, Digit)


def test_sharding_keeps_the_type_of_the_local_batch() -> None:
    assert_type(DataLoader(total).shard(make_mesh()).build(RangeDataset(2)), Loader[int])


def test_items_of_datasets() -> None:
    strings = InMemoryDataset(["a", "bc"])
    assert_type(strings, InMemoryDataset[str])
    assert_type(strings[0], str)
    assert_type(strings[:1], BaseDataset[str])
    assert_type(list(strings), list[str])
    assert_type(RangeDataset(3)[0], int)
    digits = ArrayDataset(Digit(image=np.zeros((2, 8, 8), np.float32), label=np.zeros(2, np.int32)))
    assert_type(digits[0], Digit)


def test_arrays_in_a_dict_are_used_as_people_write_them() -> None:
    floats, ints = np.zeros((4, 3), np.float32), np.arange(4)
    rows = ArrayDataset({"x": floats, "y": ints})
    assert_type(rows, ArrayDataset[dict[str, npt.NDArray[Any]]])
    assert rows.map(lambda row: row["x"] / 255)[0].shape == (3,)
    assert rows.map(lambda row: {**row, "x": row["x"].astype(np.float16)})[1]["y"] == 1
    assert rows.map(lambda row: {"x": row["x"] - 1, "large": row["y"] > 2}, vectorized=True)[3]["large"]

    def brighten(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"x": row["x"] + 1}

    def draw(row: dict[str, npt.NDArray[Any]], rng: np.random.Generator) -> float:
        return float(row["x"][0] + rng.random())

    assert_type(rows.map(brighten).random_map(draw, seed=1), BaseDataset[float])
    for batch in DataLoader().batch_size(2).build(rows.shuffle(seed=1).map(brighten)):
        assert batch["x"].sum() == 6
    nested = ArrayDataset({"image": {"left": floats, "right": floats}, "label": ints})
    assert_type(nested, ArrayDataset[dict[str, Any]])
    assert nested.map(lambda row: row["image"]["left"] / 255)[0].shape == (3,)
    pairs = ArrayDataset((floats, ints))
    assert pairs.map(lambda pair: pair[0] / 255)[0].shape == (3,)
    untyped: Any = ints
    assert_type(ArrayDataset(untyped), ArrayDataset[Any])


def test_items_of_transformed_datasets() -> None:
    strings = InMemoryDataset(["a", "bc"])
    assert_type(strings.map(len), BaseDataset[int])
    assert_type(strings.map(len).map(float)[0], float)
    assert_type(strings.shuffle(seed=1)[0], str)
    assert_type(ShuffledDataset(strings)[0], str)
    assert_type(ShuffledDataset(["a"])[0], str)

    def draw(item: str, rng: np.random.Generator) -> float:
        return len(item) + rng.random()

    assert_type(strings.random_map(draw)[0], float)
    assert_type(strings.map(len).shuffle(), BaseDataset[int])
    # Which arrays an item has, its type does not say in a way that a cast could change.
    assert_type(strings.map(len).cast(np.float32), BaseDataset[Any])
    assert_type(RangeDataset(2).zip(RangeDataset(2)).map(list).cast("int32").shuffle()[0], Any)
    assert_type(InMemoryDataset([{"a": 1}]).cast({"a": np.int32}), BaseDataset[Any])
    assert_type(CastDataset([1, 2], float), CastDataset)
    assert_type(DataLoader(total).build(strings.map(len).shuffle()), Loader[int])
