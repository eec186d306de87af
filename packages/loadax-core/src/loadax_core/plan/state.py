"""Saved positions: what a state holds, and when one is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ..errors import StateError
from ..protocols import Dataset
from .steps import Plan, Position

VERSION = 1


def fingerprint(dataset: Dataset[Any]) -> dict[str, Any]:
    """What fixes the order of a dataset's rows, as JSON would return it.

    Raises:
        TypeError: If the dataset's own `fingerprint()` is not a JSON-able dict.
        ValueError: If it has a number that is not finite, for which JSON has no word.
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


def save(position: Position, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A position as a JSON-able dict, all of it new objects."""
    return {
        "version": VERSION,
        "epoch": position.epoch,
        "row": position.row,
        "fingerprint": json.loads(json.dumps(facts)),
    }


def restore(state: object, facts: Mapping[str, Any], plan: Plan) -> Position:
    """The position of a saved state.

    Raises:
        StateError: If it is no state, of an unknown version, or of a run over another order; says what differs.
    """
    if not isinstance(state, Mapping):
        raise StateError(f"a state is the dict that get_state() returned, got {type(state).__name__}: {state!r:.80}")
    entries = cast("Mapping[Any, Any]", state)
    version = plain(entries.get("version"))
    if type(version) is not int or version != VERSION:
        raise StateError(
            f"unknown state version {version!r}; this release of loadax-core reads version {VERSION}; use the "
            "release that saved it"
        )
    if set(entries) != {"version", "epoch", "row", "fingerprint"}:
        raise StateError(f"a state has the keys version, epoch, row and fingerprint, got {sorted(map(str, entries))}")
    differences = list(differing(entries["fingerprint"], facts))
    if differences:
        raise StateError(
            "the state is of a run over another order of rows, so that its position means nothing here; build the same "
            "dataset, or start anew: " + "; ".join(differences)
        )
    epoch, row = plain(entries["epoch"]), plain(entries["row"])
    if type(epoch) is not int or epoch < 0:
        raise StateError(f"the state's epoch must be an integer of at least 0, got {epoch!r}")
    if type(row) is not int or not 0 <= row <= plan.rows:
        raise StateError(f"the state's row must be an integer from 0 to {plan.rows}, got {row!r}")
    position, end = Position(epoch, row), plan.end
    if position < plan.start or (end is not None and position > end):
        runs = f"from epoch {plan.first_epoch} on" if end is None else f"epochs {plan.first_epoch} to {end.epoch - 1}"
        raise StateError(f"the state stands in epoch {epoch}, but this loader runs {runs}; use .epochs or loader.epoch")
    return position


def differing(saved: Any, here: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two fingerprints, entry by entry."""
    before, now = dict(flat(saved)), dict(flat(here))
    for name in {**before, **now}:
        if name not in before or name not in now or before[name] != now[name]:
            was, found = (repr(facts[name]) if name in facts else "missing" for facts in (before, now))
            yield f"{name} was {was} when saved, and is {found} here"


def flat(facts: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of nested mappings and lists, each with its path."""
    if isinstance(facts, Mapping):
        for key, value in cast("Mapping[str, Any]", facts).items():
            yield from flat(value, f"{path}.{key}" if path else key)
    elif isinstance(facts, list):
        for i, value in enumerate(cast("list[Any]", facts)):
            yield from flat(value, f"{path}[{i}]")
    else:
        yield path or "the fingerprint", plain(facts)


def plain(value: Any) -> Any:
    """A number or string as Python has it, where what saved the state, or sent it, made it an array of no dimension."""
    return value.item() if getattr(value, "shape", None) == () else value
