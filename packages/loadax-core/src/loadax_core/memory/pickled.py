"""Pickling that also tells which modules the other side will import."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any


def pickled(
    value: Any, buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None
) -> tuple[bytes, frozenset[str]]:
    """Pickles an object by protocol 5, and records the modules of the classes and functions in it.

    Args:
        value: Anything that can be pickled.
        buffer_callback: As of `pickle.dumps`.

    Returns:
        The pickle, and the names of the modules. A name that is only a word in the data is not among them.

    Raises:
        Exception: Whatever pickling raises.
    """
    file = io.BytesIO()
    pickler = _Recorder(file, protocol=5, buffer_callback=buffer_callback)
    pickler.dump(value)
    return file.getvalue(), frozenset(pickler.modules)


class _Recorder(pickle.Pickler):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any, /) -> Any:
        """Is called for each class, function and instance, but not for strings, numbers and plain containers."""
        module = getattr(obj, "__module__", None)
        # An instance has the module of its class, which is pickled too, unless it is pickled by its name, as a TypeVar.
        if isinstance(module, str) and (isinstance(obj, type) or module != type(obj).__module__):
            self.modules.add(module)
        return NotImplemented
