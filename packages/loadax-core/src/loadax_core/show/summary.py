"""Shows a loader as text, and as HTML in a notebook. Reads no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from ..text import WORKERS, counted, dataset_text, name_of, table

if TYPE_CHECKING:
    from ..spec import Run
    from .preview import Preview

SHUFFLES = {"shuffle": "shuffled", "sample": "sampled", "mix": "mixed"}
"""Fingerprint entries of random orders, and the word for each. Its seed is an entry `seed` beside it, or its value."""


def text(run: Run, preview: Preview | None) -> str:
    """The loader as a tree; the dataset is its last branch."""
    lines = [f"├─ {name}: {value}" for name, value in facts(run, preview).items()]
    return "\n".join(["Loader", *lines, "└─ " + dataset_text(run.fetch.dataset).replace("\n", "\n   ")])


def html(run: Run, preview: Preview | None) -> str:
    """The loader as an HTML table."""
    rows = [*facts(run, preview).items(), ("dataset", dataset_text(run.fetch.dataset))]
    return f"<div><b>Loader</b>{table(rows)}</div>"


def facts(run: Run, preview: Preview | None) -> dict[str, str]:
    """The lines of a summary, each with its name, from the rows to the memory of the batches."""
    plan, batcher, placement = run.plan, run.fetch.batcher, run.fetch.placement
    epochs = "endless" if plan.epochs is None else str(plan.epochs)
    batches = f"{plan.steps_per_epoch:,} an epoch, of {counted(plan.batch_size, 'row')}"
    if plan.remainder:
        batches += f", the last of {plan.remainder}"
    elif plan.rows % plan.batch_size:
        batches += f"; {counted(plan.rows % plan.batch_size, 'row')} at the end left out"
    ahead = "auto" if run.prefetch is None else run.prefetch
    workers = counted(run.workers, *WORKERS[run.kind])
    placed = "global arrays" if run.strategy else repr(placement)
    lines: dict[str, str] = {
        "rows": f"{plan.rows:,} an epoch, {', '.join(orders(run.fingerprint)) or 'in order'}",
        "batches": batches,
        "batcher": name_of(batcher),
        "counts": ", ".join(run.fetch.counts),
        "epochs": f"only epoch {plan.first_epoch}" if plan.first_epoch else epochs,
        "workers": f"{workers}, prefetch {ahead}" if run.workers else "none; the caller loads",
        "sharding": repr(run.strategy) if run.strategy else "",
        "placement": "on the host" if placement is None else placed,
        "memory": preview.estimate if preview else "known after loader.peek(), which reads one batch",
    }
    return {name: value for name, value in lines.items() if value}


def orders(fingerprint: Any) -> Iterator[str]:
    """The words for random orders in a fingerprint, from the outermost dataset to the innermost."""
    if isinstance(fingerprint, Mapping):
        entries = cast("Mapping[str, Any]", fingerprint)
        for name, shuffled in SHUFFLES.items():
            if name in entries:
                yield f"{shuffled} (seed {entries.get('seed', entries[name])})"
        for entry in entries.values():
            yield from orders(entry)
    elif isinstance(fingerprint, list):
        for entry in cast("list[Any]", fingerprint):
            yield from orders(entry)
