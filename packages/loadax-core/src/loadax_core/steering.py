"""The methods of a loader that look into a run: the batch of a step, the origins of its rows, the steps of a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numpy as np

from .checks import check_int
from .iterator import LoaderIterator
from .plan.origins import Origin, origins_of, trace
from .spec import Run

if TYPE_CHECKING:
    from .show.audit import Audit

B_co = TypeVar("B_co", covariant=True)


MOST_AUDITED = 10_000
"""Steps that an audit looks at, if it is not told how many."""


class Steering(Generic[B_co]):
    """The methods of a `Loader` that are about single steps."""

    _run: Run

    def batch(self, step: int) -> B_co:
        """The batch of one step, loaded in the caller's thread, as the loop gets it: on devices, if batches are.

        A step that the loader skips is loaded, too, to be looked into.

        Args:
            step: The step, counted as `step` of an iterator: over all epochs of the run, from 0 on.

        Raises:
            TypeError: If `step` is not an integer.
            ValueError: If the run has no such step.
            BaseException: Whatever the dataset, a transform, the batcher or the placement raises.
        """
        run = self._run
        alone = run._replace(plan=run.plan._replace(skipped=()), workers=0, crew=None, prefetch=0, timeout=None)
        with LoaderIterator[B_co](alone) as batches:
            batches.seek(step)
            return next(batches)

    def origins(self, step: int) -> list[tuple[Origin, ...]]:
        """Where the rows of a step's global batch come from, without reading one.

        Args:
            step: The step, counted as `step` of an iterator.

        Returns:
            For each row of the global batch, the rows of the lowest datasets that it was made from: one, but for a zip,
            which has one of each source, and a packed row, which has one for each document.

        Raises:
            TypeError: If `step` is not an integer.
            ValueError: If the run has no such step.
        """
        found = self._run.plan.find(check_int("step", step, 0))
        rows = np.arange(found.start, found.stop, dtype=np.int64)
        return origins_of(trace(self._in_epoch(found.epoch), rows, found.epoch), len(rows))

    def find(self, row: int, *, path: Sequence[int] = (), epoch: int | None = None) -> list[int]:
        """The steps of one epoch that see a row of the data, in rising order.

        Takes constant time through shuffles, slices, concatenations and zips; about 3 ms for each pass of a mixture
        over its source; and time in proportion to the epoch through packs, selections, shuffles with `block`, and
        samples with replacement or weights.

        Args:
            row: A row of the lowest dataset, counted from 0.
            path: Which source to follow at each mixture, concatenation and zip, as in `Origin.path`.
            epoch: The epoch; left out, the first one of the run.

        Returns:
            The steps, counted as `step` of an iterator; none if the row is in no batch of the epoch.

        Raises:
            TypeError: If `row`, `epoch` or an entry of `path` is not an integer.
            ValueError: If the run has no such epoch, or the data no such row or source.
        """
        plan = self._run.plan
        epoch = plan.first_epoch if epoch is None else check_int("epoch", epoch, 0)
        first, end = plan.first_epoch, plan.end
        # A run without an end begins with epoch 0, and has all epochs.
        if end is not None and not first <= epoch < end.epoch:
            has = f"epoch {first}" if plan.epochs == 1 else f"epochs {first} to {end.epoch - 1}"
            raise ValueError(f"epoch must be one of the run, which has {has}, got {epoch}")
        row, dataset = check_int("row", row, 0), self._in_epoch(epoch)
        path = tuple(check_int("path", number, 0) for number in path)
        own: Any = getattr(dataset, "places", None)
        if callable(own):
            places = cast("list[int]", own(row, path))
        elif path or row >= len(dataset):
            kind = type(dataset).__name__
            raise ValueError(f"the data have no row {row} at path {path}: a {kind} of {len(dataset)} rows")
        else:
            places = [row]
        before = (epoch - first) * plan.steps_per_epoch
        steps = {place // plan.batch_size for place in places}
        return [
            before + step
            for step in sorted(steps)
            if step < plan.steps_per_epoch and epoch * plan.steps_per_epoch + step not in plan.skipped
        ]

    def audit(self, steps: int | None = None) -> Audit:
        """What the run will do: passes over sources, shapes, padding, bytes, and digests of the order. Reads no row.

        Takes about 1 us for each row of the steps. Two runs, or one that is resumed on other hosts, see the same rows
        in the same order if and only if the digests are the same. Batch sizes must be the same, too.

        Args:
            steps: How many steps to look at; left out, all of the run, but 10,000 at most.

        Returns:
            The findings; print them.

        Raises:
            TypeError: If `steps` is not an integer.
            ValueError: If it is less than 1.
        """
        from .show.audit import audit  # noqa: PLC0415 - few programs need it

        plan = self._run.plan
        whole = None if plan.epochs is None else plan.epochs * plan.steps_per_epoch
        wanted = MOST_AUDITED if steps is None else check_int("steps", steps, 1)
        return audit(self._run, wanted if whole is None else min(wanted, whole))

    def _in_epoch(self, epoch: int) -> Any:
        return self._run.fetch.at_epoch(epoch).dataset
