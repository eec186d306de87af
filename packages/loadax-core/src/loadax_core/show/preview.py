"""`Preview`: the structure of one batch, and the memory that a run needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from .. import tree
from ..memory.nbytes import size as bytes_of
from ..plan.steps import Plan
from ..run.policy import auto_depth
from ..text import columns, counted, size, table


class ArraySpec:
    """The shape and dtype of one array of a batch; `jax.eval_shape` takes it in place of the array.

    Attributes:
        shape: The shape; for a global array, the global shape.
        dtype: The dtype.
        nbytes: The bytes of the array in this process, on all its devices together.

    Example:
        >>> import numpy as np
        >>> ArraySpec((256, 8), np.dtype("float32"), 8192)
        ArraySpec(float32, (256, 8), 8.0 KiB)
    """

    # A dataclass would be a container in a batch; this is a leaf.
    __slots__ = ("dtype", "nbytes", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any, nbytes: int) -> None:
        self.shape = shape
        self.dtype = dtype
        self.nbytes = nbytes

    def __repr__(self) -> str:
        return f"ArraySpec({self.dtype}, {self.shape}, {size(self.nbytes)})"


@dataclass(frozen=True, slots=True, repr=False)
class Preview:
    """The structure of one batch; made by `Loader.peek`. It prints as a table, also in a notebook.

    Attributes:
        batch: The batch with an `ArraySpec` in place of each array, and the type in place of any other leaf.
        rows: Rows of the global batch.
        kept: Batches in memory at the same time: the prefetched ones, and the one in use.

    Example:
        >>> import numpy as np
        >>> from loadax_core import DataLoader
        >>> images = np.zeros((10, 8, 8), np.float32)
        >>> preview = DataLoader().batch_size(4).prefetch(2).build(images).peek()
        >>> preview
        4 rows, 1.0 KiB
        batch  float32  (4, 8, 8)  1.0 KiB
        memory: 3.0 KiB for 3 batches, 2 ahead and the one in use
        >>> preview.batch.shape
        (4, 8, 8)
    """

    batch: Any
    rows: int
    kept: int

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays of one batch in this process; Python objects are not counted."""
        return sum(spec.nbytes for spec in self._arrays)

    @property
    def memory(self) -> int:
        """Bytes of all batches in memory at the same time."""
        return self.kept * self.nbytes

    @property
    def estimate(self) -> str:
        """The memory that a run needs, as text."""
        if not self._arrays:
            return "not known, since a batch holds no array"
        kept = f"{self.kept} batches, {self.kept - 1} ahead and the one in use" if self.kept > 1 else "the one in use"
        return f"{self._size(self.memory)} for {kept}"

    def __repr__(self) -> str:
        return "\n".join([self._heading, *columns(self._cells()), f"memory: {self.estimate}"])

    def _repr_html_(self) -> str:
        return f"<div><b>{self._heading}</b>{table(self._cells())}memory: {self.estimate}</div>"

    @property
    def _heading(self) -> str:
        rows = counted(self.rows, "row")
        return f"{rows}, {self._size(self.nbytes)}" if self._arrays else rows

    @property
    def _arrays(self) -> list[ArraySpec]:
        return [leaf for _, leaf in tree.leaves(self.batch) if isinstance(leaf, ArraySpec)]

    def _size(self, nbytes: int) -> str:
        objects = any(getattr(spec.dtype, "hasobject", False) for spec in self._arrays)
        exact = not objects and len(self._arrays) == sum(1 for _ in tree.leaves(self.batch))
        return size(nbytes) if exact else f"at least {size(nbytes)}"

    def _cells(self) -> list[tuple[str, str, str, str]]:
        return [
            (tree.name(path), str(leaf.dtype), str(leaf.shape), size(leaf.nbytes))
            if isinstance(leaf, ArraySpec)
            else (tree.name(path), leaf.__name__, "", "")
            for path, leaf in tree.leaves(self.batch)
        ]


def preview(batch: Any, plan: Plan, prefetch: int | None, *, queued: bool) -> Preview:
    """The preview of a batch.

    Args:
        batch: The first batch of the loader.
        plan: The plan of the loader, which has at least one step.
        prefetch: Batches kept ready beside the caller's; None if the first batch decides.
        queued: Whether transfers wait for work dispatched before them, as on a GPU; see `Placement`.
    """
    if prefetch is None:
        prefetch = auto_depth(bytes_of(batch), queued)
    kept = prefetch + 1 if plan.steps is None else min(prefetch + 1, plan.steps)
    try:
        structure = tree.map_leaves(lambda _, leaf: spec(leaf), batch)
    except Exception:
        # A batch may be any object, such as a dict that holds itself.
        structure = spec(batch)
    return Preview(structure, next(plan.steps_from(plan.start)).size, kept)


def spec(leaf: Any) -> ArraySpec | type[Any]:
    """An `ArraySpec` for an array, and the type of any other leaf."""
    if not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
        return cast("type[Any]", type(leaf))
    # This process may hold a part of a `jax.Array`, or several copies of it.
    shards = getattr(leaf, "addressable_shards", None)
    nbytes = getattr(leaf, "nbytes", 0) if shards is None else sum(shard.data.nbytes for shard in shards)
    return ArraySpec(tuple(leaf.shape), leaf.dtype, nbytes)
