from __future__ import annotations

import gc
import mmap
import pickle
import sys
from operator import itemgetter
from types import FrameType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import Alloc, DataLoader, Rows, aligned_empty, gather_array
from loadax_core.memory.pool import LEAST_PINNED, MOST_IDLE, Pool
from loadax_core.memory.segments import Segments


@given(
    st.lists(st.integers(0, 7), max_size=3).map(tuple),
    st.sampled_from(["u1", "f2", "i4", "f8", "c16", "M8[s]", "U5", "?"]),
)
def test_memory_is_aligned_contiguous_and_writable(shape: tuple[int, ...], dtype: str) -> None:
    array = aligned_empty(shape, np.dtype(dtype))
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not array.size or array.ctypes.data % 64 == 0
    array[...] = np.zeros((), dtype)
    assert array.tobytes() == bytes(array.nbytes)


def test_objects_get_memory_too() -> None:
    array = aligned_empty((2,), np.dtype(object))
    array[:] = ["a", None]
    assert array.tolist() == ["a", None]


@pytest.mark.parametrize("dtype", ["u1", "f4", "M8[us]", "U3", object])
def test_gather_takes_rows(dtype: Any) -> None:
    array = np.arange(24).reshape(6, 4).astype(dtype)
    rows = np.array([5, 0, 0, 3])
    got = gather_array(array, rows, aligned_empty)
    assert got.dtype == array.dtype
    assert got.tolist() == array[rows].tolist()


@pytest.mark.parametrize("row", [-1, 6, 10**12])
def test_gather_refuses_rows_outside(row: int) -> None:
    with pytest.raises(IndexError, match=f"row {row} is out of range for 6 rows"):
        gather_array(np.arange(6), np.array([0, row]), aligned_empty)


def test_gather_refuses_rows_that_are_no_integers() -> None:
    with pytest.raises(TypeError, match="rows must be integers, got dtype float64"):
        gather_array(np.arange(6), np.array([0.0]), aligned_empty)


def test_gathering_no_rows_gives_an_empty_batch() -> None:
    assert gather_array(np.ones((3, 2)), np.array([], np.int64), aligned_empty).shape == (0, 2)


BIG = (2**15 + 100,)
FLOAT = np.dtype(np.float64)


def test_a_pool_recycles_memory_that_nobody_sees() -> None:
    pool = Pool()
    addresses: set[int] = set()
    for _ in range(10):
        array = pool(BIG, FLOAT)
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
        addresses.add(array.ctypes.data)
        del array
    assert len(addresses) == 1


@pytest.mark.parametrize("see", [np.ndarray.view, memoryview, itemgetter(slice(5, 7)), np.flip, np.atleast_3d])
def test_whoever_sees_the_memory_keeps_it(see: Any) -> None:
    pool = Pool()
    array = pool(BIG, FLOAT)
    array[:] = 1
    seen, address = see(array), array.ctypes.data
    del array
    other = pool(BIG, FLOAT)
    other[:] = 2
    assert other.ctypes.data != address
    assert np.asarray(seen).max() == np.asarray(seen).min() == 1
    del seen
    assert pool(BIG, FLOAT).ctypes.data == address


class Pins:
    """Where the memory lies that was shown to be prepared."""

    def __init__(self) -> None:
        self.spans: list[range] = []

    def __call__(self, memory: Any) -> None:
        assert memory.dtype == np.uint8
        start = memory.ctypes.data
        assert start % mmap.PAGESIZE == memory.nbytes % mmap.PAGESIZE == 0
        self.spans.append(range(start, start + memory.nbytes))

    def hold(self, array: Any) -> bool:
        assert array.flags.c_contiguous
        start = array.ctypes.data
        return any(start in span and start + array.nbytes - 1 in span for span in self.spans)


def test_memory_is_prepared_when_it_is_used_for_the_second_time() -> None:
    pins = Pins()
    pool = Pool(pins)
    assert not pins.hold(pool(BIG, FLOAT))
    for _ in range(3):
        first, other = pool(BIG, FLOAT), pool(BIG, FLOAT)
        assert pins.hold(first)
        del first, other
    # Each page belongs to one piece of memory only.
    assert len(pins.spans) == 2
    assert not set(pins.spans[0]) & set(pins.spans[1])


def test_small_memory_is_not_prepared() -> None:
    pins = Pins()
    pool = Pool(pins)
    for _ in range(3):
        pool((LEAST_PINNED // 8 - 1,), FLOAT)
    assert not pins.spans


class Place:
    """A placement, and a strategy, that wants memory prepared."""

    def __init__(self) -> None:
        self.pin = Pins()
        self.seen: set[int] = set()
        self.again: list[bool] = []

    def local_rows(self, batch_size: int) -> Any:
        return np.arange(batch_size)

    def distribute_global_batch(self, batch: Any) -> Any:
        if batch.ctypes.data in self.seen:
            self.again.append(self.pin.hold(batch))
        self.seen.add(batch.ctypes.data)
        return batch[0, 0]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("dataset", [np.ones((64, 1 << 13)), list(np.ones((64, 1 << 13)))])
def test_whoever_places_batches_is_shown_the_memory_that_they_lie_in(workers: int, dataset: Any) -> None:
    place = Place()
    chain = DataLoader().batch_size(4).epochs(4).workers(workers).prefetch(workers, to_device=True).shard(place)
    assert list(chain.build(dataset)) == [1.0] * 64
    assert len(place.again) > 10
    assert all(place.again)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e5m2", "float8_e4m3fn", "int4"])
def test_arrays_of_the_numbers_of_another_package(name: str) -> None:
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name))
    rows: Any = np.arange(6).reshape(3, 2).astype(dtype)
    batch = next(iter(DataLoader().batch_size(3).build(rows)))
    assert batch.dtype == dtype
    np.testing.assert_array_equal(batch.astype(float), rows.astype(float))


@pytest.mark.parametrize(
    "dtype", ["f4", ">f8", "?", "c16", "U3", "S5", "M8[us]", "V4", [("a", "i1"), ("b", "f8")], np.object_]
)
@pytest.mark.parametrize("shape", [(4,), (3, 5, 2), (0, 3), (2, 0)])
def test_arrays_of_any_kind(dtype: Any, shape: tuple[int, ...]) -> None:
    dtype, pool = np.dtype(dtype), Pool()
    for _ in range(2):
        array = pool(shape, dtype)
        assert (array.shape, array.dtype, array.flags.c_contiguous) == (shape, dtype, True)
        array[...] = np.zeros((), dtype)
        if not dtype.hasobject and array.size:
            assert array.ctypes.data % 64 == 0


def test_a_pool_keeps_a_bounded_amount_of_idle_memory() -> None:
    pool = Pool()
    shape = (MOST_IDLE // 4,)
    held = [pool(shape, np.dtype(np.uint8)) for _ in range(10)]
    del held
    assert sum(len(shelf.idle) for shelf in pool._shelves.values()) == 4


def test_arrays_of_ever_other_shapes_leave_a_bounded_amount_behind() -> None:
    pool = Pool()
    for n in range(300):
        held = [pool((2**20 + n,), np.dtype(np.uint8)) for _ in range(2)]
        del held
        assert sum(len(shelf.idle) * shelf.nbytes for shelf in pool._shelves.values()) <= MOST_IDLE + 2**22


def test_memory_that_is_in_use_is_not_freed_for_the_sake_of_other_kinds() -> None:
    pool, dtype = Pool(), np.dtype(np.uint8)
    usual, once = (MOST_IDLE // 8,), (MOST_IDLE // 16,)
    # As when the last groups of an epoch are smaller: their memory lies idle beside that of all others.
    held = [pool(once, dtype) for _ in range(16)]
    del held
    held = [pool(usual, dtype) for _ in range(8)]
    addresses = {array.ctypes.data for array in held}
    del held
    for n in range(4):
        pool((2**20 + n,), dtype)
        held = [pool(usual, dtype) for _ in range(8)]
        assert {array.ctypes.data for array in held} == addresses
        del held
    assert (once, dtype) not in pool._shelves


def test_leased_arrays_pickle_and_outlive_their_pool() -> None:
    pool = Pool()
    array = pool(BIG, FLOAT)
    array[:] = 3
    del pool
    gc.collect()
    assert pickle.loads(pickle.dumps(array)).sum() == array.sum() == 3 * array.size


class Counting:
    """Small rows, gathered, that count the calls."""

    rowwise = True

    def __init__(self, fails_at: int = -1) -> None:
        self.calls: list[int] = []
        self.fails_at = fails_at

    def __len__(self) -> int:
        return 2000

    def __getitem__(self, row: int) -> Any:
        if row == self.fails_at:
            raise OSError(row)
        return np.int64(row)

    def gather(self, rows: Rows, alloc: Any) -> Any:
        self.calls.append(len(rows))
        if self.fails_at in rows.tolist():
            raise OSError(self.fails_at)
        return rows * 1


GROUPING = DataLoader().workers(2).prefetch(64)


def test_quick_batches_are_gathered_together_and_stay_apart() -> None:
    dataset = Counting()
    held: list[Any] = []
    for batch in GROUPING.batch_size(4).build(dataset):
        held.append(batch)
        batch += 1
    assert np.concatenate(held).tolist() == list(range(1, 2001))
    assert len(dataset.calls) < 400, "no group was made"
    *others, _ = sorted(dataset.calls, key=dataset.calls.count, reverse=True)
    odd = [size for size in others if size & (size - 1)]
    assert len(odd) <= 1, "only the last group of the epoch may be no power of two of batches"


def test_a_group_ends_with_the_epoch() -> None:
    dataset = Counting()
    batches = [batch.tolist() for batch in GROUPING.batch_size(7).epochs(3).build(dataset)]
    assert batches == [list(range(start, min(start + 7, 2000))) for start in range(0, 2000, 7)] * 3
    assert len(dataset.calls) < len(batches) / 2, "no group was made"


def test_an_error_in_a_group_reaches_only_its_batch() -> None:
    batches = iter(GROUPING.batch_size(4).build(Counting(fails_at=1402)))
    for step in range(350):
        assert next(batches).tolist() == list(range(4 * step, 4 * step + 4))
    with pytest.raises(OSError, match="1402") as caught:
        next(batches)
    assert caught.value.__notes__ == [
        "loadax: raised by row 1402",
        "loadax: while reading the batch of epoch 0, step 350",
    ]


def test_batches_that_are_no_numpy_arrays_are_not_grouped() -> None:
    class OnDevice(Counting):
        def gather(self, rows: Rows, alloc: Any) -> Any:
            return {"x": memoryview(super().gather(rows, alloc))}

    dataset = OnDevice()
    batches = list(GROUPING.batch_size(4).build(dataset))
    assert [row for batch in batches for row in batch["x"]] == list(range(2000))
    assert dataset.calls == [4] * 500


def test_an_epoch_that_is_not_gathered_is_read_as_it_is_asked_for() -> None:
    read: list[int] = []

    class Items:
        def __len__(self) -> int:
            return 2000

        def __getitem__(self, row: int) -> Any:
            read.append(row)
            return np.int64(row)

    class Changing(Counting):
        def at_epoch(self, epoch: int) -> Any:
            return Items() if epoch else self

    batches = iter(DataLoader().batch_size(2).epochs(2).build(Changing()))
    for _ in range(1000):
        next(batches)
    assert next(batches).tolist() == [0, 1]
    assert read == [0, 1]
    assert np.concatenate(list(batches)).tolist() == list(range(2, 2000))


def test_without_workers_a_call_is_for_the_batch_that_is_asked_for() -> None:
    dataset = Counting()
    for _ in DataLoader().batch_size(4).build(dataset):
        pass
    assert dataset.calls == [4] * 500


@pytest.mark.parametrize("alloc", [aligned_empty, Pool(), Segments()])
def test_a_dtype_may_be_named_in_any_way_that_numpy_knows(alloc: Alloc) -> None:
    for dtype in (np.float32, "float32", np.dtype("float32")):
        array = alloc((512, 512), dtype)
        assert (array.shape, array.dtype) == ((512, 512), np.dtype("float32"))
        assert array.ctypes.data % 64 == 0
        assert alloc((0, 3), dtype).shape == (0, 3)
    with pytest.raises(TypeError, match="float33"):
        alloc((2,), "float33")


@pytest.mark.parametrize("alloc", [aligned_empty, Pool(), Segments()])
def test_a_dtype_may_have_no_bytes(alloc: Alloc) -> None:
    for dtype in (np.dtype("V0"), np.dtype([])):
        assert (alloc((4, 2), dtype).shape, alloc((4, 2), dtype).dtype) == ((4, 2), dtype)
    assert len(next(iter(DataLoader().batch_size(3).build(np.zeros(4, "V0"))))) == 3


def test_a_masked_array_keeps_its_mask_or_is_refused() -> None:
    ma: Any = np.ma
    masked: Any = ma.array(np.arange(4).reshape(2, 2), mask=[[0, 1], [0, 0]])
    with pytest.raises(TypeError, match="masked array"):
        next(iter(DataLoader().batch_size(2).build(masked)))


def test_memory_is_returned_without_running_python_code() -> None:
    pool, calls = Pool(), list[str]()
    array = pool((512, 512), np.float32)
    address = array.ctypes.data

    def called(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(called)
    del array
    sys.setprofile(before)
    assert calls == [], "an interrupt there would be printed and lost"
    assert pool((512, 512), np.float32).ctypes.data == address


def test_memory_is_recycled_however_the_dtype_is_named() -> None:
    pool = Pool()
    address = pool((512, 512), np.float32).ctypes.data
    assert pool((512, 512), "float32").ctypes.data == address
    assert pool((512, 512), np.dtype("float32")).ctypes.data == address


def test_four_arrays_that_come_back_at_once_are_kept_however_large_they_are() -> None:
    pool = Pool()
    shape = (MOST_IDLE + 1,)
    arrays = [pool(shape, np.dtype(np.uint8)) for _ in range(6)]
    addresses = {array.ctypes.data for array in arrays}
    del arrays[2:]
    # All that were in use at a time come from what is kept: two held, two ready or on their way.
    again = [pool(shape, np.dtype(np.uint8)) for _ in range(4)]
    assert {array.ctypes.data for array in again} <= addresses
    del arrays, again
    assert [len(shelf.idle) for shelf in pool._shelves.values()] == [4]
