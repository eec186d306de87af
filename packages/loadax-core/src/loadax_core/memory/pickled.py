"""How what goes to other processes is pickled: arrays as buffers, and named tuples without a call of their class."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from ..protocols import Array

KeepInBand = Callable[[pickle.PickleBuffer], object]
"""As `buffer_callback` of `pickle.dumps`."""


class Pickler(pickle.Pickler):
    """Pickles arrays as buffers, and named tuples as their class and values.

    NumPy itself makes buffers of those arrays only that lie in one piece and have a dtype that Python's buffers know,
    which `bfloat16` and `datetime64` are not. It copies the others into the pickle, in the machine's byte order.

    Python's own pickler has the class of a named tuple called again. If its `__new__` changed a value, each way to
    another process would change it once more. So a named tuple is made by `tuple.__new__`, as `tree` does. Other
    containers are not called.
    """

    def reducer_override(self, obj: Any, /) -> Any:
        """Is called for each class, function and instance, but not for strings, numbers and plain containers."""
        kind = cast("type[Any]", type(obj))
        if kind is np.ndarray:
            return _taken_apart(obj)
        if not isinstance(obj, tuple) or not hasattr(kind, "_fields"):
            return NotImplemented
        if kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__:
            # The class says itself how it is pickled.
            return NotImplemented
        return cast("Any", tuple).__new__, (kind, tuple(cast("tuple[Any, ...]", obj))), obj.__getstate__()


def _taken_apart(array: Array) -> Any:
    """How an array is pickled: what makes it again, of its bytes. Objects have none that another process can read."""
    dtype = array.dtype
    if dtype.hasobject or not dtype.itemsize:
        return NotImplemented
    fortran = array.flags.fnc
    # An array that does not lie in one piece is copied here.
    flat: Any = (array.T if fortran else np.ascontiguousarray(array)).reshape(-1).view(np.uint8)
    return put_together, (pickle.PickleBuffer(flat), dtype, array.shape, "F" if fortran else "C")


def put_together(buffer: Any, dtype: npt.DTypeLike, shape: tuple[int, ...], order: Literal["C", "F"]) -> Array:
    """The array whose bytes lie in a buffer; no copy is made."""
    return np.ndarray(shape, dtype, buffer, order=order)


def dumps(
    value: Any, buffer_callback: KeepInBand | None = None, pickler: Callable[..., pickle.Pickler] = Pickler
) -> bytes:
    """Pickles an object by protocol 5.

    Args:
        value: Anything that can be pickled.
        buffer_callback: As of `pickle.dumps`.
        pickler: Makes the pickler.

    Raises:
        Exception: Whatever pickling raises.
    """
    file = io.BytesIO()
    # `ForkingPickler` takes no names.
    pickler(file, 5, True, buffer_callback).dump(value)
    return file.getvalue()


def dumps_by_value(value: Any, buffer_callback: KeepInBand | None = None) -> bytes:
    """As `dumps`, for processes that have another `__main__`: its functions and classes are sent by value.

    Needs cloudpickle, which clusters' clients and workers have imported.

    Raises:
        ImportError: If nothing has imported cloudpickle.
        Exception: Whatever pickling raises.
    """
    cloudpickle: Any = sys.modules.get("cloudpickle")
    if cloudpickle is None:
        raise ImportError("functions and classes are sent by value with cloudpickle, which is not imported")

    base: Any = cloudpickle.Pickler

    class ByValue(base):
        def reducer_override(self, obj: Any, /) -> Any:
            reduced = Pickler.reducer_override(cast("Any", self), obj)
            return base.reducer_override(self, obj) if reduced is NotImplemented else reduced

    file = io.BytesIO()
    ByValue(file, 5, buffer_callback).dump(value)
    return file.getvalue()


def dumps_with_modules(value: Any, buffer_callback: KeepInBand | None = None) -> tuple[bytes, frozenset[str]]:
    """As `dumps`, and records the modules of the classes and functions in it, which the other side will import.

    Returns:
        The pickle, and the names of the modules. A name that is only a word in the data is not among them.
    """
    file = io.BytesIO()
    pickler = _Recorder(file, 5, buffer_callback=buffer_callback)
    pickler.dump(value)
    return file.getvalue(), frozenset(pickler.modules)


class _Recorder(Pickler):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any, /) -> Any:
        module = getattr(obj, "__module__", None)
        # An instance has the module of its class, which is pickled too, unless it is pickled by its name, as a TypeVar.
        if isinstance(module, str) and (isinstance(obj, type) or module != type(obj).__module__):
            self.modules.add(module)
        return super().reducer_override(obj)
