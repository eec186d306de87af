"""A progress bar for training loops that shows how long the loop waits for data."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..iterator import LoaderIterator
from ..loader import Loader
from ..text import rate

B = TypeVar("B")


def progress(batches: Loader[B] | LoaderIterator[B], desc: str | None = None) -> Generator[B, None, None]:
    """Yields batches, and shows a progress bar with the share of time that the loop has waited for data.

    The bar also shows what the loader counts per second (`DataLoader.count`).

    The bar is shown in a terminal or a notebook. It is not shown if output goes to a file, or on any process of a job
    but the first. A run that continues from a saved state continues its count. Needs tqdm:
    `pip install "loadax-core[progress]"`.

    Args:
        batches: A loader, or an iterator of one. The iterator that is made of a loader is closed when the loop ends,
            also by `break`; an iterator that you pass stays open.
        desc: Text before the bar, as in tqdm.

    Yields:
        The batches.

    Raises:
        ImportError: If tqdm is not installed.
        TypeError: If `batches` is neither a loader nor an iterator of one.

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


@contextmanager
def progress_bar(
    total: int | None, *, done: int = 0, unit: str = "row", desc: str | None = None, show: bool | None = None
) -> Generator[Callable[[int], object]]:
    """A progress bar for work that is no loop over batches; shown where `progress` shows one.

    Args:
        total: How many units there are; None if that is not known.
        done: How many are done already.
        unit: What is counted.
        desc: Text before the bar, as in tqdm.
        show: False for no bar; None for none if tqdm is not installed.

    Yields:
        A function that takes the number of units that were done since its last call.

    Raises:
        ImportError: If `show` is True and tqdm is not installed.
    """
    if show is False or (show is None and importlib.util.find_spec("tqdm") is None):
        yield lambda _: None
        return
    with _bar_type()(total=total, initial=done, unit=unit, desc=desc, miniters=1, disable=_silent()) as bar:
        yield bar.update


def _run(batches: Loader[B] | LoaderIterator[B], bar_type: Any, desc: str | None) -> Generator[B, None, None]:
    given = isinstance(batches, LoaderIterator)
    iterator = batches if given else iter(batches)
    done, left = iterator.step, iterator.steps_left
    total = None if left is None else done + left
    try:
        # With `miniters=1` every batch checks the time, so that tqdm needs no thread to watch for slow batches.
        with bar_type(total=total, initial=done, desc=desc, unit="batch", miniters=1, disable=_silent()) as bar:
            try:
                while True:
                    # A name in this frame would keep the batch alive after the caller has dropped it.
                    yield next(iterator)
                    if bar.update(iterator.step - bar.n):
                        _show_stats(bar, iterator)
            except StopIteration:
                _show_stats(bar, iterator)
    finally:
        if not given:
            iterator.close()


def _show_stats(bar: Any, iterator: LoaderIterator[Any]) -> None:
    """Sets the share of time in the bar, and what is counted; the next refresh shows them."""
    stats = iterator.stats()
    rates = [rate(number, name) for name, number in stats.counts_per_second.items()]
    bar.set_postfix_str(", ".join([*rates, f"waited {stats.wait_share:.0%}"]), refresh=False)


def _bar_type() -> Any:
    """The class of tqdm's bar, for a terminal or a notebook."""
    try:
        tqdm = importlib.import_module("tqdm.auto").tqdm
    except ModuleNotFoundError as error:
        if error.name != "tqdm":
            raise
        raise ImportError('progress needs tqdm, which is not installed: pip install "loadax-core[progress]"') from error
    # With an interval, tqdm starts a thread that outlives the loop.
    return type("Bar", (tqdm,), {"monitor_interval": 0})


def _silent() -> bool | None:
    """Whether to hide the bar; with None, tqdm hides it if the output is no terminal."""
    # `jax.process_index()` would start the backend, which waits for the other processes.
    job = getattr(sys.modules.get("jax._src.distributed"), "global_state", None)
    if getattr(job, "process_id", 0):
        return True
    # A notebook's output is no terminal either.
    return False if "ipykernel" in sys.modules else None
