"""`wait_shares`: which hosts wait for their data."""

from __future__ import annotations

import numpy as np
from loadax_core import Stats

from .collective import check_main_thread, gather


def wait_shares(stats: Stats) -> tuple[float, ...]:
    """The share of time that the training loop of each process waited for data.

    All processes of a job are as slow as the slowest one. If one process waits more than the others, its storage or its
    machine is slow; the others wait for it inside their steps.

    It is one collective, and none on a single process. So every process calls it, at the same place of the program, on
    the main thread.

    Args:
        stats: The statistics of this process: `batches.stats()`, or those of an interval.

    Returns:
        The `wait_share` of each process, in the order of `jax.process_index()`.

    Raises:
        RuntimeError: If another thread than the main one calls it.

    Example:
        >>> from loadax_core import DataLoader
        >>> from loadax_distributed import wait_shares
        >>> batches = iter(DataLoader().build(range(3)))
        >>> for batch in batches:
        ...     pass
        >>> stats = batches.stats()
        >>> wait_shares(stats) == (stats.wait_share,)
        True
    """
    check_main_thread("wait_shares()")
    # As bytes: JAX would round a float of 64 bits.
    own = np.array([stats.wait_share]).view(np.uint8)
    return tuple(np.ascontiguousarray(gather(own)).view(np.float64)[:, 0].tolist())
