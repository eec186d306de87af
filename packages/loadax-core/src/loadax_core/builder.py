"""`DataLoader`: the chain of settings that ends in `build`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from . import distributed as resolve
from .batch.pad import PadBatcher
from .batch.stack import Batcher, StackBatcher
from .checks import check_bool, check_first_epoch, check_int, check_length, check_seconds
from .hints import BuilderHints, arguments
from .loader import Loader
from .plan.state import fingerprint
from .protocols import Dataset, MeshLike, ShardingStrategy
from .read.access import with_length
from .read.fetch import Fetch
from .spec import Run, Settings, check_lengths, loading_of, placement_of, plan_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

T_contra = TypeVar("T_contra", contravariant=True)
B_co = TypeVar("B_co", covariant=True)
T = TypeVar("T")
B = TypeVar("B")


class DataLoader(BuilderHints, Generic[T_contra, B_co]):
    """Builds a loader: how to batch, how far to read ahead, where to put batches; then `build` it over a dataset.

    Every call returns a new `DataLoader`, so that one can be kept, branched, and used for several datasets. With
    nothing set, batches hold one row and are loaded when they are asked for; those that take less than a few hundred
    microseconds and can be gathered come several at once, up to 4 MiB of them, and small ones whose items are read by
    `__getitems__`, up to 64 for a loop that does little else. `prefetch` alone brings one worker, `workers` alone a
    prefetch of 2.

    Args:
        batcher: Makes a list of items into a batch. Left out, items are stacked (`StackBatcher`).

    Raises:
        TypeError: If `batcher` is not callable, or settings are given that are calls.

    Example:
        >>> loader = DataLoader().batch_size(4).workers(2).prefetch(3).build(range(10))
        >>> [batch.tolist() for batch in loader]
        [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    """

    __slots__ = ("_settings",)
    _settings: Settings

    @overload
    def __init__(self: DataLoader[Any, Any]) -> None: ...
    @overload
    def __init__(self: DataLoader[T, B], batcher: Callable[[list[T]], B]) -> None: ...

    def __init__(self, batcher: Callable[[list[Any]], Any] | None = None, **unknown: object) -> None:
        if unknown:
            raise TypeError(
                f"DataLoader takes a batcher, and no {', '.join(unknown)}; settings are calls, as in DataLoader()"
                f".batch_size(32, drop_remainder=True).workers(2).build(dataset.shuffle(seed=0)){arguments(unknown)}"
            )
        if batcher is None:
            batcher = StackBatcher()
        if not callable(batcher):
            dataset = hasattr(batcher, "__getitem__")
            fix = "; the dataset is what build takes: DataLoader().batch_size(n).build(dataset)" if dataset else ""
            raise TypeError(f"a batcher is a callable that takes a list of items, got {batcher!r:.80}{fix}")
        if batcher in (Batcher, StackBatcher, PadBatcher):
            raise TypeError(f"{batcher.__name__} is a class; give a batcher, such as {batcher.__name__}(...)")
        self._settings = Settings(batcher)

    def batch_size(self, n: int, *, drop_remainder: bool = False) -> DataLoader[T_contra, B_co]:
        """Sets the number of rows of one step's global batch, over all processes and devices together.

        Args:
            n: Rows of a batch, at least 1.
            drop_remainder: Leave out an epoch's last batch if it has fewer rows, for which a jitted step would be
                compiled once more.

        Raises:
            TypeError: If `n` is not an integer, or `drop_remainder` not a bool.
            ValueError: If `n` is less than 1.
        """
        drop_remainder = check_bool("drop_remainder", drop_remainder)
        return self._with(batch_size=check_int("batch_size", n, 1), drop_remainder=drop_remainder)

    @overload
    def workers(self, n: int, *, kind: Literal["thread", "process"] = "thread") -> DataLoader[T_contra, B_co]: ...
    @overload
    def workers(self, n: Executor) -> DataLoader[T_contra, B_co]: ...

    def workers(
        self, n: int | Executor, *, kind: Literal["thread", "process"] = "thread"
    ) -> DataLoader[T_contra, B_co]:
        """Sets who loads batches: threads, processes, or an executor of your own.

        Slow items of one batch are read by several workers at once, and so are several batches; the order and the
        values never change. Where batches are gathered in less than two milliseconds, a caller that would wait for one
        does so too, and no more threads load than leave it a core.

        Threads suit reading, NumPy and whatever else leaves the interpreter to others while it works. Processes suit
        Python code that does not: of that, one thread does as much as several, and the others are left to rest. Each
        process is started anew, in about a second, gets a copy of the dataset, and sends batches back through shared
        memory; a program that uses them does its work under `if __name__ == "__main__":`. In a process, JAX sees CPU
        devices only.

        An executor may be a `ProcessPoolExecutor`, a Dask client's `get_executor()`, one of mpi4py, or any other
        `concurrent.futures.Executor`. Each of its processes is sent the dataset once. It is not shut down.

        Args:
            n: Number of workers, where 0 loads in the caller's thread; or an executor.
            kind: `"thread"` or `"process"`.

        Raises:
            TypeError: If `n` is neither an integer nor an executor.
            ValueError: If it is negative, or 0 although `prefetch`, `timeout` or `kind` needs a worker, or `kind` is
                unknown.
        """
        if kind not in ("thread", "process"):
            raise ValueError(f"kind must be 'thread' or 'process', got {kind!r}")
        if not hasattr(n, "__index__"):
            # What executors and processes need is imported where they are asked for: it takes half as long as all else
            # together.
            from concurrent.futures import Executor  # noqa: PLC0415

            from .backends.executor import capacity  # noqa: PLC0415

            if not isinstance(n, Executor):
                raise TypeError(f"workers must be an integer of at least 0, or an executor, got {n!r}")
            if kind != "thread":
                raise ValueError("an executor brings its own workers; leave out kind")
            return self._with(workers=capacity(n), executor=n, kind="thread")
        least = 1 if kind == "process" else 0
        return self._with(workers=check_int("workers", n, least), kind=kind, executor=None)

    @overload
    def prefetch(self, n: int | None = None, *, to_device: Literal[False] = False) -> DataLoader[T_contra, B_co]: ...
    @overload
    def prefetch(self, n: int | None = None, *, to_device: object) -> DataLoader[T_contra, Any]: ...

    def prefetch(self, n: int | None = None, *, to_device: object = False) -> DataLoader[T_contra, Any]:
        """Sets how many batches are kept ready ahead of the one in the caller's hands.

        Args:
            n: Number of batches. Left out, it is sized from the first batch to fill 64 MiB, within 2 to 64 batches, for
                a GPU 3 to 64. As long as more than half of them are ready, those that were taken are replaced by the
                quarter.
            to_device: Move batches to devices in the background. True means JAX's default device or, with `shard`, the
                mesh; or give a `jax.Device` or a `jax.sharding.Sharding`.

        Raises:
            TypeError: If `n` is not an integer, or `to_device` is no device.
            ValueError: If `n` is negative, or `workers(0)` leaves nobody to prefetch, or the device belongs to another
                process.
            ImportError: If `to_device` is set and loadax-distributed is not installed.
        """
        placement = None if isinstance(to_device, bool) else resolve.device_placement(to_device)
        return self._with(
            prefetch="auto" if n is None else check_int("prefetch", n, 0),
            to_device=to_device is not False,
            placement=placement,
        )

    @overload
    def shard(self, mesh: ShardingStrategy) -> DataLoader[T_contra, B_co]: ...
    @overload
    def shard(
        self, mesh: MeshLike, data_axis_name: str | tuple[str, ...] = "data", *, specs: Any = None
    ) -> DataLoader[T_contra, B_co]: ...

    def shard(
        self,
        mesh: MeshLike | ShardingStrategy,
        data_axis_name: str | tuple[str, ...] = "data",
        *,
        specs: Any = None,
    ) -> DataLoader[T_contra, B_co]:
        """Distributes each global batch over a mesh: a process loads the rows that its own devices hold, and no others.

        Batches are this process's rows, on the host, which `loader.sharding_strategy.distribute_global_batch` makes
        into global arrays; with `prefetch(to_device=True)` they are global arrays already.

        Args:
            mesh: A `jax.sharding.Mesh`, or any `ShardingStrategy`.
            data_axis_name: The mesh axis, or axes, over which rows are divided.
            specs: A tree of `PartitionSpec`s like the batch, for leaves that are divided in more than their rows.

        Raises:
            ImportError: If `mesh` is a mesh and loadax-distributed is not installed.
            TypeError: If `mesh` is neither.
            ValueError: If the mesh has no such axis; names the axes that it has.
        """
        if isinstance(mesh, ShardingStrategy):
            if data_axis_name != "data" or specs is not None:
                raise ValueError("a ShardingStrategy fixes the data axis and specs itself; leave these arguments out")
            return self._with(strategy=mesh)
        return self._with(strategy=resolve.mesh_strategy(mesh, data_axis_name, specs))

    def epochs(self, n: int | None) -> DataLoader[T_contra, B_co]:
        """Sets the number of epochs of one continuous run; a shuffled dataset is reshuffled for each.

        Args:
            n: Number of epochs, at least 1; None never ends.

        Raises:
            TypeError: If `n` is not an integer.
            ValueError: If it is less than 1.
        """
        return self._with(epochs=None if n is None else check_int("epochs", n, 1))

    def timeout(self, seconds: float | None) -> DataLoader[T_contra, B_co]:
        """Makes a read that takes too long an error that names the row and shows where the worker stands.

        Args:
            seconds: The longest time that reading a row, batching or placing may take; None waits forever.

        Raises:
            TypeError: If it is not a number.
            ValueError: If it is not positive, longer than a thread can wait, or if `workers(0)` leaves nobody to watch.
        """
        if seconds is not None:
            seconds = check_seconds("timeout", seconds)
        return self._with(timeout=seconds)

    def build(self, dataset: Dataset[T_contra]) -> Loader[B_co]:
        """Checks everything that can be checked before batches are loaded, and returns the loader.

        No row is read, but by datasets whose fingerprint needs a few, or whose length needs all, as that of a filter.

        Args:
            dataset: Anything with `len()` and `[i]`; a `shape` will do for `len()`.

        Returns:
            A loader whose batches have the type that the batcher returns.

        Raises:
            TypeError: If `dataset` lacks `len()` or `[i]`, or processes are asked for and it cannot be pickled.
            ValueError: If settings contradict each other or the dataset's length, or batches cannot be divided among
                the data shards.
            RuntimeError: If worker processes are asked for on a platform that cannot share memory with them.
        """
        settings = self._settings
        dataset = with_length(dataset)
        rows = check_length(dataset)
        check_first_epoch(dataset)
        plan = plan_of(settings, rows)
        fetch = Fetch(dataset, settings.batcher, settings.strategy, placement_of(settings))
        loading = loading_of(settings, fetch)
        run = Run(plan, fetch, *loading, settings.timeout, settings.strategy, fingerprint(dataset))
        run.check_divisible(plan.start)
        check_lengths(settings)
        return Loader(run)

    def __repr__(self) -> str:
        default = Settings(self._settings.batcher)
        changed = [
            f"{name}={value!r}"
            for name in Settings._fields
            if (value := getattr(self._settings, name)) != getattr(default, name)
        ]
        return f"DataLoader({', '.join([repr(self._settings.batcher), *changed])})"

    def _with(self, **changes: Any) -> DataLoader[T_contra, B_co]:
        """A copy with some settings changed, unless they contradict the others."""
        settings = self._settings._replace(**changes)
        if settings.workers == 0:
            if settings.prefetch:
                ahead = "" if settings.prefetch == "auto" else settings.prefetch
                raise ValueError(f"prefetch({ahead}) needs a worker to load, but workers is 0; set .workers(1)")
            if settings.timeout is not None:
                raise ValueError(
                    f"timeout({settings.timeout:g}) needs a worker to watch, workers is 0; set .workers(1)"
                )
        if settings.placement is not None and settings.strategy is not None:
            raise ValueError(
                "with .shard the mesh decides where batches go; use .prefetch(to_device=True), without naming a device"
            )
        new: DataLoader[Any, Any] = DataLoader()
        new._settings = settings
        return cast("DataLoader[T_contra, B_co]", new)
