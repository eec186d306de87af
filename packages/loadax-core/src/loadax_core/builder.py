"""`DataLoader`: the chain of settings that ends in `build`.

The file is longer than others, since each setting is a method of one class: most of it is docstrings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, SupportsFloat, TypeVar, cast, overload

from . import distributed as resolve
from .batch.pad import PadBatcher
from .batch.stack import Batcher, StackBatcher
from .checks import check_bool, check_first_epoch, check_int, check_length, check_seconds, emit_build_warnings
from .hints import BuilderHints, given_by_name, settings_are_calls, takes_a_dataset
from .loader import Loader
from .plan.state import fingerprint
from .protocols import Dataset, MeshLike, ShardingStrategy, Stacked, Untyped
from .read.access import with_length
from .read.fetch import Fetch
from .repeats import Repeats
from .spec import Run, Settings, check_lengths, check_settings, loading_of, placement_of, plan_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

T_contra = TypeVar("T_contra", contravariant=True)
B_co = TypeVar("B_co", covariant=True)
T = TypeVar("T")
B = TypeVar("B")
D = TypeVar("D", bound=dict[str, Any])


class DataLoader(BuilderHints, Generic[T_contra, B_co]):
    """Holds the settings of a loader; `build(dataset)` returns the loader.

    Every call returns a new `DataLoader`. So a `DataLoader` can be kept, changed in several ways, and used for several
    datasets.

    Defaults: batch size 1, and no background loading. `prefetch` alone sets 1 worker, and `workers` alone sets
    `prefetch(2)`. A worker may gather several quick batches in one call, up to 4 MiB together.

    Args:
        batcher: Makes a list of items into a batch. Left out, items are stacked (`StackBatcher`).

    Raises:
        TypeError: If `batcher` is not callable, or if a setting is given as an argument; settings are methods.

    Example:
        >>> loader = DataLoader().batch_size(4).workers(2).prefetch(3).build(range(10))
        >>> [batch.tolist() for batch in loader]
        [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    """

    __slots__ = ("_settings",)
    _settings: Settings

    @overload
    def __init__(self: DataLoader[Stacked, Stacked], batcher: StackBatcher | PadBatcher = ...) -> None: ...
    @overload
    def __init__(self: DataLoader[T, B], batcher: Callable[[list[T]], B]) -> None: ...

    def __init__(self, batcher: Callable[[list[Any]], Any] | None = None, *more: object, **unknown: object) -> None:
        if more or unknown:
            raise TypeError(settings_are_calls("DataLoader takes a batcher", more, unknown))
        if batcher is None:
            batcher = StackBatcher()
        if not callable(batcher):
            dataset = hasattr(batcher, "__getitem__")
            fix = "; give the dataset to build: DataLoader().batch_size(n).build(dataset)" if dataset else ""
            raise TypeError(f"a batcher is a callable that takes a list of items, got {batcher!r:.80}{fix}")
        if batcher in (Batcher, StackBatcher, PadBatcher):
            raise TypeError(f"{batcher.__name__} is a class; give a batcher, such as {batcher.__name__}(...)")
        self._settings = Settings(batcher)

    @given_by_name("drop_remainder")
    def batch_size(self, n: int, *, drop_remainder: bool = False) -> DataLoader[T_contra, B_co]:
        """Sets the number of rows of the global batch of one step, over all processes and devices together.

        Args:
            n: Rows of the global batch, at least 1.
            drop_remainder: Leave out the last batch of an epoch if it has fewer rows. A jitted step would be compiled a
                second time for that batch.

        Raises:
            TypeError: If `n` is not an integer, or `drop_remainder` not a bool.
            ValueError: If `n` is less than 1.
        """
        drop_remainder = check_bool("drop_remainder", drop_remainder)
        return self._with(batch_size=check_int("batch_size", n, 1), drop_remainder=drop_remainder)

    @overload
    def workers(
        self,
        n: int,
        *,
        kind: Literal["thread", "process"] = "thread",
        initializer: Callable[[], object] | None = None,
    ) -> DataLoader[T_contra, B_co]: ...
    @overload
    def workers(self, n: Executor) -> DataLoader[T_contra, B_co]: ...

    @given_by_name("kind")
    def workers(
        self,
        n: int | Executor,
        *,
        kind: Literal["thread", "process"] = "thread",
        initializer: Callable[[], object] | None = None,
    ) -> DataLoader[T_contra, B_co]:
        """Sets who loads batches: threads, processes, or an executor of your own.

        Workers load several batches at the same time, and share the rows of a slow batch. The order and the values of
        batches never depend on the workers.

        Threads suit reading, NumPy, and other code that releases the GIL. Processes suit Python code that holds the
        GIL: of such code only one thread runs at a time. A process is spawned in about 1 s, receives a pickled copy of
        the dataset, and returns batches through shared memory. A program that uses processes does its work under
        `if __name__ == "__main__":`. In a worker process, JAX has CPU devices only. If the program has imported JAX,
        each process gets its `jax.config` (x64, PRNG implementation, matmul precision and others, but not the choice of
        devices), as it is when the run starts. An `initializer` makes the settings of other libraries.

        An executor may be a `ProcessPoolExecutor`, a Dask client's `get_executor()`, an executor of mpi4py, or any
        other `concurrent.futures.Executor`. Each of its processes receives the dataset once. Loadax does not shut it
        down.

        Args:
            n: Number of workers; 0 loads in the caller's thread. Or an executor.
            kind: `"thread"` or `"process"`.
            initializer: Is called without arguments in each worker process, before the dataset is unpickled there. It
                makes the settings that a script makes at its top, such as Pillow's `LOAD_TRUNCATED_IMAGES`, or parses
                absl flags. What it raises is raised by `next`.

        Raises:
            TypeError: If `n` is neither an integer nor an executor, or `initializer` is not callable.
            ValueError: If `n` is negative; if `n` is 0 and `prefetch`, `timeout` or `kind` needs a worker; if `kind` is
                unknown; or if `initializer` is given without `kind="process"`.
        """
        if kind not in ("thread", "process"):
            raise ValueError(f"kind must be 'thread' or 'process', got {kind!r}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be a function without arguments, got {initializer!r:.80}")
        if not hasattr(n, "__index__"):
            # Executors are imported only if one is given: the import takes half as long as that of all other modules.
            from concurrent.futures import Executor  # noqa: PLC0415

            from .backends.executor import capacity  # noqa: PLC0415

            if not isinstance(n, Executor):
                raise TypeError(f"workers must be an integer of at least 0, or an executor, got {n!r}")
            if kind != "thread":
                raise ValueError("an executor brings its own workers; leave out kind")
            if initializer is not None:
                raise ValueError(
                    "an executor starts its own processes; give the initializer to it, as in "
                    "ProcessPoolExecutor(4, initializer=...)"
                )
            return self._with(workers=capacity(n), executor=n, kind="thread", initializer=None)
        if initializer is not None and kind != "process":
            raise ValueError(
                "initializer runs in worker processes, but kind is 'thread'; add kind='process', or call it yourself"
            )
        least = 1 if kind == "process" else 0
        return self._with(workers=check_int("workers", n, least), kind=kind, executor=None, initializer=initializer)

    @overload
    def prefetch(self, n: int | None = None, *, to_device: Literal[False] = False) -> DataLoader[T_contra, B_co]: ...
    @overload
    def prefetch(
        self: DataLoader[T, Stacked], n: int | None = None, *, to_device: object
    ) -> DataLoader[T, Stacked]: ...
    @overload
    def prefetch(self, n: int | None = None, *, to_device: object) -> DataLoader[T_contra, Any]: ...

    @given_by_name("to_device")
    def prefetch(self, n: int | None = None, *, to_device: object = False) -> DataLoader[T_contra, Any]:
        """Sets how many batches are kept ready, beside the batch that the caller holds.

        Args:
            n: Number of batches. Left out, the loader chooses it by the size of the batches: as many as fit 64 MiB, at
                least 2 (3 on a GPU) and at most 64.
            to_device: Move batches to devices in the background. True means JAX's default device or, with `shard`, the
                mesh. A `jax.Device` or a `jax.sharding.Sharding` names another place.

        Raises:
            TypeError: If `n` is not an integer, or `to_device` is neither a bool nor a device nor a sharding.
            ValueError: If `n` is negative, if `workers(0)` is set, which leaves no worker to prefetch, or if the device
                belongs to another process.
            ImportError: If `to_device` is set and loadax-distributed is not installed.
        """
        placement = None if isinstance(to_device, bool) else resolve.device_placement(to_device)
        try:
            batches = "auto" if n is None else check_int("prefetch", n, 0)
        except TypeError as error:
            if isinstance(n, float | str):
                raise
            # A flag, or a device.
            raise TypeError(f"{error}; where batches go is given by name, prefetch(to_device=True)") from None
        return self._with(prefetch=batches, to_device=to_device is not False, placement=placement)

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

        A batch of the loader holds this process's rows, on the host.
        `loader.sharding_strategy.distribute_global_batch(batch)` makes global arrays of them. With
        `prefetch(to_device=True)`, batches are global arrays already.

        Args:
            mesh: A `jax.sharding.Mesh`, or any `ShardingStrategy`.
            data_axis_name: The mesh axis, or axes, that divide the rows.
            specs: A tree of `PartitionSpec`s with the containers of the batch, for leaves that are divided along other
                dimensions too.

        Raises:
            ImportError: If `mesh` is a mesh and loadax-distributed is not installed.
            TypeError: If `mesh` is neither a mesh nor a `ShardingStrategy`.
            ValueError: If the mesh has no such axis; the error names the axes that it has.
        """
        if isinstance(mesh, ShardingStrategy):
            if data_axis_name != "data" or specs is not None:
                raise ValueError("a ShardingStrategy fixes the data axis and specs itself; leave these arguments out")
            return self._with(strategy=mesh)
        return self._with(strategy=resolve.mesh_strategy(mesh, data_axis_name, specs))

    def epochs(self, n: int | None) -> DataLoader[T_contra, B_co]:
        """Sets the number of epochs of one continuous run; a shuffled dataset has another order in each epoch.

        Args:
            n: Number of epochs, at least 1; None for a run without an end.

        Raises:
            TypeError: If `n` is not an integer.
            ValueError: If `n` is less than 1.
        """
        try:
            return self._with(epochs=None if n is None else check_int("epochs", n, 1))
        except ValueError as error:
            raise ValueError(f"{error}; None makes a run without an end") from None

    @given_by_name("steps")
    def skip(self, *, steps: Iterable[int]) -> DataLoader[T_contra, B_co]:
        """Leaves out steps, such as those of a loss spike: they are neither read nor yielded.

        All other steps keep their rows and their numbers. A state holds the steps that were skipped before it, and is
        refused by a loader that skips other ones before that position; steps that come later may be added or left out.

        Args:
            steps: All steps to leave out, counted over all epochs from epoch 0 on, as `step` of an iterator over all
                epochs is. Each call replaces those of an earlier call.

        Raises:
            TypeError: If `steps` cannot be iterated over, or a step is not an integer.
            ValueError: If a step is negative.
        """
        if not hasattr(steps, "__iter__"):
            raise TypeError(f"skip takes all steps to leave out; write skip(steps=[{steps!r:.40}])")
        return self._with(skip=tuple(sorted({check_int("a step", step, 0) for step in steps})))

    def timeout(self, seconds: float | None) -> DataLoader[T_contra, B_co]:
        """Raises a `TimeoutError` if a read takes too long; the error names the row and shows the worker's stack.

        Args:
            seconds: The longest time that reading a row, batching or placing may take, or opening the dataset in a
                worker process; None sets no limit.

        Raises:
            TypeError: If `seconds` is not a number.
            ValueError: If `seconds` is not positive, or longer than a thread can wait; or if `workers(0)` is set, which
                leaves no worker to watch.
        """
        if seconds is not None:
            seconds = check_seconds("timeout", seconds)
        return self._with(timeout=seconds)

    @overload
    def count(self: DataLoader[T, Stacked], **counts: Callable[[Any], SupportsFloat]) -> DataLoader[T, Stacked]: ...
    @overload
    def count(self, **counts: Callable[[B_co], SupportsFloat]) -> DataLoader[T_contra, B_co]: ...

    def count(self, **counts: Callable[[Any], SupportsFloat]) -> DataLoader[Any, Any]:
        """Sums what you count in the batches that `next` returns, such as tokens, for `stats` and `progress`.

        A worker calls each function once a batch, with the batch on the host, before it is placed on devices. With
        `shard`, a batch holds this process's rows. Further calls add further counts.

        Args:
            **counts: For each name, a function that takes a batch and returns a number.

        Raises:
            TypeError: If no count is given, or one is not callable.

        Example:
            >>> batches = iter(DataLoader().batch_size(3).count(total=lambda batch: batch.sum()).build(range(5)))
            >>> [batch.tolist() for batch in batches], batches.stats().counts
            ([[0, 1, 2], [3, 4]], {'total': 10})
        """
        if not counts:
            raise TypeError(
                "count needs a function for each name, as in count(tokens=lambda batch: batch['mask'].sum())"
            )
        for name, function in counts.items():
            if not callable(function):
                raise TypeError(f"count({name}=...) must be a function that takes a batch, got {function!r:.80}")
        return self._with(counts={**self._settings.counts, **counts})

    # What is of type Any fits `Untyped`, and gives Any; a type checker would take the first other signature for it.
    # If several signatures fit a type with an Any inside, such as a dict of arrays, mypy takes the first only if it
    # infers the same parameters for all of them. So these have type variables, and the last one must not fit `Stacked`.
    @overload
    def build(self: DataLoader[T, Untyped], dataset: Dataset[T]) -> Loader[Any]: ...
    @overload
    def build(self: DataLoader[Any, Stacked], dataset: Dataset[Untyped]) -> Loader[Any]: ...
    @overload
    def build(self: DataLoader[Any, Stacked], dataset: Dataset[D]) -> Loader[dict[str, Any]]: ...
    @overload
    def build(self: DataLoader[Any, Stacked], dataset: Dataset[T]) -> Loader[Any]: ...
    @overload
    def build(self, dataset: Dataset[T_contra]) -> Loader[B_co]: ...

    @takes_a_dataset
    def build(self, dataset: Dataset[Any]) -> Loader[Any]:
        """Checks the settings and the dataset, and returns the loader.

        The loader reads no row yet. A dataset may: a filter reads all rows for its length, and some datasets read a few
        rows for their fingerprint.

        Args:
            dataset: Anything with `len()` and `[i]`; `shape[0]` takes the place of `len()` where there is none.

        Returns:
            A loader whose batches have the type that the batcher returns.

        Raises:
            TypeError: If `dataset` lacks `len()` or `[i]`, or if processes shall load it and it cannot be pickled.
            ValueError: If settings contradict each other or the dataset's length, if batches cannot be divided among
                the data shards, or if the dataset is what `at_epoch` returned for a later epoch than 0.
            RuntimeError: If processes shall load on a platform that cannot share memory with them.
        """
        settings = self._settings
        dataset = with_length(dataset)
        rows = check_length(dataset)
        check_first_epoch(dataset)
        emit_build_warnings(dataset)
        plan = plan_of(settings, rows)
        fetch = Fetch(dataset, settings.batcher, settings.strategy, placement_of(settings), counts=settings.counts)
        loading = loading_of(settings, fetch)
        run = Run(plan, fetch, *loading, settings.timeout, settings.strategy, fingerprint(dataset))
        run.check_divisible(plan.start)
        check_lengths(settings)
        # A run of several epochs has an order for each; to start it anew is to train anew.
        return Loader(run, Repeats() if settings.epochs == 1 else None)

    def __repr__(self) -> str:
        default = Settings(self._settings.batcher)
        changed = [
            f"{name}={value!r}"
            for name in Settings._fields
            if (value := getattr(self._settings, name)) != getattr(default, name)
        ]
        return f"DataLoader({', '.join([repr(self._settings.batcher), *changed])})"

    def _with(self, **changes: Any) -> DataLoader[T_contra, B_co]:
        """A copy with some settings changed; settings that contradict each other are errors."""
        settings = self._settings._replace(**changes)
        check_settings(settings)
        new: DataLoader[Any, Any] = DataLoader()
        new._settings = settings
        return cast("DataLoader[T_contra, B_co]", new)
