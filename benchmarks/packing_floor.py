"""How fast NumPy can pack documents at all: a loop by hand to which the plan is given, beside Loadax and plain copies.

Run as `python -m benchmarks.packing_floor`. The documents are those of W12. Each line of the table writes the same
batches of 32 rows, 13 bytes a token, into as many buffers as a loader keeps:

- `copies`: rows that were packed and stored before are copied in their order. It is the limit of W12 without a shuffle.
- `by hand`: the loop knows beforehand which values of which documents follow each other in a batch. It joins them, and
  writes targets, segments, positions and the mask. Nothing is planned, looked up or checked.
- `Loadax`: `packed.gather_range`, which finds out what is in the rows, and writes the same, bit for bit.

A share is taken within a round: of the rate of the copies with as many threads, which share nothing. The table shows
the median of the rounds with the least and the most.
"""

from __future__ import annotations

import argparse
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from loadax import JaggedDataset
from loadax_core.memory.pool import Pool

from .limits import PACKED_BYTES
from .sources import Documents, documents
from .summary import Spread
from .works import WORKS, kept

BATCH = 32
SIZES = 2_048, 8_192

Batch = dict[str, np.ndarray]


class Known(NamedTuple):
    """What is in a batch: its pieces, padding included, one after the other.

    Attributes:
        bounds: Where each piece begins and ends in the bytes of the documents; padding lies behind these.
        lengths: How many values it has.
        begins: Where it begins in the batch, modulo 65,536.
        lasts: Where documents and padding end there, at their last values.
        cuts: Where pieces end there that another row continues.
        following: The values that come next in the documents of these pieces.
        numbers: Its number in its row; 0 for padding.
        padding: The places of padding.
    """

    bounds: list[tuple[int, int]]
    lengths: np.ndarray
    begins: np.ndarray
    lasts: np.ndarray
    cuts: np.ndarray
    following: np.ndarray
    numbers: np.ndarray
    padding: list[slice]


def known(packed: Any, data: Documents, first: int) -> Known:
    """What Loadax plans for the batch that begins with a row."""
    (pieces,) = packed.trace(np.arange(first, first + BATCH), 0)
    starts = data.offsets[pieces.rows] + pieces.starts
    goes_on = starts + pieces.lengths < data.offsets[pieces.rows + 1]
    found: list[tuple[int, int, int, bool]] = []
    for row in range(BATCH):
        here = np.flatnonzero(pieces.of == row)
        columns = starts[here], pieces.lengths[here], np.arange(1, len(here) + 1), goes_on[here]
        found += zip(*(column.tolist() for column in columns), strict=True)
        missing = data.size - int(pieces.lengths[here].sum())
        if missing:
            found.append((len(data.values), missing, 0, False))
    begins, lengths, numbers, cut = (np.array(column) for column in zip(*found, strict=True))
    stops = np.cumsum(lengths)
    places, blank = stops - lengths, numbers == 0
    return Known(
        bounds=list(zip((2 * begins).tolist(), (2 * (begins + lengths)).tolist(), strict=True)),
        lengths=lengths,
        begins=places.astype(np.uint16),
        lasts=stops[~cut] - 1,
        cuts=stops[cut] - 1,
        following=data.values[(begins + lengths)[cut]],
        numbers=numbers.astype(np.uint16),
        padding=[slice(*pair) for pair in zip(places[blank].tolist(), stops[blank].tolist(), strict=True)],
    )


def by_hand(data: memoryview, plan: Known, counting: np.ndarray, batch: Batch) -> None:
    """Writes a batch; the fastest way that was found for each of its arrays."""
    tokens, targets, segments, positions, mask = (array.reshape(-1) for array in batch.values())
    tokens.view(np.uint8).data[:] = b"".join([data[begin:end] for begin, end in plan.bounds])
    targets[:-1] = tokens[1:]
    targets[plan.lasts] = 0
    targets[plan.cuts] = plan.following
    np.copyto(segments, plan.numbers.repeat(plan.lengths))
    places = plan.begins.repeat(plan.lengths)
    np.copyto(positions, np.subtract(counting, places, out=places))
    mask.fill(True)
    mask[plan.lasts] = False
    for blank in plan.padding:
        positions[blank] = 0
        mask[blank] = False


def rate(write: Callable[[int, int], None], batches: int, threads: int, seconds: float) -> float:
    """Batches per second of several threads together, each of which writes others: `write(batch, thread)`."""
    start, rates = threading.Barrier(threads), [0.0] * threads

    def loop(thread: int) -> None:
        start.wait()
        began, count = perf_counter(), 0
        for batch in cycle(range(thread, batches, threads)):
            write(batch, thread)
            count += 1
            if perf_counter() - began > seconds:
                break
        rates[thread] = count / (perf_counter() - began)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(loop, range(threads)))
    return sum(rates)


def shares(size: int, count: int, rounds: int, seconds: float) -> dict[tuple[str, int], tuple[float, Spread | None]]:
    """For each line and number of threads: the best rate, in batches per second, and its share of the copies' rate.

    Raises:
        AssertionError: If the loop by hand writes other values than Loadax.
    """
    data = documents(count, size)
    packed: Any = JaggedDataset.from_arrays(data.values, data.offsets).pack(size, seed=0)
    nbytes = 13 * BATCH * size
    batches = min(len(packed) // BATCH, PACKED_BYTES // nbytes)
    pool = Pool()
    ready: list[Batch] = [
        {name: array.copy() for name, array in packed.gather_range(range(first, first + BATCH), pool).items()}
        for first in range(0, batches * BATCH, BATCH)
    ]
    plans = [known(packed, data, first) for first in range(0, batches * BATCH, BATCH)]
    source = np.append(data.values, np.zeros(size, np.uint16)).view(np.uint8).data
    counting = np.arange(BATCH * size).astype(np.uint16)
    buffers = kept(WORKS[f"W12-{size}"], nbytes)

    for plan, expected in zip(plans, ready, strict=True):
        batch = {name: np.empty_like(array) for name, array in expected.items()}
        by_hand(source, plan, counting, batch)
        assert all(np.array_equal(batch[name], expected[name]) for name in expected)

    def copy(batch: int, out: Batch) -> None:
        for name, array in ready[batch].items():
            np.copyto(out[name], array)

    def lines(threads: int) -> dict[str, Callable[[int, int], None]]:
        """What to measure; each thread has its own part of the buffers, and holds as many batches of Loadax."""
        many = buffers // threads
        outs = [
            cycle([{name: np.ones_like(array) for name, array in ready[0].items()} for _ in range(many)])
            for _ in range(threads)
        ]
        held: list[deque[Any]] = [deque(maxlen=many) for _ in range(threads)]
        return {
            "copies": lambda batch, thread: copy(batch, next(outs[thread])),
            "by hand": lambda batch, thread: by_hand(source, plans[batch], counting, next(outs[thread])),
            "Loadax": lambda batch, thread: held[thread].append(
                packed.gather_range(range(batch * BATCH, (batch + 1) * BATCH), pool)
            ),
        }

    result: dict[tuple[str, int], tuple[float, Spread | None]] = {}
    for threads in (1, 2):
        own = lines(threads)
        rates = [{name: rate(write, batches, threads, seconds) for name, write in own.items()} for _ in range(rounds)]
        for name in own:
            best = max(found[name] for found in rates)
            result[name, threads] = best, Spread.of(found[name] / found["copies"] for found in rates)
    return result


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="few documents, to see that it works")
    arguments = parser.parse_args()
    count, seconds = (3_000, 0.01) if arguments.quick else (100_000, 0.3)
    print("   size  threads  what      Mtokens/s  share of the copies")
    for size in SIZES[:1] if arguments.quick else SIZES:
        for (name, threads), (best, share) in shares(size, count, arguments.rounds, seconds).items():
            assert share is not None
            spread = "{:.2f} ({:.2f}-{:.2f})".format(*share)
            print(f"{size:7,}  {threads:7}  {name:8}  {best * BATCH * size / 1e6:9.0f}  {spread}")


if __name__ == "__main__":
    main()
