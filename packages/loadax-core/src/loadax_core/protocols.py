"""What Loadax asks of the objects it is given, and nothing more.

A dataset needs `len()` and `[i]`; everything else on this page is optional and makes loading faster or exact
in more situations. All of it is structural: no class has to inherit from Loadax.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

T_co = TypeVar("T_co", covariant=True)

Rows: TypeAlias = npt.NDArray[np.int64]
"""Row numbers of a dataset, of shape `(n,)`, each in `range(len(dataset))`."""

Array: TypeAlias = npt.NDArray[Any]


class Dataset(Protocol[T_co]):
    """Rows that can be counted and read by number: lists, arrays, and most dataset classes in the field.

    Loaders read from several threads at once, so `__getitem__` must be thread-safe, and must return the same
    value each time it is asked for a row. Worker processes receive a pickled copy.
    """

    def __len__(self) -> int:
        """The number of rows, constant while a loader uses the dataset."""
        ...

    def __getitem__(self, index: int, /) -> T_co:
        """The row at `index`, for `index` in `range(len(self))`."""
        ...


class Alloc(Protocol):
    """Provides the memory that a gather fills."""

    def __call__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, /) -> Array:
        """An uninitialised, C-contiguous array of `shape` and `dtype`, aligned to 64 bytes."""
        ...


class Gather(Protocol):
    """Reads many rows in one call."""

    def __call__(self, rows: Rows, alloc: Alloc, /) -> Any:
        """The rows as one stacked tree, each leaf of shape `(len(rows), ...)`.

        The result equals, bit for bit, what `StackBatcher` makes of `[dataset[r] for r in rows]`. Result leaves
        live in memory from `alloc` or in memory that nobody writes to afterwards. Thread-safe.
        """
        ...


class GatherRange(Protocol):
    """Reads neighbouring rows in one call."""

    def __call__(self, rows: range, alloc: Alloc, /) -> Any:
        """As `Gather`, of a range of step 1 in `range(len(dataset))`."""
        ...


class SupportsGather(Protocol):
    """A dataset whose rows can be gathered without visiting Python once per row.

    A wrapper whose source may lack the ability writes `gather` as a property that is None in that case. A dataset that
    has a quicker way for neighbouring rows, which is what loaders ask for where nothing is sharded, may have
    `gather_range` as well, a `GatherRange`.
    """

    @property
    def gather(self) -> Gather | None:
        """The gather function, or None."""
        ...


class ReadRange(Protocol):
    """Reads neighbouring rows as items."""

    def __call__(self, rows: range, /) -> Sequence[Any]:
        """The items of a range of step 1 in `range(len(dataset))`, one for each row."""
        ...


class SupportsGetItems(Protocol[T_co]):
    """The batched read that PyTorch, Hugging Face and ArrayRecord datasets share.

    A dataset that has a quicker way for neighbouring rows may have `read_range` as well, a `ReadRange`.
    """

    def __getitems__(self, rows: list[int], /) -> Sequence[T_co]:
        """The items of `rows`, in that order. Thread-safe."""
        ...


class SupportsEpoch(Protocol[T_co]):
    """A dataset whose order or randomness depends on the epoch.

    What `at_epoch` returns may name its epoch in an attribute `in_epoch`. `build` then refuses the dataset of a later
    epoch than 0, since a loader chooses the epochs itself.
    """

    def at_epoch(self, epoch: int, /) -> Dataset[T_co]:
        """The same dataset as it is in `epoch` (0, 1, ...): itself if nothing changes, else a new one as long."""
        ...


class SupportsFingerprint(Protocol):
    """A dataset that can say what fixes its order, so that a saved position is not restored into another one."""

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able facts (lengths, seeds, nested sources), equal exactly when the order of the rows is.

        The seed of an entry `shuffle`, or the entry `seed` beside `sample` or `mix`, is shown by `print(loader)`.
        """
        ...


class MeshLike(Protocol):
    """A `jax.sharding.Mesh`, as far as code without JAX can describe it."""

    @property
    def axis_names(self) -> tuple[Any, ...]:
        """Names of the mesh's axes."""
        ...

    @property
    def devices(self) -> Any:
        """Array of the mesh's devices."""
        ...


@runtime_checkable
class ShardingStrategy(Protocol):
    """How the rows of a global batch are divided among processes and devices.

    One that can be set up in several ways may have a method `describe()`, which says how, in the same words in every
    process: `Loader.check_agreement` compares them. It may say by `splits` whether any process is given a part of the
    rows only, and have `pin` and `queued`, as a `Placement` may.
    """

    def local_rows(self, batch_size: int, /) -> Rows:
        """Which rows of a global batch of `batch_size` this process loads.

        Returns:
            Ascending positions in `range(batch_size)`, of shape `(n,)`.

        Raises:
            ValueError: If a batch of this size cannot be divided, alike on every process.
        """
        ...

    def distribute_global_batch(self, local_batch: Any, /) -> Any:
        """Turns this process's rows, each leaf of shape `(n, ...)`, into the global batch, without communication.

        Called from a background thread when batches are prefetched to devices.
        """
        ...


class Placement(Protocol):
    """Moves a host batch to where training wants it, in the prefetch thread; thread-safe.

    One that cannot place every number of rows may have a method `check_rows(rows)`, which raises a `ValueError` for
    those: it is asked before the first batch. One that places batches faster from memory that it has prepared may have
    a method `pin(memory)`. It is shown the memory that the loader recycles, in whole pages, as bytes of shape `(n,)`:
    once, when it is about to be used for the second time. When that array is freed, the pages are.

    Where a transfer waits for all that the device was given to do before it, the placement may say so with a true
    `queued`. A batch is then handed out when the next one has been placed, whose transfer is to go on beside the step
    that follows, if at least three are kept ready.
    """

    def __call__(self, batch: Any, /) -> Any:
        """The placed batch."""
        ...


Kind: TypeAlias = Literal["caller", "thread", "process", "executor"]
"""Who loads: the thread that calls `next`, or workers of some kind."""


ReadMethod: TypeAlias = Literal["gather", "many", "items"]
"""How rows are read: whole batches by `gather`, many at once by `__getitems__`, or one by one by `[i]`."""


Numbers: TypeAlias = "Rows | list[int] | range"
"""Row numbers as they are wanted: neighbours as a range; others as an array if they are gathered, and as a list if they
are read as items."""
