"""Hugging Face datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Rows

from ..rows import rows_in_range
from .arrow import ArrowColumns
from .list_lengths import check_counted, check_lists, count_elements
from .optional import require
from .pictures import ALL_RASTER, open_picture
from .table import Column, TableDataset, check_columns, check_fill

if TYPE_CHECKING:
    import datasets


class HuggingFaceDataset(TableDataset):
    """Rows of a Hugging Face dataset, as dicts from column names to NumPy values.

    Rows are read as Arrow tables, whatever format is set (`"numpy"`, `"torch"`, `"jax"`, ...); of a format, only its
    choice of columns counts. Numbers and class labels keep their dtype; dates, times and durations become `datetime64`
    and `timedelta64` (of UTC, where there is a time zone); strings `str`; binary `bytes`; lists and arrays of fixed
    size arrays of their shape; structs dicts; and other lists arrays, or lists of strings, which may differ in length
    from row to row, so that they need a `PadBatcher` and are not gathered. A list of structs becomes one dict of
    arrays, or of lists of strings.

    Images are decoded when their row is read, to arrays of shape `(height, width, channels)`, or without channels if
    they have just one; palettes become RGB. The dtype is that of Pillow's mode: `uint8`, or for gray images of other
    depths `bool` (mode `"1"`), `uint16` (`"I;16"`), `int32` (`"I"`, in older versions also 16 bits) and `float32`
    (`"F"`). `.cast_column(name, datasets.Image(mode="RGB"))` makes all of them alike, but cuts those off at 255.

    Images, audio and video that are cast to `decode=False` are their `bytes` as they are stored, and JSON its text.
    A dataset with a transform (`set_transform`) is read through it, item by item, and gives what it gives.

    Nothing is downloaded, and no code of a dataset is run: loading one is the caller's own call of `datasets`. Images
    are decoded if their content is AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PPM, TIFF or WebP.

    Args:
        dataset: A `datasets.Dataset`, such as one split of what `load_dataset` returns.
        columns: The columns to read; left out, all of them.
        fill_null: By column, what to put in place of nulls; of the column's own type, and for images an array of
            pixels. Elsewhere, reading one is an error.

    Raises:
        ImportError: If `datasets` is not installed.
        TypeError: If `dataset` is something else, such as a stream, if `fill_null` is no mapping, `columns` no names,
            or a column has no counterpart in NumPy.
        ValueError: If there is no such column, if `columns` names none, or one more than once, if a value of
            `fill_null` does not fit its column, or, when a row is read, if it has a null that nothing is given for, or
            an image that has yet to be downloaded.
        OSError: When an image is cut short, or of another format.
        PIL.Image.DecompressionBombError: When an image has more than twice as many pixels as Pillow's
            `Image.MAX_IMAGE_PIXELS`.

    Example:
        >>> from datasets import Dataset
        >>> rows = HuggingFaceDataset(Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}))
        >>> rows[1]
        {'text': 'b', 'label': np.int64(1)}
    """

    def __init__(
        self,
        dataset: datasets.Dataset,
        *,
        columns: Sequence[str] | None = None,
        fill_null: Mapping[str, Any] | None = None,
    ) -> None:
        library = require("datasets", "huggingface", "HuggingFaceDataset")
        _check_dataset(dataset, library)
        columns = check_columns(columns)
        self._fill_facts = check_fill(fill_null)
        self._dataset: Any = dataset
        form = self._dataset.format
        self._transformed = form["type"] == "custom"
        if self._transformed and (columns is not None or fill_null):
            raise ValueError("a dataset with a transform is read through it; choose columns and fill nulls there")
        known = dataset.column_names
        for name in [*(columns or ()), *(fill_null or ())]:
            if name not in known:
                raise ValueError(f"the dataset has no column {name!r}; it has {known}")
        formatted = known if form["output_all_columns"] else form["columns"]
        self._names: list[str] = list(formatted if columns is None else columns)
        if self._transformed:
            return
        features: dict[str, Any] = {name: self._dataset.features[name] for name in self._names}
        self._media = [name for name, feature in features.items() if _is_media(feature)]
        for name, feature in features.items():
            _check_media(name, feature, library)
        self._dataset = self._dataset.with_format("arrow", columns=self._names)
        arrow = require("pyarrow", "huggingface", "HuggingFaceDataset")
        schema = self._dataset.features.arrow_schema
        fields = [schema.field(name) for name in self._names if name not in self._media]
        self._columns = ArrowColumns(arrow.schema(fields), fill_null or {})
        self._fill = {
            name: _fill_value(name, value, decodes=self._decodes(name))
            for name, value in (fill_null or {}).items()
            if name in self._media
        }

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def types(self) -> dict[str, str]:
        """The Arrow types, or the names of the features for images and the like."""
        if self._transformed:
            return {"transform": "any"}
        features = self._dataset.features
        return {name: self._columns.types.get(name, type(features[name]).__name__) for name in self._names}

    @property
    def _stacks(self) -> bool:
        """Whether there is no transform, no image to decode, and no list of any size."""
        return not self._transformed and self._columns.stacks and not any(map(self._decodes, self._media))

    def read_many(self, rows: list[int]) -> list[dict[str, Any]]:
        """The rows, read together; or one by one, as the transform gives them."""
        if not self._transformed:
            return super().read_many(rows)
        return [self._dataset[row] for row in rows_in_range(rows, len(self))]

    @property
    def batched(self) -> bool:
        """Whether there is no transform."""
        return not self._transformed

    def _columns_at(self, rows: Rows, alloc: Alloc) -> dict[str, Column]:
        """The columns of `rows`, with images decoded."""
        return self._read(rows, alloc, decode=True)

    def _stored_at(self, rows: Rows, alloc: Alloc) -> dict[str, Column]:
        return self._read(rows, alloc, decode=False)

    def _read(self, rows: Rows, alloc: Alloc, *, decode: bool) -> dict[str, Column]:
        table = self._dataset[rows.tolist()]
        columns = self._columns.of(table, alloc)
        for name in self._media:
            feature = self._dataset.features[name] if decode and self._decodes(name) else None
            stored = table.column(name).to_pylist()
            columns[name] = [self._missing(name) if one is None else _decoded(one, feature, name) for one in stored]
        return {name: columns[name] for name in self._names}

    def lengths(self, column: str) -> Rows:
        """The number of elements of each row's list in a column of lists, such as to pack documents by their lengths.

        Reads the offsets of the Arrow table, and no values.

        Args:
            column: The name of a column that the dataset reads. Of lists of lists, the outer ones count.

        Returns:
            The lengths, of shape `(rows,)`, int64. A null is as long as what `fill_null` gives for it.

        Raises:
            TypeError: If the column has no lists, or the dataset a transform. Text has no length that counts tokens.
            ValueError: If there is no such column, or a null for which nothing is given.
        """
        if self._transformed:
            raise TypeError(
                "a dataset with a transform is read through it, and the lengths of its lists are not known before; ask "
                "for those of the dataset without the transform, or store its rows with .map()"
            )
        check_lists(column, self.types, self._columns.kinds)
        lengths = count_elements(self._dataset.data.column(column), self._columns.fill_length(column))
        # Where rows were selected, sorted or shuffled, the table still has all of them, in their first order.
        indices = self._dataset._indices  # noqa: SLF001
        chosen = lengths if indices is None else lengths[indices.column(0).to_numpy()]
        return check_counted(chosen, column)

    def _missing(self, name: str) -> Any:
        if name not in self._fill:
            raise ValueError(f"a null in column {name!r}; give fill_null={{{name!r}: ...}}, or leave such rows out")
        # Readers may change their items.
        return copy(self._fill[name])

    def _decodes(self, name: str) -> bool:
        return bool(self._dataset.features[name].decode)

    def fingerprint(self) -> dict[str, Any]:
        """The number of rows, the columns and their types, and a hash of a few rows, unless there is a transform."""
        return {"rows": len(self)} if self._transformed else super().fingerprint()

    def _own_contents(self) -> dict[str, Any]:
        """The values of `fill_null`, and the modes that images are decoded to."""
        if self._transformed:
            return super()._own_contents()
        features = self._dataset.features
        modes = {name: getattr(features[name], "mode", None) for name in self._media if self._decodes(name)}
        return super()._own_contents() | {"decoded": modes}


def _check_dataset(dataset: Any, library: Any) -> None:
    if isinstance(dataset, library.IterableDataset | library.IterableDatasetDict):
        raise TypeError(
            f"a {type(dataset).__name__} is a stream: it has no length, and its rows cannot be read by number; load it "
            "without streaming=True, or write it to Parquet files for a ParquetDataset"
        )
    if isinstance(dataset, library.DatasetDict):
        raise TypeError(f"a DatasetDict holds several datasets; choose one of its splits: {sorted(dataset)}")
    if not isinstance(dataset, library.Dataset):
        raise TypeError(
            f"HuggingFaceDataset takes a datasets.Dataset, got a {type(dataset).__name__}; load one with "
            "datasets.load_dataset"
        )


def _is_media(feature: Any) -> bool:
    """Whether a feature has something to decode, or its bytes. JSON that is not decoded is text like any other."""
    return hasattr(feature, "decode") and (type(feature).__name__ != "Json" or bool(feature.decode))


def _check_media(name: str, feature: Any, library: Any) -> None:
    """Raises TypeError if a column has media that cannot be decoded to arrays."""
    kind = type(feature).__name__
    if hasattr(feature, "decode"):
        if feature.decode and not isinstance(feature, library.Image):
            stored = "text" if kind == "Json" else "bytes"
            raise TypeError(
                f"column {name!r} is {kind}, which Loadax does not decode; use "
                f".cast_column({name!r}, {kind}(decode=False)) for its {stored}, or leave it out with columns=[...]"
            )
        return
    if isinstance(feature, dict):
        inner = list(cast("dict[str, Any]", feature).values())
    else:
        inner = cast("list[Any]", feature) if isinstance(feature, list) else [getattr(feature, "feature", None)]
    for part in inner:
        if _is_media(part):
            raise TypeError(
                f"column {name!r} has {type(part).__name__} within lists or structs, which is not decoded; make it a "
                "column of its own with .flatten() or .map(), or leave it out with columns=[...]"
            )
        if part is not None:
            _check_media(name, part, library)


def _fill_value(name: str, value: Any, *, decodes: bool) -> Any:
    """Checks a value of `fill_null` for a column of images, audio or video, and returns it."""
    kind: type[Any] = np.ndarray if decodes else bytes
    if not isinstance(value, kind) or (decodes and np.ndim(value) not in (2, 3)):
        wanted = "an array of shape (height, width) or (height, width, channels)" if decodes else "bytes"
        raise ValueError(f"fill_null gives {value!r} for column {name!r}; give {wanted}")
    return value


def _decoded(stored: Any, image: Any, column: str) -> Any:
    """The pixels of a stored image, if `image` is its feature; the bytes of any media, if `image` is None."""
    path, data = stored["path"], stored["bytes"]
    if data is None:
        if "://" in path:
            raise ValueError(
                f"column {column!r} has {path!r}, which is not on this machine, and Loadax downloads nothing; load the "
                "dataset anew, without streaming"
            )
        if not Path(path).is_file():
            raise FileNotFoundError(f"column {column!r} has {path!r}, which is no file of this machine")
        data = Path(path).read_bytes()
    if image is None:
        return data
    # `datasets` decodes any format, those for which Pillow starts a program among them.
    name = f"the image in column {column!r}" if path is None else f"{path!r} in column {column!r}"
    open_picture(BytesIO(data), name, ALL_RASTER, "huggingface", "HuggingFaceDataset").close()
    picture = image.decode_example({"path": None, "bytes": data})
    if picture.mode == "P":
        # Without its palette, the pixels are meaningless numbers. Pillow warns of a transparency that RGB leaves out.
        picture.info.pop("transparency", None)
        picture = picture.convert("RGB")
    pixels: npt.NDArray[Any] = np.asarray(picture)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
