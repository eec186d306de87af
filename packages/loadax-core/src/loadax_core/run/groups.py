"""Which quick batches are gathered in one call: fewer calls for each of them, and fewer hand-overs between threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import numpy as np

from .. import tree
from ..memory.nbytes import size
from ..plan.steps import Step

GROUP_BYTES = 4 * 2**20
"""Memory of batches that are gathered together: 4 MiB stay within the processor's cache."""


def most_rows(batch: Any, rows: int) -> int:
    """How many rows like those of a batch may share one array; 0 if it cannot be cut into batches without a copy.

    Only plain NumPy arrays can be cut; masked arrays are not plain.

    Args:
        batch: The batch.
        rows: How many rows it has. The first batch of a run may be the short one at the end of an epoch.
    """
    leaves = [leaf for _, leaf in tree.leaves(batch)]
    if not all(type(leaf) is np.ndarray for leaf in leaves):
        return 0
    return max(1, GROUP_BYTES * rows // max(1, size(batch)))


def alike(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Cuts steps into those that can be gathered together: neighbours of one epoch, and of one size."""
    # Steps that follow each other have the same difference of number and place; a skipped step in between changes it.
    for _, same in groupby(enumerate(steps), key=lambda each: (each[1].epoch, each[1].size, each[1].number - each[0])):
        yield [step for _, step in same]
