"""What packing costs before the first batch, and how well it packs and mixes documents.

Run as `python -m benchmarks.packing`; with `--readme benchmarks/README.md` the table goes there. Lengths are those of
the works of packed documents. The columns of the table:

- `plan`: the time of `documents.pack(size)`, which plans the rows.
- `padding`: the share of the rows' values that is padding.
- `shared again`: of the pairs of documents that share a row in epoch 0, the share that also do in epoch 1; and what
  it would be if rows were drawn at random. It is left out beyond 100,000 documents.
- `first batch`: the time from a built loader, of a dataset of which no row was read, to the first batch of 32 rows.
- `resume`: the same for the batch in the middle of epoch 1: a new iterator, `set_state`, and `next`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from loadax import DataLoader, JaggedDataset
from loadax.extend import Rows

from .report import markdown, write_between
from .runner import machine
from .sources import lengths_of_documents

BATCH = 32
CASES = [(10_000, 2_048), (100_000, 2_048), (100_000, 8_192), (100_000, 32_768), (1_000_000, 8_192)]
"""The numbers of documents, and the lengths of rows."""

PAIRED = 100_000
"""The most documents whose pairs are counted: each row of n documents has n (n - 1) / 2 pairs."""


class Measured(NamedTuple):
    """The result of one case.

    Attributes:
        rows: The number of rows.
        plan: Seconds of `pack`.
        padding: The share of values that is padding.
        first: Seconds to the first batch.
        resume: Seconds to a batch in the middle of epoch 1.
        again: The share of pairs of documents of epoch 0 that share a row again in epoch 1; None if not counted.
        chance: What `again` would be at random.
    """

    rows: int
    plan: float
    padding: float
    first: float
    resume: float
    again: float | None
    chance: float | None


def measure(count: int, size: int, rounds: int) -> Measured:
    """Packs documents whose values are their numbers, several times over; times are medians of the rounds.

    Args:
        count: The number of documents.
        size: The length of a row.
        rounds: How often to measure each time.
    """
    lengths = lengths_of_documents(count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    numbers = np.repeat(np.arange(count, dtype=np.uint32), lengths)
    documents = JaggedDataset.from_arrays(numbers, offsets)
    times: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        began = perf_counter()
        packed = documents.pack(size, seed=0)
        plan = perf_counter() - began
        times.append((plan, seconds_to_batch(packed), seconds_to_batch(documents.pack(size, seed=0), resume=True)))
    packed = documents.pack(size, seed=0)
    plan, first, resume = (median(some) for some in zip(*times, strict=True))
    padding = 1 - len(numbers) / (len(packed) * size)
    again, chance = shared_again(packed, count) if count <= PAIRED else (None, None)
    return Measured(len(packed), plan, padding, first, resume, again, chance)


def seconds_to_batch(packed: Any, resume: bool = False) -> float:
    """Seconds from a new iterator to its first batch: that of epoch 0, or one in the middle of epoch 1."""
    loader = DataLoader().batch_size(BATCH, drop_remainder=True).epochs(2).build(packed)
    state = iter(loader).get_state() | {"epoch": 1, "row": len(packed) // 2 // BATCH * BATCH}
    began = perf_counter()
    batches = iter(loader)
    if resume:
        batches.set_state(state)
    next(batches)
    return perf_counter() - began


def shared_again(packed: Any, count: int) -> tuple[float, float]:
    """The share of the pairs of documents of epoch 0 that share a row again in epoch 1, and what chance would give.

    Args:
        packed: Packed documents whose values are their numbers.
        count: The number of documents.
    """
    first, second = (pairs_of(packed.at_epoch(epoch), count) for epoch in (0, 1))
    again = len(np.intersect1d(first, second, assume_unique=True))
    return again / max(1, len(first)), len(second) / (count * (count - 1) / 2)


def pairs_of(packed: Any, count: int) -> Rows:
    """The pairs of documents that share a row, each pair as one number."""
    found: list[Rows] = []
    for start in range(0, len(packed), BATCH):
        for row in packed.read_many(list(range(start, min(start + BATCH, len(packed))))):
            begins = (row["positions"] == 0) & (row["segment_ids"] > 0)
            documents = np.unique(row["tokens"][begins]).astype(np.int64)
            lower, upper = np.triu_indices(len(documents), 1)
            found.append(documents[lower] * count + documents[upper])
    return np.unique(np.concatenate(found))


def main() -> None:
    """Prints a table, or writes it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="only the smallest case, to see that it works")
    parser.add_argument("--readme", type=Path, help="a page to write the table into, such as benchmarks/README.md")
    arguments = parser.parse_args()
    text = table({case: measure(*case, arguments.rounds) for case in (CASES[:1] if arguments.quick else CASES)})
    if arguments.readme:
        where = machine()
        text = f"Measured on {where['date']}: {where['cpu']}, {where['cores']} cores.\n\n{text}"
        write_between(arguments.readme, "packing", text)
    else:
        print(text)


def table(found: dict[tuple[int, int], Measured]) -> str:
    """The table, as Markdown.

    Args:
        found: The results, by the number of documents and the length of rows.
    """
    lines: list[list[str]] = []
    for (count, size), one in found.items():
        times = [f"{1e3 * seconds:.1f} ms" for seconds in (one.plan, one.first, one.resume)]
        pairs = "" if one.again is None else f"{one.again:.2%} ({one.chance:.2%})"
        lines.append([f"{count:,}", f"{size:,}", f"{one.rows:,}", f"{one.padding:.3%}", *times, pairs])
    heads = ["documents", "size", "rows", "padding", "plan", "first batch", "resume", "shared again (at random)"]
    return markdown(heads, lines)


if __name__ == "__main__":
    main()
