"""Saved states: what a state holds, and when `set_state` refuses one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ..errors import StateError
from ..protocols import Dataset
from .steps import Plan, Position

VERSION = 1

SKIPPED = "skipped steps"
"""The entry of a state's fingerprint for steps that were skipped."""


def fingerprint(dataset: Dataset[Any]) -> dict[str, Any]:
    """The facts that fix the order of a dataset's rows, as JSON returns them.

    Raises:
        TypeError: If the dataset's own `fingerprint()` is not a JSON-able dict.
        ValueError: If a number in it is not finite, which JSON cannot write.
    """
    facts: dict[str, Any] = {"rows": len(dataset)}
    own = getattr(dataset, "fingerprint", None)
    if callable(own):
        described: Any = own()
        wanted = f"{type(dataset).__name__}.fingerprint() must return a JSON-able dict"
        if not isinstance(described, dict):
            raise TypeError(f"{wanted}, got {described!r:.80}")
        try:
            facts |= json.loads(json.dumps(described, allow_nan=False))
        except TypeError as error:
            raise TypeError(f"{wanted}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{wanted}: {error}") from error
    return facts


def save(position: Position, facts: Mapping[str, Any], skipped: list[list[int]]) -> dict[str, Any]:
    """A position as a JSON-able dict, made of new objects only.

    Args:
        position: The position.
        facts: The fingerprint of the dataset.
        skipped: The steps that were skipped before the position; see `Plan.skipped_before`.
    """
    return {
        "version": VERSION,
        "epoch": position.epoch,
        "row": position.row,
        "fingerprint": json.loads(json.dumps({**facts, SKIPPED: skipped} if skipped else facts)),
    }


def restore(state: object, dataset: Dataset[Any], facts: Mapping[str, Any], plan: Plan) -> Position:
    """The position of a saved state.

    Args:
        state: What `save` returned.
        dataset: The dataset of the run; if it has `rows_agreeing`, that decides about another fingerprint.
        facts: Its fingerprint.
        plan: The plan of the run.

    Raises:
        StateError: If `state` is no state, has an unknown version, or was saved over rows in another order; the error
            names what differs.
    """
    if not isinstance(state, Mapping):
        raise StateError(f"a state is the dict that get_state() returned, got {type(state).__name__}: {state!r:.80}")
    entries = cast("Mapping[Any, Any]", state)
    if "version" not in entries:
        keys = sorted(map(str, entries))
        raise StateError(f"a state is the dict that get_state() returned, got a dict with the keys {keys!r:.80}")
    version = plain(entries["version"])
    if type(version) is not int or version != VERSION:
        raise StateError(
            f"unknown state version {version!r}; this release of loadax-core reads version {VERSION}; use the "
            "release that saved it"
        )
    if set(entries) != {"version", "epoch", "row", "fingerprint"}:
        raise StateError(f"a state has the keys version, epoch, row and fingerprint, got {sorted(map(str, entries))}")
    saved: Any = _plain_tree(entries["fingerprint"])
    skipped: Any = []
    if isinstance(saved, dict):
        skipped = cast("dict[Any, Any]", saved).pop(SKIPPED, [])
    differences = list(differing(saved, facts))
    epoch, row = plain(entries["epoch"]), plain(entries["row"])
    if differences:
        _check_agreement(dataset, saved, epoch, row, differences)
    if type(epoch) is not int or epoch < 0:
        raise StateError(f"the state's epoch must be an integer of at least 0, got {epoch!r}")
    if type(row) is not int or not 0 <= row <= plan.rows:
        raise StateError(f"the state's row must be an integer from 0 to {plan.rows}, got {row!r}")
    position, end = Position(epoch, row), plan.end
    if position < plan.start or (end is not None and position > end):
        runs = f"from epoch {plan.first_epoch} on" if end is None else f"epochs {plan.first_epoch} to {end.epoch - 1}"
        raise StateError(
            f"cannot resume: the state was saved in epoch {epoch}, and this loader runs {runs}; use .epochs(n) or "
            f"loader.epoch({epoch})"
        )
    here = plan.skipped_before(position)
    if skipped != here:
        raise StateError(
            f"cannot resume: the run had skipped the steps with [epoch, first row, end] {skipped} before the state was "
            f"saved, and this loader skips {here}; give the same steps to .skip(steps=...), or none before the position"
        )
    return position


def _check_agreement(dataset: Any, saved: Any, epoch: Any, row: Any, differences: list[str]) -> None:
    """Accepts the fingerprint of another dataset whose rows are the same up to the position.

    Raises:
        StateError: If they are not.
    """
    agreeing: Any = getattr(dataset, "rows_agreeing", None)
    rows: Any = agreeing(saved, epoch) if callable(agreeing) and type(saved) is dict and type(epoch) is int else 0
    if type(row) is int and 0 <= row <= rows and rows:
        return
    why = "; ".join(differences)
    if rows:
        why = (
            f"the orders agree up to row {rows} of epoch {epoch}, and the state is at row {row}; the first difference "
            f"is that {differences[0]}"
        )
    raise StateError(f"cannot resume: {why}; build the dataset that the state was saved with, or start a new run")


def _plain_tree(facts: Any) -> Any:
    """Facts with numbers and strings of Python's, in new containers."""
    if isinstance(facts, Mapping):
        return {plain(key): _plain_tree(value) for key, value in cast("Mapping[Any, Any]", facts).items()}
    if isinstance(facts, list | tuple):
        return [_plain_tree(value) for value in cast("list[Any]", facts)]
    return plain(facts)


def differing(saved: Any, here: Mapping[str, Any]) -> Iterator[str]:
    """Says of each entry that differs between two fingerprints what it was and what it is."""
    before, now = dict(flat(saved)), dict(flat(here))
    for name in {**before, **now}:
        if name in before and name in now and before[name] == now[name]:
            continue
        # The entry of a shuffle is its seed.
        shown = f"{name} seed" if name.rpartition(".")[2] == "shuffle" else name
        was = f"with {shown} {before[name]!r}" if name in before else f"without {shown}"
        yield f"the state was saved {was}, and this dataset has {repr(now[name]) if name in now else 'none'}"


def flat(facts: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of nested mappings and lists, each with the path to it."""
    if isinstance(facts, Mapping):
        for key, value in cast("Mapping[str, Any]", facts).items():
            yield from flat(value, f"{path}.{key}" if path else key)
    elif isinstance(facts, list):
        for i, value in enumerate(cast("list[Any]", facts)):
            yield from flat(value, f"{path}[{i}]")
    else:
        yield path or "the fingerprint", plain(facts)


def plain(value: Any) -> Any:
    """A number or string of Python's; a checkpoint library may have made it an array without dimensions."""
    return value.item() if getattr(value, "shape", None) == () else value
