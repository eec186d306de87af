from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import pytest
from loadax_core import Batcher, DataLoader, PadBatcher, StackBatcher, StackError
from loadax_core.testing import check_same


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclass
class Sample:
    image: Any
    label: Any


stack = StackBatcher()


def test_a_batcher_calls_its_function() -> None:
    assert Batcher(sum)([1, 2]) == 3
    with pytest.raises(TypeError, match="a batcher is a callable that takes a list of items, got 3"):
        Batcher(3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("items", "dtype"),
    [
        ([True, False], "bool"),
        ([1, 2], "int64"),
        ([1.5, 2.0], "float64"),
        ([1j, 2j], "complex128"),
        ([np.uint8(1), np.uint8(2)], "uint8"),
        ([np.float16(1), np.float16(2)], "float16"),
        ([np.datetime64("2020-01-01"), np.datetime64("2021-01-01")], "datetime64[D]"),
        (["a", "long\0"], "object"),
        ([b"a\0", b"b"], "object"),
    ],
)
def test_scalars_keep_their_kind(items: list[Any], dtype: str) -> None:
    got = stack(items)
    assert got.dtype == dtype
    assert got.tolist() == [item.item() if isinstance(item, np.generic) else item for item in items] or dtype[0] == "d"
    assert got[1] == items[1]


def test_every_container_is_stacked_leaf_by_leaf() -> None:
    def item(i: int) -> Any:
        return {"a": [i, (i * 2.0, None)], "b": Pair(np.full((2, 3), i, np.int8), Sample(i > 0, "x" * i))}

    got = stack([item(0), item(1)])
    expected = {
        "a": [np.array([0, 1]), (np.array([0.0, 2.0]), None)],
        "b": Pair(
            np.stack([np.zeros((2, 3), np.int8), np.ones((2, 3), np.int8)]),
            Sample(np.array([False, True]), np.array(["", "x"], object)),
        ),
    }
    check_same(got, expected)
    assert type(got["b"]) is Pair
    assert type(got["b"].y) is Sample


def test_batches_start_aligned() -> None:
    got = stack([np.ones(7, np.float32)] * 3)
    assert got.ctypes.data % 64 == 0


@pytest.mark.parametrize(
    ("items", "message", "pair"),
    [
        ([{"a": 1}, {"b": 1}], r"batch: item 0 has keys \['a'\] but item 1 has keys \['b'\]", (0, 1)),
        ([[1, 2], [1, 2], [1]], r"batch: item 0 has length 2 but item 2 has length 1", (0, 2)),
        ([{"a": 1}, {"a": 2}, {"a": 2.5}], r"batch\['a'\]: item 0 has type int but item 2 has type float", (0, 2)),
        ([{"a": 1}, {"a": True}], r"batch\['a'\]: item 0 has type int but item 1 has type bool", (0, 1)),
        ([(1, None), (1, 2)], r"batch\[1\]: item 0 has type NoneType but item 1 has type int", (0, 1)),
        (
            [np.zeros((4, 5, 3)), np.zeros((6, 5, 3))],
            r"but item 1 has shape \(6, 5, 3\); map them to one shape .* crops or resizes them; PadBatcher pads",
            (0, 1),
        ),
        (
            [Pair(np.zeros(3), 0), Pair(np.zeros(3), 0), Pair(np.zeros(4), 0)],
            r"batch\.x: item 0 has shape \(3,\) but item 2 has shape \(4,\); PadBatcher pads",
            (0, 2),
        ),
        ([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))], r"shape \(4, 5, 3\); map them to one shape in", (0, 1)),
        ([np.zeros(()), np.zeros(3)], r"shape \(3,\); map them to one shape in the dataset", (0, 1)),
        ([np.zeros(3), np.zeros(3, "f4")], r"batch: item 0 has dtype float64 but item 1 has dtype float32", (0, 1)),
        ([np.zeros(3), 1.0], r"batch: item 0 has type ndarray but item 1 has type float", (0, 1)),
    ],
)
def test_items_that_differ_are_refused_by_leaf_and_item(items: list[Any], message: str, pair: tuple[int, int]) -> None:
    with pytest.raises(StackError, match=message) as caught:
        stack(items)
    assert caught.value.items == pair


@pytest.mark.parametrize("batcher", [StackBatcher(), PadBatcher()])
def test_items_that_are_none_are_no_batch(batcher: Any) -> None:
    with pytest.raises(StackError, match="items that are None; does a transform lack its `return`"):
        batcher([None, None])
    assert batcher([{"x": 1, "y": None}])["y"] is None


def test_what_cannot_be_stacked_is_refused_by_leaf_and_type() -> None:
    with pytest.raises(TypeError, match=r"cannot stack batch\['when'\]: a date is neither an array nor a number"):
        stack([{"when": date(2020, 1, 1)}])
    with pytest.raises(OverflowError, match=rf"cannot stack batch\['n'\]: {2**70}, of item 1, does not fit int64"):
        stack([{"n": 1}, {"n": 2**70}])


def test_the_rows_that_differ_are_named_by_the_loader() -> None:
    rows = [{"x": np.zeros(2)}] * 5 + [{"x": np.zeros(3)}]
    with pytest.raises(StackError) as caught:
        list(DataLoader().batch_size(4).build(rows))
    assert caught.value.__notes__ == [
        "loadax: item 0 is row 4, item 1 is row 5",
        "loadax: while batching the batch of epoch 0, step 1",
    ]


@pytest.mark.parametrize("batcher", [StackBatcher(), PadBatcher()])
def test_the_rows_of_a_batch_that_cannot_be_made_are_named_by_the_loader(batcher: Any) -> None:
    rows: list[Any] = [np.ones(2)] * 5 + [np.ma.array([1.0, 2.0], mask=[True, False])]
    with pytest.raises(TypeError, match="masked array") as caught:
        list(DataLoader(batcher).batch_size(4).build(rows))
    assert caught.value.__notes__ == [
        "loadax: made of rows 4, 5",
        "loadax: while batching the batch of epoch 0, step 1",
    ]


ragged = [{"ids": np.array([1, 2, 3]), "y": 0}, {"ids": np.array([4]), "y": 1}]


def test_padding_to_the_longest() -> None:
    got = PadBatcher()(ragged)
    assert list(got) == ["ids", "ids_lengths", "y"]
    check_same(got["ids"], np.array([[1, 2, 3], [4, 0, 0]]))
    check_same(got["ids_lengths"], np.array([3, 1], np.int32))
    check_same(got["y"], np.array([0, 1]))


def test_padding_to_a_length_a_multiple_and_with_a_mask() -> None:
    assert PadBatcher(5)(ragged)["ids"].shape == (2, 5)
    got = PadBatcher(multiple_of=4, value=-1, add="mask")(ragged)
    check_same(got["ids"], np.array([[1, 2, 3, -1], [4, -1, -1, -1]]))
    check_same(got["ids_mask"], np.array([[True, True, True, False], [True, False, False, False]]))
    assert list(PadBatcher(add=None)(ragged)) == ["ids", "y"]


def test_padding_to_the_least_of_several_lengths_that_fits() -> None:
    lengths: list[Any] = [8, np.int64(2), 4]
    batcher = PadBatcher(lengths)
    assert [batcher([np.ones(n), np.ones(1)])[0].shape for n in (0, 2, 3, 5, 8)] == [(2, n) for n in (2, 2, 4, 8, 8)]
    assert batcher.length is None
    assert repr(batcher) == "PadBatcher(length=[2, 4, 8], value=0, add='lengths')"
    with pytest.raises(StackError, match=r"item 1 has length 9, more than length=\[2, 4, 8\]; cut it in the dataset"):
        batcher([np.ones(1), np.ones(9)])
    assert PadBatcher([3]).length == 3
    # Each leaf has the one that fits it.
    got = batcher([{"question": [1], "answer": [1, 2, 3]}])
    assert (got["question"].shape, got["answer"].shape) == ((1, 2), (1, 4))


class Animal(IntEnum):
    CAT = 1
    DOG = 2


def test_members_of_an_int_enum_are_stacked_as_their_numbers() -> None:
    check_same(StackBatcher()([Animal.DOG, Animal.CAT]), np.array([2, 1]))
    with pytest.raises(StackError, match="item 0 has type Animal but item 1 has type int"):
        StackBatcher()([Animal.DOG, 1])


def test_lists_of_which_all_are_empty_have_no_dtype() -> None:
    with pytest.raises(TypeError, match=r"cannot pad batch\['ids'\]: all its lists are empty .* np\.array\(ids"):
        PadBatcher(4)([{"ids": []}, {"ids": []}])
    with pytest.raises(TypeError, match=r"or as in np\.array\(boxes, np\.float32\)\.reshape"):
        PadBatcher()([{"boxes": []}])
    empty = np.array([], np.int32)
    check_same(PadBatcher(2, add=None)([empty, empty]), np.zeros((2, 2), np.int32))


def test_lists_of_lists_may_be_empty() -> None:
    boxes, none = np.arange(8, dtype=np.float32).reshape(2, 4), np.zeros((0, 0), np.float32)
    expected = np.stack([boxes, np.zeros_like(boxes)])
    pairs: list[tuple[Any, Any]] = [
        (boxes, none),
        (boxes, np.array([], np.float32).reshape(-1, 4)),
        (list(boxes), []),
        (list(boxes), none),
    ]
    for one, other in pairs:
        check_same(PadBatcher(add=None)([one, other]), expected)
        check_same(PadBatcher(add=None)([other, one]), expected[::-1])
    check_same(PadBatcher(add=None)([none, none]), np.zeros((2, 0, 0), np.float32))
    with pytest.raises(StackError, match=r"item 0 has .* but item 1 has"):
        PadBatcher()([boxes, none.astype(np.float64)])
    check_same(PadBatcher(add=None)([[], np.array([1], np.int32)]), np.array([[0], [1]], np.int32))


def test_lists_that_are_ragged_themselves_are_named() -> None:
    with pytest.raises(ValueError, match=r"cannot make an array of batch\['x'\] of item 1, \[\[1\], \[2, 3\]\]: "):
        PadBatcher()([{"x": [[1]]}, {"x": [[1], [2, 3]]}])


def test_a_ragged_leaf_beside_the_keys_is_told_of_them() -> None:
    with pytest.raises(StackError, match="it is none of the keys, and PadBatcher pads only these"):
        PadBatcher(keys=["y"])([{"x": np.ones(1), "y": [1]}, {"x": np.ones(2), "y": [2]}])


def test_padding_bare_arrays_tuples_and_lists_gives_pairs() -> None:
    values, lengths = PadBatcher()([np.ones(2), np.ones(1)])
    check_same(values, np.array([[1.0, 1.0], [1.0, 0.0]]))
    assert lengths.tolist() == [2, 1]
    (values, lengths), label = PadBatcher()([([1, 2], 5), ([], 6)])
    check_same(values, np.array([[1, 2], [0, 0]]))
    assert (lengths.tolist(), label.tolist()) == ([2, 0], [5, 6])


@pytest.mark.parametrize("words", [["a", "b"], [b"a", b"b"], np.array(["a", "b"]), [{"a": 1}, {"a": 2}]])
def test_what_are_no_numbers_is_not_padded(words: Any) -> None:
    items: list[Any] = [{"x": np.arange(n), "words": words} for n in (1, 2)]
    with pytest.raises(TypeError, match=r"cannot pad batch\['words'\]: its dtype is .*; encode it as numbers, or name"):
        PadBatcher()(items)
    assert PadBatcher(keys=["x"])(items[:1])["x_lengths"].tolist() == [1]


def test_only_the_named_keys_are_padded() -> None:
    items = [{"ids": np.ones(n), "image": np.ones((2, 2))} for n in (1, 2)]
    assert list(PadBatcher(keys=["ids"])(items)) == ["ids", "ids_lengths", "image"]


class Tokens(NamedTuple):
    image: Any
    label: Any


def entries(image: Any, label: Any) -> dict[str, Any]:
    return {"image": image, "label": label}


@pytest.mark.parametrize("make", [Sample, Tokens, entries])
def test_named_fields_are_padded_like_entries_and_other_lists_are_stacked(make: Any) -> None:
    got = PadBatcher(keys=["image"], add=None)([make([1, 2], [0, 1]), make([3], [2, 3])])
    check_same(got, make(np.array([[1, 2], [3, 0]]), [np.array([0, 2]), np.array([1, 3])]))


def test_a_key_that_names_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"names 'idz', which the items do not have; they have \['ids'\], \['y'\]"):
        PadBatcher(keys=["ids", "idz"])(ragged)
    got = PadBatcher(keys=["ids"])([{"ids": [], "y": 0}, {"ids": [1], "y": 1}])
    check_same(got["ids"], np.array([[0], [1]]))


def test_a_batcher_shows_its_settings() -> None:
    assert repr(PadBatcher(keys=["b", "a"])) == "PadBatcher(keys=['a', 'b'], value=0, add='lengths')"


@pytest.mark.parametrize("batcher", [StackBatcher(), PadBatcher()])
def test_masked_arrays_are_refused(batcher: Any) -> None:
    items: list[Any] = [np.ones(2), np.ma.array([1.0, 2.0], mask=[True, False])]
    with pytest.raises(TypeError, match=r"masked array in item 1, whose mask a batch would lose; fill it with .filled"):
        batcher(items)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"length": 0}, ValueError, "length must be at least 1, got 0"),
        ({"multiple_of": 2.5}, TypeError, "multiple_of must be an integer of at least 1, got 2.5"),
        ({"length": 3, "multiple_of": 2}, ValueError, "leave multiple_of=2 out"),
        ({"length": [2, 0]}, ValueError, "length must be at least 1, got 0"),
        ({"length": []}, ValueError, "length is an empty sequence"),
        ({"length": "12"}, TypeError, "length must be an integer of at least 1 or several of them, got '12'"),
        ({"length": np.array([2, 4])}, TypeError, r"at least 1 or several of them, got array\(\[2, 4\]\)"),
        ({"length": 2.5}, TypeError, "length must be an integer of at least 1 or several of them, got 2.5"),
        ({"value": "x"}, TypeError, "value is a number, or a dict from names to numbers, got 'x'"),
        ({"value": {"ids": [1, 2]}}, TypeError, r"dict from names to numbers, got \[1, 2\]"),
        ({"add": "size"}, ValueError, "add must be 'lengths', 'mask' or None, got 'size'"),
        ({"keys": "ids"}, TypeError, r"write \['ids'\]"),
    ],
)
def test_wrong_padding_settings(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PadBatcher(**settings)


@pytest.mark.parametrize("first", [np.ones(2), [1.0, 1.0]])
def test_a_tuple_is_no_array_to_be_padded_whichever_item_comes_first(first: Any) -> None:
    items: list[Any] = [first, (1.0, 2.0)]
    for these in (items, items[::-1]):
        one, other = (type(item).__name__ for item in these)
        with pytest.raises(StackError, match=f"cannot stack batch: item 0 has type {one} but item 1 has type {other};"):
            PadBatcher()(these)


def test_items_that_cannot_be_padded() -> None:
    with pytest.raises(StackError, match=r"cannot pad batch\['ids'\]: item 0 has length 3, more than length=2"):
        PadBatcher(2)(ragged)
    with pytest.raises(StackError, match="only the first dimension may differ"):
        PadBatcher()([np.ones((2, 3)), np.ones((2, 4))])
    with pytest.raises(StackError, match="dtype int64 but item 1 has dtype float64"):
        PadBatcher()([np.ones(2, int), np.ones(2)])
    with pytest.raises(ValueError, match="already has an entry 'ids_lengths'"):
        PadBatcher()([{"ids": np.ones(1), "ids_lengths": 1}])


def test_each_name_may_have_its_own_padding() -> None:
    class Pair(NamedTuple):
        ids: Any
        weight: Any

    items = [
        {"ids": [5, 6, 7], "labels": [1, 2, 3], "more": Pair(ids=[1.5], weight=[True, True]), "score": 1},
        {"ids": [8], "labels": [4], "more": Pair(ids=[2.5, 3.5], weight=[True]), "score": 2},
    ]
    batch = PadBatcher(value={"labels": -100, "more": 1, "weight": 0}, add=None)(items)
    expected = {
        "ids": np.array([[5, 6, 7], [8, 0, 0]]),
        "labels": np.array([[1, 2, 3], [4, -100, -100]]),
        "more": Pair(np.array([[1.5, 1.0], [2.5, 3.5]]), np.array([[True, True], [True, False]])),
        "score": np.array([1, 2]),
    }
    check_same(batch, expected)
    assert repr(PadBatcher(value={"labels": -100})) == "PadBatcher(value={'labels': -100}, add='lengths')"


def test_padding_by_name_is_checked() -> None:
    items = [{"ids": [5, 6]}, {"ids": [7]}]
    with pytest.raises(ValueError, match=r"value names 'label', which the items do not have; they have \['ids'\]"):
        PadBatcher(value={"label": 0})(items)
    with pytest.raises(ValueError, match=r"cannot pad batch\['ids'\]: value=0\.5 is no int64"):
        PadBatcher(value={"ids": 0.5})(items)
    check_same(PadBatcher(value={}, add=None)(items), {"ids": np.array([[5, 6], [7, 0]])})


def test_padding_that_its_leaf_cannot_hold_names_the_leaf() -> None:
    items: list[Any] = [{"ids": np.arange(2)}, {"ids": np.arange(3)}]
    for value in (float("nan"), -1.5):
        with pytest.raises(ValueError, match=rf"cannot pad batch\['ids'\]: value={value} is no int64; choose another"):
            PadBatcher(value=value)(items)
    for kind, number in (("int4", 300), ("uint4", -1)):
        short = np.dtype(getattr(pytest.importorskip("ml_dtypes"), kind))
        with pytest.raises(ValueError, match=f"value={number} is no {kind}; choose another"):
            PadBatcher(value=number)([np.ones(1, short), np.ones(2, short)])
        check_same(PadBatcher(value=7, add=None)([np.zeros(1, short), np.ones(2, short)])[0], np.array([0, 7], short))
    with pytest.raises(ValueError, match=r"value=2\.7 is no bool"):
        PadBatcher(value=2.7)([np.ones(1, bool), np.ones(2, bool)])
    check_same(PadBatcher(value=0.1, add=None)([np.ones(1, "f2"), np.ones(2, "f2")])[0], np.array([1, 0.1], "f2"))
    check_same(PadBatcher(value=True, add=None)([np.zeros(1, bool), np.zeros(2, bool)])[0], np.array([False, True]))


def test_items_that_differ_are_named_though_the_first_is_empty() -> None:
    columns = [np.zeros((0, 5)), np.zeros((2, 3))]
    with pytest.raises(
        StackError, match=r"item 1 has shape \(2, 3\) but item 0 has shape \(0, 5\); only the"
    ) as raised:
        PadBatcher()(columns)
    assert raised.value.items == (1, 0)


def test_padded_dicts_stay_what_they_are() -> None:
    got = PadBatcher()([OrderedDict(b=[1], a=[1, 2]), OrderedDict(b=[3], a=[4])])
    assert (type(got), list(got)) == (OrderedDict, ["b", "b_lengths", "a", "a_lengths"])
    # JAX could not sort numbers and names.
    got = PadBatcher()([{0: [1, 2]}, {0: [3]}])
    assert list(got) == [0]
    assert [part.tolist() for part in got[0]] == [[[1, 2], [3, 0]], [2, 1]]
