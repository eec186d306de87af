"""A progress bar for training loops, that also says how long they wait for data."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator
from typing import Any, TypeVar

from ..iterator import LoaderIterator
from ..loader import Loader

B = TypeVar("B")


def progress(batches: Loader[B] | LoaderIterator[B], desc: str | None = None) -> Generator[B, None, None]:
    """Passes batches on and shows how far the run has come, with the share of the time that the loop has waited.

    The bar belongs to a terminal or a notebook: where output goes to a file, it is silent, and so it is on every
    process of a job but the first. A run that continues from a saved state continues its count. Needs tqdm, which
    `pip install "loadax-core[progress]"` brings.

    Args:
        batches: A loader, or an iterator of one. The iterator that it makes of a loader ends with the loop, by `break`
            too; one that is given stays open.
        desc: Put before the bar, as in tqdm.

    Yields:
        The batches.

    Raises:
        ImportError: If tqdm is not installed.
        TypeError: If `batches` is something else.

    Example:
        >>> from loadax_core import DataLoader
        >>> for batch in progress(DataLoader(sum).batch_size(2).build([1, 2, 3])):
        ...     print(batch)
        3
        3
    """
    if not isinstance(batches, Loader | LoaderIterator):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"progress takes a loader, or iter(loader), got {type(batches).__name__}: {batches!r:.80}")
    return _run(batches, _bar_type(), desc)


def _run(batches: Loader[B] | LoaderIterator[B], bar_type: Any, desc: str | None) -> Generator[B, None, None]:
    given = isinstance(batches, LoaderIterator)
    iterator = batches if given else iter(batches)
    done, left = iterator.step, iterator.steps_left
    total = None if left is None else done + left
    try:
        # Refreshed by time, looked at with every batch, so that no thread has to watch over slow batches.
        with bar_type(total=total, initial=done, desc=desc, unit="batch", miniters=1, disable=_silent()) as bar:
            try:
                while True:
                    # No name for the batch: this frame would keep it alive after the caller has let go of it.
                    yield next(iterator)
                    if bar.update(iterator.step - bar.n):
                        _show_wait(bar, iterator)
            except StopIteration:
                _show_wait(bar, iterator)
    finally:
        if not given:
            iterator.close()


def _show_wait(bar: Any, iterator: LoaderIterator[Any]) -> None:
    """Puts the share into the bar, to be seen when it is next refreshed."""
    bar.set_postfix_str(f"waited {iterator.stats().wait_share:.0%}", refresh=False)


def _bar_type() -> Any:
    """The bar of tqdm for what this runs in."""
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ModuleNotFoundError as error:
        if error.name != "tqdm":
            raise
        raise ImportError('progress needs tqdm, which is not installed: pip install "loadax-core[progress]"') from error
    # tqdm would start a thread that outlives the loop.
    return type("Bar", (tqdm,), {"monitor_interval": 0})


def _silent() -> bool | None:
    """Whether to show nothing; None leaves it to tqdm, which shows nothing if the output is no terminal."""
    # Not `jax.process_index()`: that starts the backend, which waits for the other processes.
    job = getattr(sys.modules.get("jax._src.distributed"), "global_state", None)
    if getattr(job, "process_id", 0):
        return True
    # A notebook's output is no terminal either.
    return False if "ipykernel" in sys.modules else None
