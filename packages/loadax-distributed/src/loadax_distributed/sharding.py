"""Global batches over a mesh: which rows this process loads, and how its devices receive them.

The algorithm: the data axes divide the rows of a global batch into `num_data_shards` equal runs, the data shards. JAX's
map from devices to indices says which shards the devices of this process hold; replicas hold the same shard. The
process loads the rows of its shards, in ascending order, and each of its devices takes its slice of them. A process
needs no other one for this: nothing is sent, nothing is compiled, and no process waits for another.

JAX has two shorter ways, which this module does not use. `jax.device_put` with a sharding over several processes runs a
collective, which deadlocks beside a training step. `jax.make_array_from_process_local_data` assumes that processes hold
different rows, and builds a wrong array if a model axis crosses processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from loadax_core import Rows, tree

from .axes import check_axes, check_data_axes, check_entries, check_fits, check_mesh, leaf_shardings, rows_spec
from .checks import count
from .devices import Device, Precision, process_count, process_index, row_spans
from .leaves import LeafRules, map_arrays
from .pinning import Pinning
from .table import Table, device_table
from .templates import Index, Templates

_NO_ROWS = (
    "a single value; each leaf needs a first dimension, the rows: leave it out, or repeat it for each row, as an array "
    "of shape (rows,)"
)


class MeshShardingStrategy:
    """Divides the rows of global batches over the data axes of a mesh, on any number of processes.

    The leaves of a batch are arrays of shape `(rows, ...)`, of NumPy, or of JAX on one device. A CPU device uses memory
    that is aligned to 64 bytes in place, without a copy. Thread-safe.

    Attributes:
        pin: Page-locks memory from which batches are placed on GPUs, until it is freed; on other devices it does
            nothing.
        queued: Whether a transfer waits for all work that was dispatched before it, as on a GPU.

    >>> import jax, numpy as np
    >>> from loadax_distributed import MeshShardingStrategy
    >>> strategy = MeshShardingStrategy(jax.make_mesh((1,), ("data",)))
    >>> strategy.local_rows(4)
    array([0, 1, 2, 3])
    >>> batch = strategy.distribute_global_batch({"image": np.zeros((4, 28, 28), np.float32)})
    >>> batch["image"].shape, batch["image"].sharding == strategy.named_sharding("data")
    ((4, 28, 28), True)
    """

    def __init__(self, mesh: Mesh, data_axis_name: str | Sequence[str] = "data", *, specs: Any = None) -> None:
        """Computes which data shards the devices of this process hold.

        Args:
            mesh: A mesh with devices of every process, with Auto or Explicit axes, in any order.
            data_axis_name: The axis that divides rows, or several axes, major first. With `()`, every device gets every
                row.
            specs: How leaves are divided: one `PartitionSpec` for all leaves, or a tree of them with the containers of
                the batch. The first entry of a spec is `data_axis_name`. Of leaves without a spec, only the rows are
                divided.

        Raises:
            TypeError: If `mesh` is not a mesh of devices, `data_axis_name` is neither a name nor a sequence of names,
                or `specs` holds something else than specs.
            ValueError: If an axis is unknown or repeated, if a process has no device in the mesh, or if a spec does
                not divide rows as `data_axis_name` says.
        """
        self._mesh = check_mesh(mesh)
        self._axes = check_data_axes(self._mesh.axis_names, data_axis_name)
        self._num_data_shards = math.prod(mesh.shape[axis] for axis in self._axes)
        self._rows_only = NamedSharding(mesh, rows_spec(self._axes))
        self._specs = leaf_shardings(mesh, self._axes, specs)
        # For the path of each leaf, the path of the spec that it has.
        self._shared: dict[tree.Path, tree.Path | None] = {}
        self._precision = Precision()
        self._rules = LeafRules()
        self._templates = Templates()
        # A batch of one row per shard shows the shards of this process; other sizes follow by multiplication.
        spans = row_spans(self._rows_only, self._num_data_shards, local=True)
        self._single_device = len(spans) == 1
        self.pin = Pinning(spans)
        self.queued = self.pin.gpu
        own = sorted({start for start, _ in spans.values()})
        self._own_shards = np.array(own, np.int64)
        self._position = {shard: position for position, shard in enumerate(own)}
        self._local_rows: dict[int, Rows] = {}

    @property
    def mesh(self) -> Mesh:
        """The mesh."""
        return self._mesh

    @property
    def data_axis_names(self) -> tuple[str, ...]:
        """The axes that divide rows, major first."""
        return self._axes

    @property
    def num_data_shards(self) -> int:
        """The number of equal runs into which the rows of a global batch are divided."""
        return self._num_data_shards

    @property
    def splits(self) -> bool:
        """Whether some process holds only a part of the rows; the same on every process."""
        held = {(device.process_index, span) for device, span in self._spans(self._num_data_shards).items()}
        return len(held) < self._num_data_shards * process_count()

    def named_sharding(self, *axes: str | Sequence[str] | None) -> NamedSharding:
        """A sharding over this mesh, for parameters, `in_shardings` and the like.

        Args:
            *axes: For each dimension, the axis or axes that divide it, or None. Without arguments: replicated.

        Returns:
            `NamedSharding(mesh, PartitionSpec(*axes))`.

        Raises:
            TypeError: If an entry is neither the name of an axis, nor a sequence of names, nor None.
            ValueError: If an axis is unknown or repeated.
        """
        check_entries(self._mesh.axis_names, axes)
        entries = [entry if entry is None or isinstance(entry, str) else tuple(entry) for entry in axes]
        names = [(entry,) if isinstance(entry, str) else entry or () for entry in entries]
        flat = tuple(name for entry in names for name in entry)
        check_axes(self._mesh.axis_names, flat, f"named_sharding{axes!r}")
        return NamedSharding(self._mesh, PartitionSpec(*entries))

    def local_rows(self, batch_size: int) -> Rows:
        """The rows of a global batch that the devices of this process hold.

        Args:
            batch_size: Rows of the global batch.

        Returns:
            Ascending positions in `range(batch_size)`, of shape `(n,)`; read-only.

        Raises:
            TypeError: If `batch_size` is not an integer.
            ValueError: If the data shards do not divide `batch_size`; every process raises it.
        """
        # Checked before the lookup, in which 8.0 equals 8 and True equals 1.
        batch_size = count("batch_size", batch_size)
        rows = self._local_rows.get(batch_size)
        if rows is None:
            per_shard = self._rows_per_shard(batch_size)
            rows = (self._own_shards[:, None] * per_shard + np.arange(per_shard)).ravel()
            rows.flags.writeable = False
            if len(self._local_rows) < 16:  # an epoch has 2 batch sizes; for more than 16, rows are computed each time
                self._local_rows[batch_size] = rows
        return rows

    def distribute_global_batch(self, local_batch: Any) -> Any:
        """Assembles the global batch from this process's rows, without communication.

        Any thread may call it. The result keeps the memory of `local_batch`; nobody may write to it afterwards.

        Args:
            local_batch: Dicts, lists, tuples, named tuples, dataclasses, or containers that are registered with JAX, of
                arrays of shape `(n, ...)`: the rows of `local_rows`, in that order.

        Returns:
            The same containers of global `jax.Array`s of shape `(batch_size, ...)`. A mapping that is neither an
            `OrderedDict` nor registered with JAX becomes a dict.

        Raises:
            TypeError: If a leaf is not an array of numbers, or has masked entries.
            ValueError: If leaves have different numbers of rows, if the data shards of this process do not divide the
                rows, if a leaf does not fit its spec, or if a spec fits no leaf of this batch.
        """
        first: tuple[tree.Path, int] | None = None
        paths: list[tree.Path] = []

        def distribute(path: tree.Path, leaf: Any) -> jax.Array:
            nonlocal first
            paths.append(path)
            if isinstance(leaf, int | float | complex) and not isinstance(leaf, np.generic):
                raise TypeError(f"{tree.name(path)} is of type {type(leaf).__name__}, {_NO_ROWS}")
            array = self._rules.check(path, leaf)
            if not array.ndim:
                raise ValueError(f"{tree.name(path)} is {_NO_ROWS}")
            if first is None:
                first = path, len(array)
            elif len(array) != first[1]:
                raise ValueError(
                    f"{tree.name(path)} has {len(array)} rows, and {tree.name(first[0])} has {first[1]}; the leaves of "
                    "a batch must have equally many"
                )
            return self._assemble(path, array)

        # The caller asks for this transfer; a guard against implicit transfers must not stop it.
        with jax.transfer_guard_host_to_device("allow"), self._precision.restored():
            batch = map_arrays(distribute, local_batch)
        unseen = self._specs.keys() - {self._spec_of(path) for path in paths} if self._specs else ()
        if unseen:
            raise ValueError(
                f"specs has {', '.join(sorted('specs' + ''.join(path) for path in unseen))}, which no leaf of the "
                f"batch matches; it has {', '.join(map(tree.name, paths)) or 'no leaves'}"
            )
        return batch

    def table(self, batch_size: int | None = None) -> Table:
        """A table of the rows that each device of each process holds.

        Args:
            batch_size: Rows of the global batch; left out, one row for each data shard.

        Returns:
            A table that prints as text, and shows as HTML in a notebook.

        Raises:
            ValueError: If the data shards do not divide `batch_size`.
        """
        batch_size = self._num_data_shards if batch_size is None else batch_size
        self._rows_per_shard(batch_size)
        return device_table(self._spans(batch_size))

    def describe(self) -> str:
        """The settings as text; equal on two processes if and only if they divide batches alike."""
        mesh = ", ".join(f"{axis}={size}" for axis, size in self._mesh.shape.items())
        devices = ", ".join(str(device.id) for device in self._mesh.devices.flat)
        specs = ", ".join(f"specs{''.join(path)}={sharding.spec}" for path, sharding in sorted(self._specs.items()))
        return f"data_axis_name={self._axes} of mesh({mesh}) of devices {devices}; {specs or 'no specs'}"

    def __repr__(self) -> str:
        mesh = ", ".join(f"{axis}={size}" for axis, size in self._mesh.shape.items())
        names = self._axes[0] if len(self._axes) == 1 else self._axes
        return (
            f"MeshShardingStrategy(mesh({mesh}), data_axis_name={names!r}, num_data_shards={self._num_data_shards}, "
            f"process {process_index()} of {process_count()} holds {_ranges(self._own_shards)})"
        )

    def _rows_per_shard(self, batch_size: int) -> int:
        per_shard, rest = divmod(count("batch_size", batch_size), self._num_data_shards)
        if rest:
            raise ValueError(
                f"a batch of {batch_size} rows is not divisible by {self._num_data_shards} data shards; choose a "
                f"batch size that is a multiple of {self._num_data_shards}"
            )
        return per_shard

    def _assemble(self, path: tree.Path, local: Any) -> jax.Array:
        """One leaf of the global batch."""
        known = self._templates.fill(path, local)
        if known is not None:
            return known
        per_shard, rest = divmod(len(local), len(self._position))
        if rest or per_shard < 1:
            raise ValueError(
                f"{tree.name(path)} has {len(local)} rows, and this process holds {len(self._position)} data shards of "
                f"equal size; pass the rows of local_rows(batch_size), a multiple of {len(self._position)}"
            )
        spec = self._spec_of(path)
        sharding = self._rows_only if spec is None else self._specs[spec]
        if sharding is not self._rows_only:
            check_fits(path, local.shape, sharding)
        whole = self._single_device and sharding is self._rows_only
        if isinstance(local, jax.Array) and not whole:
            local = jax.device_get(local)  # slices of a jax.Array would be compiled

        def cut(index: Index) -> Index:
            start = self._position[(index[0].start or 0) // per_shard] * per_shard
            return (slice(start, start + per_shard), *index[1:])

        def own_slice(index: Index | None) -> Any:
            assert index is not None
            return local if whole else local[cut(index)]

        shape = (per_shard * self._num_data_shards, *local.shape[1:])
        made = jax.make_array_from_callback(shape, sharding, own_slice)
        self._templates.learn(path, local, made, cut)
        return made

    def _spec_of(self, path: tree.Path) -> tree.Path | None:
        """The path of the spec of a leaf: that of the leaf, or of a container around it; None without a spec."""
        if path not in self._shared:
            above = (path[:end] for end in range(len(path) + 1))
            self._shared[path] = next((place for place in above if place in self._specs), None)
        return self._shared[path]

    def _spans(self, rows: int) -> dict[Device, tuple[int, int]]:
        """The rows that each device of the job holds."""
        return row_spans(self._rows_only, rows, local=False)


def _ranges(numbers: np.ndarray[Any, np.dtype[np.int64]]) -> str:
    """Ascending shard numbers as text, such as `shards 0-3, 8`."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    shown = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:4]]
    return f"{'shards' if len(numbers) > 1 else 'shard'} {', '.join(shown)}{', ...' if len(runs) > 4 else ''}"
