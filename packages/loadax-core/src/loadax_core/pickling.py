"""What to say of an object that cannot be pickled, or not be unpickled elsewhere."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from typing import Any, cast

from .errors import add_note

DEPTH = 12


def check_picklable(value: Any, setting: str) -> None:
    """Raises an error that names the innermost part of `value` that cannot be pickled, if there is one.

    Args:
        value: Anything.
        setting: The call that needs it pickled.

    Raises:
        TypeError: If a part cannot be pickled; names it, the way to it, and the remedy.
    """
    path, culprit, error = "", value, _error_of(value)
    if error is None:
        return
    for _ in range(DEPTH):
        for step, part in _parts(culprit):
            inner = _error_of(part)
            if inner is not None:
                path, culprit, error = path + step, part, inner
                break
        else:
            break
    name = getattr(culprit, "__qualname__", None)
    what = f"{name} of module {culprit.__module__}" if name else f"a {type(culprit).__name__}"
    remedy = "define functions with `def` at the top of a module, and leave out what belongs to this process"
    raise TypeError(
        f"{setting} sends the dataset to other processes, but {what} ({path.lstrip('.') or 'the dataset'}) cannot be "
        f"pickled: {error}; {remedy}, or use threads: .workers(n)"
    ) from error


def explain_arrival(error: BaseException) -> None:
    """Notes what to do about an error that was raised by unpickling in another process, if that is known."""
    if "__mp_main__" in str(error):
        add_note(error, 'loadax: define it above `if __name__ == "__main__":`, where a worker process finds it')


def _error_of(value: Any) -> Exception | None:
    try:
        pickle.dumps(value, protocol=5, buffer_callback=lambda _: False)
    except Exception as error:
        return error
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object consists of, each part with the step that leads to it."""
    if isinstance(value, Mapping):
        for key, part in cast("Mapping[Any, Any]", value).items():
            yield f"[{key!r}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for i, part in enumerate(cast("list[Any]", value)):
            yield f"[{i}]", part
    else:
        try:
            state: Any = value.__reduce_ex__(4)
        except Exception:
            state = ((), (), getattr(value, "__dict__", {}))
        if isinstance(state, tuple):
            for part in cast("tuple[Any, ...]", state)[1:3]:
                yield from _attributes(part)


def _attributes(state: Any) -> Iterator[tuple[str, Any]]:
    """The parts of what `__reduce_ex__` returns, under the names of their attributes where they have some."""
    if isinstance(state, Mapping):
        for key, part in cast("Mapping[Any, Any]", state).items():
            yield f".{key}", part
    elif isinstance(state, tuple):
        for part in cast("tuple[Any, ...]", state):
            if isinstance(part, Mapping):
                yield from _attributes(part)
            else:
                yield f".{type(part).__name__}", part
