"""Memory comes back without running Python code, and whoever asks for it at the same time gets other memory."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from itertools import count
from types import FrameType
from typing import Any

import numpy as np
import pytest
from loadax_core.memory import segments
from loadax_core.memory.mapped import Mapped
from loadax_core.memory.pool import MOST_IDLE, Pool
from loadax_core.memory.segments import LEAST_SHARED, Segments
from loadax_core.memory.shared import Shared, open_shared

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no worker processes")


def python_calls(do: Callable[[], object]) -> list[str]:
    """The functions written in Python that are called by `do`, but for itself."""
    calls: list[str] = []

    def called(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(called)
    do()
    sys.setprofile(before)
    return calls[1:]


def received(sender: Segments, value: Any) -> tuple[Mapped, Any]:
    """What another process gets that is sent a value."""
    mapped = Mapped()
    packed, fds = sender.pack(value)
    mapped.add(packed, [os.dup(fd) for fd in fds])
    sender.sent()
    return mapped, mapped.unpack(packed)


def test_no_lease_runs_python_code_when_it_ends() -> None:
    """An interrupt there would be printed and lost."""
    sender = Segments()
    here: list[Any] = [sender((1 << 16,), np.uint8)]
    mapped, there = received(sender, here)
    # A list of its own, which is emptied by the interpreter itself.
    assert python_calls(here.clear) == []
    assert python_calls(there.clear) == []
    assert mapped.ended() == [0]
    pooled = [Pool()((1 << 16,), np.uint8)]
    assert python_calls(pooled.clear) == []


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize("cycle", [False, True])
def test_a_shared_dataset_closes_its_file_without_running_python_code(cycle: bool) -> None:
    gc.collect()
    before = descriptors()
    shared: Any = Shared({"x": np.arange(LEAST_SHARED)})
    held = [shared]
    body, places, nbytes = shared.description()
    opened: dict[str, Any] = open_shared(body, places, nbytes, os.dup(shared.fd()))
    np.testing.assert_array_equal(opened["x"], np.arange(LEAST_SHARED))
    assert descriptors() == before + 1
    if cycle:
        shared.itself = shared
    del shared
    held_by = python_calls(held.clear)
    gc.collect()
    assert held_by == []
    assert descriptors() == before


def test_memory_is_given_back_to_a_sender_that_is_collected_first() -> None:
    sender = Segments()
    array = sender((1 << 16,), np.uint8)
    mapped, there = received(sender, [array])
    del sender, mapped
    gc.collect()
    there[0][:] = 5
    assert (array == 5).all()


def test_a_pool_may_add_a_kind_while_another_thread_makes_room() -> None:
    """As the garbage collector lets other threads run wherever something is allocated."""
    pool, sizes = Pool(), count(1)
    kept = [pool((1 << 16, n), np.uint8) for n in range(1, 40)]

    def add(phase: str, info: object) -> None:
        if phase == "stop":
            pool((next(sizes),), np.uint8)

    threshold = gc.get_threshold()
    gc.callbacks.append(add)
    gc.set_threshold(1)
    try:
        for n in range(30):
            pool((7, n + 1), np.uint8)
    finally:
        gc.callbacks.remove(add)
        gc.set_threshold(*threshold)
    assert next(sizes) > 20, "the collector did not run"
    del kept


@pytest.mark.parametrize("make", [Pool, Segments])
def test_arrays_that_live_at_the_same_time_have_memory_of_their_own(make: Callable[[], Any]) -> None:
    alloc, errors = make(), list[str]()
    meeting = threading.Barrier(4)

    def work(number: int) -> None:
        meeting.wait()
        for size in range(40):
            held = [alloc((1 << 16, 1 + (size + i) % 3), np.uint8) for i in range(3)]
            for i, array in enumerate(held):
                array[::4096] = 10 * number + i
            for i, array in enumerate(held):
                if not (array[::4096] == 10 * number + i).all():
                    errors.append(f"thread {number} sees another one's bytes")

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []


def test_two_threads_that_ask_at_once_get_two_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Segments()
    # Two that are idle, of which both threads would choose the first.
    idle = [sender((1 << 16,), np.uint8) for _ in range(2)]
    del idle
    chosen = threading.Barrier(2)

    def choosing(*args: Any, **options: Any) -> Any:
        segment = min(*args, **options)
        with suppress(threading.BrokenBarrierError):
            # Whoever comes first waits for the other, which cannot come as long as a lock is held.
            chosen.wait(0.2)
        return segment

    monkeypatch.setattr(segments, "min", choosing, raising=False)
    with ThreadPoolExecutor(2) as pool:
        arrays = list(pool.map(sender, [(1 << 16,)] * 2, [np.uint8] * 2))
    assert arrays[0].ctypes.data != arrays[1].ctypes.data


def test_what_could_not_be_sent_is_filled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that fails on the way counts for nobody, or its memory would never come back."""
    sender = Segments()
    array = sender((1 << 16,), np.uint8)
    address = array.ctypes.data

    def no_room(nbytes: int) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(segments, "anonymous_file", no_room)
        with pytest.raises(OSError, match="Too many open files"):
            sender.pack([array, np.zeros(1 << 20, np.uint8)])
    del array
    assert sender((1 << 16,), np.uint8).ctypes.data == address


def test_arrays_of_one_message_that_must_be_copied_share_a_segment() -> None:
    sender = Segments()
    arrays = [np.full(LEAST_SHARED + n, n, np.uint8) for n in range(200)]
    mapped, there = received(sender, arrays)
    assert len(mapped._memory) == 1
    for array, other in zip(arrays, there, strict=True):
        assert other.ctypes.data % 64 == 0
        np.testing.assert_array_equal(array, other)
        other[:] = 1


def test_a_sender_keeps_a_bounded_amount_of_idle_memory() -> None:
    sender = Segments()
    mapped = Mapped()
    for n in range(1, 60):
        array = sender((n << 20,), np.uint8)
        array[::4096] = n
        packed, fds = sender.pack([array])
        mapped.add(packed, [os.dup(fd) for fd in fds])
        sender.sent()
        (there,) = mapped.unpack(packed)
        assert (there[::4096] == n).all()
        del array, there
        sender.release(mapped.ended())
    assert sum(memory.array.nbytes for memory in mapped._memory.values()) < MOST_IDLE + (2 * 60 << 20)


def kinds_of_arrays() -> list[Any]:
    """Arrays of 64 KiB and more that Python's own buffers do not know, or that do not lie in one piece."""
    numbers = np.arange(60_000).reshape(200, 300)
    arrays: list[Any] = [
        numbers.astype("M8[s]"),
        numbers.astype(">m8[s]"),
        np.array([(1, "2026-01-01")] * 9_000, [("row", ">i4"), ("day", "M8[D]")]),
        np.asfortranarray(numbers.astype("M8[s]")),
        numbers[:, ::-2],
        numbers.astype(">i4")[::2],
        np.broadcast_to(np.arange(300, dtype=">f8"), (200, 300)),
    ]
    with suppress(ImportError):
        ml_dtypes = import_module("ml_dtypes")
        arrays += [numbers.astype(ml_dtypes.bfloat16), numbers[:, :, None].repeat(2, 2).astype(ml_dtypes.float8_e4m3fn)]
    return arrays


@pytest.mark.parametrize("array", kinds_of_arrays(), ids=lambda array: f"{array.dtype}{array.strides}")
def test_arrays_of_any_dtype_and_layout_are_shared_and_arrive_as_they_are(array: Any) -> None:
    sender = Segments()
    packed, _ = sender.pack([array])
    sender.sent()
    assert len(packed.body) < 1000
    shared = Shared({"data": array})
    assert len(shared.description()[0]) < 1000
    _, [there] = received(Segments(), [array])
    opened = open_shared(*shared.description(), os.dup(shared.fd()))["data"]
    for other in (there, opened):
        assert (other.dtype, other.shape) == (array.dtype, array.shape)
        assert other.tobytes() == array.tobytes()
        assert other.flags.fnc == array.flags.fnc


@pytest.mark.parametrize("dtype", ["bfloat16", "M8[s]", ">i4"])
def test_an_array_that_lies_in_a_segment_is_not_copied_whatever_its_dtype(dtype: Any) -> None:
    if dtype == "bfloat16":
        dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    sender = Segments()
    array = sender((300, 400), dtype)
    packed, _ = sender.pack([array])
    sender.sent()
    assert len(packed.buffers) == len(sender._numbered) == 1
    assert packed.buffers[0][1:] == (0, array.nbytes)


@pytest.mark.parametrize("shape", [(), (0, 5), (5, 0, 3), (2, 3)])
@pytest.mark.parametrize("dtype", ["f4", ">M8[s]", "S0", "O"])
def test_small_and_empty_arrays_arrive_as_they_are(shape: tuple[int, ...], dtype: str) -> None:
    array = np.zeros(shape, dtype)
    array.flags.writeable = False
    _, other = received(Segments(), array)
    assert (other.dtype, other.shape, other.tolist()) == (array.dtype, shape, array.tolist())
