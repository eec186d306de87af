"""The protocols of the objects that users give to Loadax.

A dataset needs `len()` and `[i]`. All other protocols here are optional: they make loading faster, or exact in more
situations. They are structural, so that no class has to inherit from Loadax.
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
    """Rows that can be counted and read by number: lists, arrays, and most dataset classes of other libraries.

    Loaders read from several threads at once. So `__getitem__` must be thread-safe, and must return the same value each
    time that it is asked for a row. Worker processes receive a pickled copy.
    """

    def __len__(self) -> int:
        """The number of rows; it must not change while a loader uses the dataset."""
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

        The result equals, bit for bit, what `StackBatcher` makes of `[dataset[r] for r in rows]`. Its leaves are in
        memory from `alloc`, or in memory that nobody writes to afterwards. Thread-safe.
        """
        ...


class GatherRange(Protocol):
    """Reads consecutive rows in one call."""

    def __call__(self, rows: range, alloc: Alloc, /) -> Any:
        """As `Gather`, for a range of step 1 within `range(len(dataset))`."""
        ...


class SupportsGather(Protocol):
    """A dataset that reads many rows without running Python code for each.

    A wrapper whose source may lack `gather` writes it as a property that is None in that case. Loaders without `shard`
    ask for consecutive rows; a dataset that reads these faster may have `gather_range`, a `GatherRange`, as well.

    A loader calls `gather` once a step, with exactly this process's rows of the step, unless the dataset has an
    attribute `rowwise` that is True. It promises that a row has the same bits whatever rows are read with it, which a
    matrix product does not, and that a read never fails for a reason that passes, as one over a network may. Then
    several quick steps may be one call, and workers may share the rows of a slow step. The promise holds for
    `__getitems__`, too. If the dataset also has an attribute `calls_user_code` that is False, a thread that would wait
    in `next` gathers batches itself, so `gather` must not depend on the thread, and `at_epoch` takes as long for each
    epoch.
    """

    @property
    def gather(self) -> Gather | None:
        """The gather function, or None."""
        ...


class ReadRange(Protocol):
    """Reads consecutive rows as items."""

    def __call__(self, rows: range, /) -> Sequence[Any]:
        """The items of a range of step 1 within `range(len(dataset))`, one for each row."""
        ...


class SupportsGetItems(Protocol[T_co]):
    """The batched read that PyTorch, Hugging Face and ArrayRecord datasets share.

    A dataset that reads consecutive rows faster may have `read_range`, a `ReadRange`, as well.
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
        """The dataset as it is in `epoch` (0, 1, ...): itself if no epoch changes it, or one of equal length."""
        ...


class SupportsFingerprint(Protocol):
    """A dataset that says what fixes its order, so that a saved position is not restored into another order."""

    def fingerprint(self) -> Mapping[str, Any]:
        """JSON-able facts (lengths, seeds, nested sources), which are equal if and only if the order of the rows is.

        `print(loader)` shows the seed in an entry `shuffle`, and in an entry `seed` beside `sample` or `mix`.
        """
        ...


class SupportsBuildWarnings(Protocol):
    """A dataset that may be put together in a way that is seldom meant."""

    def build_warnings(self) -> Sequence[Warning]:
        """What `DataLoader.build` is to warn of, such as an `EpochLeakWarning`; mostly nothing."""
        ...


class Stacked:
    """The type of the batches of `DataLoader()` until `build` knows the dataset; only type checkers see it."""


class Untyped:
    """A type of no value: an overload that asks for it fits arguments of type Any alone. Only type checkers see it."""


class MeshLike(Protocol):
    """A `jax.sharding.Mesh`, described without importing JAX."""

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
    """Divides the rows of a global batch among processes and devices.

    A strategy with settings may have a method `describe()`, which returns the settings as text, the same in every
    process; `Loader.check_agreement` compares it. An attribute `splits` may say whether some process loads only a part
    of the rows. A strategy may have `pin` and `queued`, as a `Placement` may.
    """

    def local_rows(self, batch_size: int, /) -> Rows:
        """Which rows of a global batch of `batch_size` this process loads.

        Returns:
            Ascending positions in `range(batch_size)`, of shape `(n,)`.

        Raises:
            ValueError: If a batch of this size cannot be divided; every process raises it.
        """
        ...

    def distribute_global_batch(self, local_batch: Any, /) -> Any:
        """Makes the global batch of this process's rows, each leaf of shape `(n, ...)`, without communication.

        A worker thread calls it when batches are prefetched to devices.
        """
        ...


class Placement(Protocol):
    """Moves a batch from the host to devices, in a worker thread; thread-safe.

    A placement that cannot place every number of rows may have a method `check_rows(rows)`, which raises a `ValueError`
    for such a number. `build` calls it, before the first batch.

    A placement that places batches faster from page-locked memory may have a method `pin(memory)`. The loader calls it
    with memory that it recycles, as whole pages in an array of bytes of shape `(n,)`: once, before the memory is used
    for the second time. The pages are freed with that array.

    On a GPU a transfer waits for all work that was dispatched before it. A placement for such a device sets `queued` to
    True. If at least 3 batches are kept ready, the loader then hands out batch k once batch k+1 has been placed: that
    transfer runs beside the step on batch k.
    """

    def __call__(self, batch: Any, /) -> Any:
        """The placed batch."""
        ...


Kind: TypeAlias = Literal["caller", "thread", "process", "executor"]
"""Who loads batches: the thread that calls `next`, or workers of a kind."""


ReadMethod: TypeAlias = Literal["gather", "many", "items"]
"""How rows are read: whole batches by `gather`, many rows by `__getitems__`, or one row by `[i]`."""


Numbers: TypeAlias = "Rows | list[int] | range"
"""Row numbers: consecutive ones as a range; others as an array to be gathered, or as a list to be read as items."""
