"""Notices a loop over epochs that runs the first epoch each time."""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import Any

from .errors import RepeatedEpochWarning

RUNS = 2
"""Complete runs before the warning. Two equal runs are also made by a program that compares a loader with itself."""

PACKAGE = __name__.partition(".")[0]


class Repeats:
    """Counts the complete runs of a loader by the instruction of the program that began them.

    A loop over epochs begins its runs at one instruction. Runs that a program begins at different places, such as one
    to train and one to evaluate, are never counted together. Nothing is done for a batch.
    """

    def __init__(self) -> None:
        self._complete: Counter[tuple[tuple[CodeType, int], ...]] = Counter()

    def __reduce__(self) -> tuple[type[Repeats], tuple[()]]:
        # Code cannot be pickled, and runs in another process are other runs.
        return Repeats, ()

    def begin(self, dataset: Any) -> Callable[[], None]:
        """Notes that a run begins, and warns of a loop that has completed two runs, if other epochs would differ.

        Args:
            dataset: The dataset as the loader was built with it.

        Returns:
            To be called when the run has yielded its last batch.
        """
        frame = inspect.currentframe()
        places: list[tuple[CodeType, int]] = []
        # This package's own frames are a part of the place: what begins a run may be a progress bar.
        while frame is not None:
            places.append((frame.f_code, frame.f_lasti))
            if frame.f_globals.get("__name__", "").partition(".")[0] != PACKAGE:
                break
            frame = frame.f_back
        place = tuple(places)
        if self._complete[place] == RUNS and _changes(dataset):
            warnings.warn(
                "this loop runs epoch 0 of its loader for the third time, in the same order and with the same random "
                "numbers: each iter(loader) starts at the beginning. For another order in each epoch, write for batch "
                "in loader.epoch(e), or make one run of n epochs with DataLoader().epochs(n); loader.epoch(0) says "
                "that the same epoch is meant",
                RepeatedEpochWarning,
                stacklevel=len(places),
            )
        return partial(self._complete.update, [place])


def _changes(dataset: Any) -> bool:
    """Whether epoch 1 of a dataset is another dataset; called once for a loop, as `at_epoch` may take long."""
    at_epoch = getattr(dataset, "at_epoch", None)
    try:
        return at_epoch is not None and at_epoch(1) is not dataset
    except Exception:
        # The program has not asked for epoch 1, so an error of it is not raised.
        return False
