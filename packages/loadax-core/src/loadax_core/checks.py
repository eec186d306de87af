"""Checks of settings and of datasets, for all modules."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from threading import TIMEOUT_MAX
from typing import Any, SupportsIndex, cast

import numpy as np

ARROW = (
    "ArrayDataset({'x': table['x'].to_numpy()}) reads its columns as arrays, ParquetDataset reads files, and "
    "PolarsDataset(polars.from_arrow(table)) takes all of it"
)
STREAM = (
    "it is a stream, whose rows cannot be counted or read by number; load it without streaming=True, or write it to "
    "Parquet files for a ParquetDataset"
)
TABLES = {
    ("pandas", "DataFrame"): "ArrayDataset({'x': frame['x'].to_numpy()}) reads its columns as arrays",
    ("pandas", "Series"): "ArrayDataset(series.to_numpy()) reads its values in order",
    ("polars", "DataFrame"): "PolarsDataset(frame) reads its rows",
    ("polars", "LazyFrame"): "PolarsDataset(frame) collects it, and reads its rows",
    ("pyarrow", "Table"): ARROW,
    ("pyarrow", "RecordBatch"): ARROW,
    ("datasets", "DatasetDict"): "it holds several datasets by name; choose one of them, such as splits['train']",
    ("datasets", "IterableDataset"): STREAM,
    ("datasets", "IterableDatasetDict"): STREAM,
    ("torch", "IterableDataset"): "it is a stream; write a dataset with len() and [i] that reads row i",
    ("tensorflow", "DatasetV2"): "it is a stream; read its source by number, as tfds.data_source(...) does",
}
"""Classes whose `[i]` is not row `i`, by package and name, and what to use instead of each."""


def check_int(name: str, value: object, minimum: int, other: str = "") -> int:
    """Checks an integer setting.

    Args:
        name: The name of the setting, for the error.
        value: A Python or NumPy integer.
        minimum: The smallest valid value.
        other: What the setting may be besides an integer, for the error.

    Returns:
        The value, as an `int`.

    Raises:
        TypeError: If `value` is not an integer.
        ValueError: If `value` is less than `minimum`.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(cast("SupportsIndex", value))
    except TypeError:
        # An array has `__index__` too, and raises here.
        number = None
    if number is None:
        raise TypeError(f"{name} must be an integer of at least {minimum}{other}, got {value!r}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def check_bool(name: str, value: object) -> bool:
    """Checks a flag. Python takes any string that is not empty for True.

    Raises:
        TypeError: If `value` is not a bool.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(cast("bool", value))


def check_seconds(name: str, value: object) -> float:
    """Checks a duration in seconds.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If `value` is not positive, or longer than a thread can wait.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real | np.number):
        raise TypeError(f"{name} must be a number of seconds, got {value!r}")
    number = cast("float", value)
    if not number > 0:
        raise ValueError(f"{name} must be a positive number of seconds, got {value}")
    if number > TIMEOUT_MAX:
        raise ValueError(f"{name} must be at most {TIMEOUT_MAX:.0f} seconds, got {value}; None waits for ever")
    return float(number)


def check_length(dataset: Any) -> int:
    """Checks that a dataset has rows with numbers, and returns how many.

    Raises:
        TypeError: If `dataset` lacks `len()` or `[i]`, has keys instead of rows, is a tuple of arrays, or is a table or
            a stream of another library.
    """
    name = type(dataset).__name__
    if isinstance(dataset, type):
        raise TypeError(f"{dataset.__name__} is a class; give a dataset, such as {dataset.__name__}(...)")
    # First, as some of them are mappings.
    check_not_table(dataset)
    if isinstance(dataset, Mapping):
        raise TypeError(f"a {name} has keys, not rows; ArrayDataset makes rows of a dict of arrays")
    if isinstance(dataset, str | bytes):
        raise TypeError(f"a {name} is one item, not a dataset: {dataset[:40]!r}; put it in a list")
    parts = cast("tuple[Any, ...]", dataset if issubclass(type(dataset), tuple) else ())
    if parts and all(getattr(part, "shape", ()) for part in parts):
        raise TypeError(
            f"a tuple of {len(parts)} arrays would be a dataset of {len(parts)} rows; ArrayDataset((x, y)) has a row "
            "of each array, and a list of arrays is a dataset of arrays"
        )
    if not hasattr(dataset, "__getitem__"):
        raise TypeError(f"a dataset has len() and [i], and {_cut(dataset)} has no [i]; collect its rows into a list")
    if not hasattr(dataset, "__len__"):
        raise TypeError(f"a dataset has len() and [i], and {_cut(dataset)} has no len(); collect its rows into a list")
    try:
        rows = len(dataset)
    except (TypeError, ValueError) as error:
        raise type(error)(f"len() of {_cut(dataset)} fails: {error}") from error
    return check_int(f"len({name})", rows, 0)


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_first_epoch(dataset: Any) -> None:
    """Refuses a dataset that `at_epoch` has made for a later epoch than 0.

    A loader chooses the epochs itself, and starts with epoch 0.

    Raises:
        ValueError: If `dataset` is one; the error says how a loader runs that epoch.
    """
    epoch: object = getattr(dataset, "in_epoch", 0) if hasattr(dataset, "at_epoch") else 0
    if isinstance(epoch, int) and epoch:
        raise ValueError(
            f"this dataset is what at_epoch({epoch}) returned, and a loader starts with epoch 0; build the dataset "
            f"itself, and run epoch {epoch} of it with loader.epoch({epoch})"
        )


def check_not_table(source: object) -> None:
    """Refuses objects of other libraries whose `[i]` does not give row `i`.

    These are the tables of Pandas, Polars and Arrow, Hugging Face's dicts of splits, and streams.

    Args:
        source: The object that is meant to be a dataset.

    Raises:
        TypeError: If `source` is one of them; the error says what to use instead.
    """
    for base in type(source).__mro__:
        package = base.__module__.partition(".")[0]
        if (package, base.__name__) in TABLES:
            fix = TABLES[package, base.__name__]
            raise TypeError(f"a {package} {base.__name__} does not give row i for [i]; {fix}")


def emit_build_warnings(dataset: object) -> None:
    """Emits what a dataset warns of, for the caller of `build`, which calls this within a decorator."""
    found: Callable[[], Iterable[Warning]] | None = getattr(dataset, "build_warnings", None)
    for warning in () if found is None else found():
        warnings.warn(warning, stacklevel=4)
