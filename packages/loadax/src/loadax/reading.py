"""Reads the statistics of iterators for exporters, which must not keep them alive."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import ref

from loadax_core import LoaderIterator, Stats


class Reader:
    """Reads the statistics of an iterator, and does not keep it alive."""

    def __init__(self, batches: LoaderIterator[Any]) -> None:
        self._batches = ref(batches)
        self._recent: Stats | None = None

    def read(self) -> tuple[Stats, Stats] | None:
        """The statistics so far, and those since the last call that found a new batch; None if the iterator is gone."""
        batches = self._batches()
        if batches is None:
            return None
        now = batches.stats(since=self._recent)
        if now.batches or self._recent is None:
            self._recent = now
        return now.total or now, self._recent


def read(readers: Mapping[str, Reader]) -> Iterator[tuple[dict[str, str], Stats, Stats]]:
    """The labels and the statistics of each iterator that is still there."""
    # A copy, since a thread that reads may not be the one that adds.
    for loader, reader in dict(readers).items():
        reading = reader.read()
        if reading is not None:
            yield {"loader": loader, "process": str(process_index())}, *reading


def process_index() -> int:
    """The index of this process in a job of JAX; 0 if there is no job."""
    # `jax.process_index()` would start the backend, which waits for the other processes.
    job = getattr(sys.modules.get("jax._src.distributed"), "global_state", None)
    return getattr(job, "process_id", 0) or 0


def check_iterator(batches: object) -> None:
    """Checks what is exported.

    Raises:
        TypeError: If it is no iterator of a loader.
    """
    if not isinstance(batches, LoaderIterator):
        raise TypeError(f"the statistics are those of an iterator: give batches = iter(loader), got {batches!r:.80}")
