"""`Audit`: what a run will do, step by step, from the order of its rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .. import tree
from ..plan.origins import OrderDigest, Traced
from ..read import order
from ..text import counted, size
from .preview import ArraySpec

if TYPE_CHECKING:
    from ..spec import Run

MOST_PASSES = 8
"""Passes over one source that are printed."""


class Passes(NamedTuple):
    """What a run reads of one source.

    Attributes:
        path: Which source; see `Origin.path`.
        name: The name of the first of its rows that is read, such as its file; empty if rows have no names.
        rows: The rows of one pass; 0 if that is not known.
        read: For each pass, in order, its epoch, the rows that are read in it, and the last step that reads one.
    """

    path: tuple[int, ...]
    name: str
    rows: int
    read: tuple[tuple[int, int, int], ...]

    @property
    def epochs(self) -> float:
        """How often the source is read through."""
        return sum(rows for _, rows, _ in self.read) / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Audit:
    """What a run will do, from the order of its rows alone; made by `Loader.audit`. It prints as text.

    Attributes:
        steps: The steps that were looked at.
        rows: Their rows, over all hosts.
        host_rows: The rows that this host loads of them.
        sizes: How many of the steps have each number of rows. Each number is a shape that `jax.jit` compiles for.
        specs: The batch of each of these numbers, with an `ArraySpec` in place of each array; None if only reading a
            batch would tell.
        padding: The datasets that pad, each as its description and the share of padding.
        passes: What is read of each source.
        digests: Digests of the order, each with the step before which it ends: of 1,000 steps, the last one perhaps of
            fewer. They are the same on every host, and for every number of hosts and workers.
    """

    steps: int
    rows: int
    host_rows: int
    sizes: dict[int, int]
    specs: dict[int, Any] | None
    padding: tuple[tuple[str, float], ...]
    passes: tuple[Passes, ...]
    digests: tuple[tuple[int, str], ...]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    @property
    def host_bytes(self) -> int | None:
        """The bytes of the batches that this host loads; None if only reading would tell."""
        if self.specs is None:
            return None
        total = sum(self.sizes[rows] * _nbytes(spec) for rows, spec in self.specs.items())
        return round(total * self.host_rows / max(1, self.rows))

    def _lines(self) -> Iterator[str]:
        yield f"{counted(self.steps, 'step')}, {counted(self.rows, 'row')}"
        nbytes = self.host_bytes
        share = "" if nbytes is None else f", {size(nbytes)} in all, {size(nbytes // max(1, self.steps))} a step"
        yield f"this host loads {counted(self.host_rows, 'row')}{share}"
        yield f"shapes to compile: {len(self.sizes)}"
        for rows, steps in self.sizes.items():
            spec = "" if self.specs is None else f": {_shown(self.specs[rows])}"
            yield f"  {counted(steps, 'step')} of {counted(rows, 'row')}{spec}"
        if self.specs is None:
            yield "  arrays: not known without reading; loader.peek() reads one batch"
        for what, share in self.padding:
            yield f"padding: {share:.2%} of {what}"
        for source in self.passes:
            yield from _pass_lines(source)
        yield from (f"order before step {step:,}: {digest}" for step, digest in self.digests)


def _pass_lines(source: Passes) -> Iterator[str]:
    where = f"source {'.'.join(map(str, source.path))}" if source.path else "the source"
    name = f" ({source.name})" if source.name else ""
    times = f", {source.epochs:.2f} epochs over {counted(source.rows, 'row')}" if source.rows else ""
    yield f"{where}{name}: {counted(sum(rows for _, rows, _ in source.read), 'row')}{times}"
    for epoch, rows, step in source.read[:MOST_PASSES]:
        whole = "ends" if rows == source.rows else f"is read to {rows / max(1, source.rows):.1%}"
        yield f"  epoch {epoch} {whole} in step {step:,}"
    if len(source.read) > MOST_PASSES:
        yield f"  and {len(source.read) - MOST_PASSES} more"


def audit(run: Run, stop: int) -> Audit:
    """Looks at the first steps of a run.

    Args:
        run: The run.
        stop: The number of steps to look at, with those that are skipped.
    """
    sizes: dict[int, int] = {}
    host_rows, windows = 0, list[tuple[int, str]]()
    tally = _Tally()
    for begin in range(0, stop, order.WINDOW):
        end, digest = min(begin + order.WINDOW, stop), OrderDigest()
        steps = list(order.steps_between(run.plan, begin, end))
        for step in steps:
            sizes[step.size] = sizes.get(step.size, 0) + 1
        for first, traced in order.traced_steps(run.fetch, steps):
            digest.add(traced, first)
            tally.add(traced, first, run)
        windows.append((end, digest.hexdigest()))
    for rows, steps_of_size in sizes.items():
        host_rows += steps_of_size * (rows if run.strategy is None else len(run.strategy.local_rows(rows)))
    return Audit(
        steps=sum(sizes.values()),
        rows=sum(rows * steps for rows, steps in sizes.items()),
        host_rows=host_rows,
        sizes=sizes,
        specs=_specs(run, sizes),
        padding=tuple(_padding(run.fetch.dataset)),
        passes=tally.passes(),
        digests=tuple(windows),
    )


class _Tally:
    """Counts what is read of each source, pass by pass."""

    def __init__(self) -> None:
        # For each path and epoch, the rows that were read, and the last step.
        self._read: dict[tuple[int, ...], dict[int, list[int]]] = {}
        self._totals: dict[tuple[int, ...], int] = {}
        self._names: dict[tuple[int, ...], str] = {}

    def add(self, traced: Iterable[Traced], first: tuple[int, int], run: Run) -> None:
        """Counts rows that were traced, of which the first has this epoch and row."""
        plan, (epoch, start) = run.plan, first
        base = (epoch - plan.first_epoch) * plan.steps_per_epoch
        for group in traced:
            if not len(group.rows):
                continue
            passes = self._read.setdefault(group.path, {})
            counts = passes.setdefault(group.epoch, [0, 0])
            # A document that was cut into pieces is counted once.
            counts[0] += len(group.rows) if group.starts is None or group.windows else int((group.starts == 0).sum())
            counts[1] = base + (start + int(group.of.max())) // plan.batch_size
            self._totals[group.path] = group.total
            if group.path not in self._names:
                names = None if group.names is None else group.names(group.rows[:1])
                self._names[group.path] = names[0] if names else ""

    def passes(self) -> tuple[Passes, ...]:
        """What is read of each source."""
        return tuple(
            Passes(
                path,
                self._names[path],
                self._totals[path],
                tuple((epoch, rows, step) for epoch, (rows, step) in sorted(read.items())),
            )
            for path, read in sorted(self._read.items())
        )


def _specs(run: Run, sizes: Iterable[int]) -> dict[int, Any] | None:
    spec: Any = getattr(run.fetch.dataset, "batch_spec", None)
    if not run.fetch.gathers or not callable(spec):
        return None
    found = {rows: spec(rows) for rows in sizes}
    return None if None in found.values() else found


def _padding(dataset: Any) -> Iterator[tuple[str, float]]:
    share: object = getattr(dataset, "padding", None)
    if isinstance(share, float):
        yield str(dataset).partition("\n")[0], share
    for source in getattr(dataset, "sources", ()):
        yield from _padding(source)


def _arrays(spec: Any) -> list[tuple[str, ArraySpec]]:
    return [(tree.name(path), cast("ArraySpec", leaf)) for path, leaf in tree.leaves(spec)]


def _nbytes(spec: Any) -> int:
    return sum(leaf.nbytes for _, leaf in _arrays(spec))


def _shown(spec: Any) -> str:
    return ", ".join(f"{name} {leaf.dtype} {leaf.shape}" for name, leaf in _arrays(spec))
