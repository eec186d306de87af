"""Which quick batches are gathered in one go: fewer calls for each of them, and fewer hand-overs between threads."""

from __future__ import annotations

from collections.abc import Iterator
from sys import getsizeof
from typing import Any

import numpy as np

from .. import tree
from ..memory.nbytes import size
from ..memory.pool import is_leased
from ..plan.steps import Step

GROUP_BYTES = 4 * 2**20
"""Memory of batches that are gathered together, which is to stay within the processor's cache."""

OTHER_BYTES = 2 * 2**20
"""The same for memory that is not recycled, but comes from the C allocator: what vectorized transforms return.

It hands larger blocks back to the system when they are freed, and then pays for every page again.
"""


def most_alike(batch: Any) -> int:
    """How many batches like this one may be gathered together; 0 if they cannot be cut apart for nothing.

    Only plain NumPy arrays can be, which masked ones are not. A compiled transform, whose results are others, would be
    compiled for each size.
    """
    leaves = [leaf for _, leaf in tree.leaves(batch)]
    if not all(type(leaf) is np.ndarray for leaf in leaves):
        return 0
    nbytes = GROUP_BYTES if all(map(is_leased, leaves)) else OTHER_BYTES
    return max(1, nbytes // max(1, size(batch)))


def most_small(batch: Any) -> int:
    """How many batches like this one may be kept; 1 unless all that it consists of is arrays, numbers and text."""
    try:
        leaves = [leaf for _, leaf in tree.leaves(batch)]
    except Exception:
        # A batch may be any object, such as one that refers to itself.
        return 1
    if not all(isinstance(leaf, np.ndarray | np.generic | int | float | str | bytes) for leaf in leaves):
        return 1
    return max(1, OTHER_BYTES // max(1, sum(getattr(leaf, "nbytes", 0) or getsizeof(leaf) for leaf in leaves)))


def runs(steps: list[Step]) -> Iterator[list[Step]]:
    """Cuts steps into those that can be gathered together: of one epoch, alike in size, as many as a power of two.

    So a compiled transform of stacked rows sees few shapes.
    """
    while steps:
        first, alike = steps[0], power_of_two(len(steps))
        # Only the last step of an epoch may be smaller, so that all between two that are alike are, too.
        while (steps[alike - 1].epoch, steps[alike - 1].size) != (first.epoch, first.size):
            alike //= 2
        yield steps[:alike]
        steps = steps[alike:]


def power_of_two(most: float) -> int:
    """The largest power of two that is at most `most`, and 1 for less than that."""
    return 1 << max(0, int(most).bit_length() - 1)
