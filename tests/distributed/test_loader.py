"""The builder's `shard` and `prefetch(to_device=...)` on the devices of one process."""

from __future__ import annotations

import gc
from typing import Any

import jax as typed_jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from loadax_core import DataLoader
from loadax_core.testing import check_loader, check_same
from loadax_distributed import MeshShardingStrategy, make_mesh

P = PartitionSpec
jax: Any = typed_jax  # its own types are partly unknown
ROWS = 48


class Rows:
    """Gathers and reads rows that tell which row they are."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> Any:
        return {"x": np.full((4, 2), row, np.float32), "label": np.int32(row)}

    def gather(self, rows: Any, alloc: Any) -> Any:
        x = alloc((len(rows), 4, 2), np.dtype(np.float32))
        x[:] = rows[:, None, None]
        label = alloc((len(rows),), np.dtype(np.int32))
        label[:] = rows
        return {"x": x, "label": label}


class Items(Rows):
    gather = None  # pyright: ignore[reportAssignmentType]


@jax.tree_util.register_pytree_node_class
class Opened:
    """A container that only JAX opens."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def tree_flatten(self) -> tuple[tuple[Any], None]:
        return (self.held,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any]) -> Opened:
        return cls(*children)


def mesh(shape: tuple[int, ...] = (4, 2), names: tuple[str, ...] = ("data", "model")) -> Any:
    return jax.make_mesh(shape, names)


@pytest.mark.parametrize("dataset", [Rows(), Items()])
@pytest.mark.parametrize("workers", [0, 2])
def test_local_batches_become_global_ones_by_hand_or_in_the_background(dataset: Any, workers: int) -> None:
    builder = DataLoader().batch_size(8).workers(workers).shard(mesh())
    by_hand = builder.build(dataset)
    strategy = by_hand.sharding_strategy
    assert isinstance(strategy, MeshShardingStrategy)
    global_batches = [strategy.distribute_global_batch(batch) for batch in by_hand]
    in_background = list(builder.prefetch(2 * bool(workers), to_device=True).build(dataset))
    assert len(global_batches) == len(in_background) == 6
    for step, (a, b) in enumerate(zip(global_batches, in_background, strict=True)):
        check_same(jax.device_get(a), jax.device_get(b))
        assert a["x"].sharding == b["x"].sharding == NamedSharding(strategy.mesh, P("data"))
        assert b["label"].tolist() == list(range(8 * step, 8 * step + 8))


def test_the_contract_holds_on_devices() -> None:
    check_loader(DataLoader().batch_size(8).workers(2).prefetch(3, to_device=True).shard(mesh()).build(Rows()))
    check_loader(DataLoader().batch_size(7).prefetch(to_device=True).epochs(2).build(Items()))


def test_specs_divide_leaves_further() -> None:
    specs = {"x": P("data", "model"), "label": P("data")}
    builder = DataLoader().batch_size(8).shard(mesh(), specs=specs).prefetch(1, to_device=True)
    batch = next(iter(builder.build(Rows())))
    assert {shard.data.shape for shard in batch["x"].addressable_shards} == {(2, 2, 2)}


@pytest.mark.parametrize("target", ["default", "device", "sharding"])
def test_batches_arrive_where_they_were_sent(target: str) -> None:
    where: Any = {
        "default": True,
        "device": jax.local_devices()[3],
        "sharding": NamedSharding(mesh((8,), ("rows",)), P("rows")),
    }[target]
    devices = {"default": [0], "device": [3], "sharding": list(range(8))}[target]
    for batch in DataLoader().batch_size(8).prefetch(2, to_device=where).build(Rows()):
        assert sorted(device.id for device in batch["x"].devices()) == devices


def test_the_default_device_is_the_one_at_build() -> None:
    builder = DataLoader().batch_size(8).prefetch(2, to_device=True)
    with jax.default_device(jax.local_devices()[5]):
        loader = builder.build(Rows())
    assert {device.id for batch in loader for device in batch["x"].devices()} == {5}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"data_axis_name": "rows"}, ValueError, "names the axis 'rows'; the mesh has 'data', 'model'"),
        ({"data_axis_name": ("data", "data")}, ValueError, "twice"),
        ({"specs": {"x": P("model")}}, ValueError, "must divide the first dimension"),
    ],
)
def test_a_wrong_axis_fails_in_shard(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        DataLoader().shard(mesh(), **arguments)


def test_what_is_no_mesh_fails_in_shard() -> None:
    with pytest.raises(TypeError, match=r"3 is not a jax\.sharding\.Mesh"):
        DataLoader().shard(3)  # pyright: ignore[reportArgumentType, reportCallIssue]


@pytest.mark.parametrize("target", ["gpu:0", 7, None, 1])
def test_what_is_no_device_fails_in_prefetch(target: Any) -> None:
    with pytest.raises(TypeError, match="is neither a device nor a sharding; give True"):
        DataLoader().prefetch(2, to_device=target)


def test_a_batcher_keeps_the_rows_first_also_in_containers_that_only_jax_opens() -> None:
    def fold(items: list[Any]) -> Opened:
        return Opened([np.stack(items).reshape(2, 4), None])

    builder = DataLoader(fold).batch_size(8).shard(mesh((2,), ("data",))).prefetch(1, to_device=True)
    message = r"batch.*\[0\] has shape \(2, 4\), made of 8 rows, and \.shard divides the first dimension"
    with pytest.raises(ValueError, match=message):
        next(iter(builder.build(np.arange(16, dtype=np.float32))))


def test_batch_sizes_that_the_shards_cannot_divide_fail_in_build() -> None:
    builder = DataLoader().shard(mesh())
    with pytest.raises(ValueError, match="a batch of 6 rows is not divisible by 4 data shards"):
        builder.batch_size(6).build(Rows())
    with pytest.raises(ValueError, match=r"the last batch .* has 12 rows instead of 40") as caught:
        DataLoader().batch_size(40).shard(mesh((8,), ("data",)), specs=None).build([0] * 48 + [0] * 4)
    assert "drop_remainder=True" in str(caught.value)
    assert "pad_to_multiple(40)" in str(caught.value)


@pytest.mark.parametrize("dataset", [Rows(), Items()])
def test_batches_that_are_held_do_not_change(dataset: Any) -> None:
    """As NumPy arrays and as jax.Arrays, whole and sharded, while later batches are loaded and earlier ones freed."""
    on_host = DataLoader().batch_size(8).workers(2).prefetch(2).epochs(4)
    on_device, sharded = on_host.prefetch(2, to_device=True), on_host.shard(mesh()).prefetch(2, to_device=True)
    for builder in (on_host, on_device, sharded):
        held: list[Any] = []
        for step, batch in enumerate(builder.build(dataset)):
            if step % 3:
                held.append((step, batch))
            del batch
            gc.collect()
        for step, batch in held:
            start = 8 * step % ROWS
            assert np.asarray(batch["label"]).tolist() == list(range(start, start + 8))
            assert np.asarray(batch["x"])[:, 0, 0].tolist() == list(range(start, start + 8))


def test_an_array_outlives_the_iterator_that_loaded_it() -> None:
    @jax.jit
    def total(x: Any) -> Any:
        return x.sum()

    sums: list[Any] = []
    with iter(DataLoader().batch_size(8).prefetch(2, to_device=True).build(Rows())) as batches:
        sums.extend(total(batch["x"]) for batch in batches)
    gc.collect()
    assert [float(value) for value in sums] == [8.0 * sum(range(8 * step, 8 * step + 8)) for step in range(6)]


def test_an_error_of_the_placement_arrives_at_its_step() -> None:
    class Texts(Rows):
        gather = None  # pyright: ignore[reportAssignmentType]

        def __getitem__(self, row: int) -> Any:
            return {"text": "x"} if row >= 16 else {"text": row * 1.0}

    batches = iter(DataLoader().batch_size(8).prefetch(3, to_device=True).build(Texts()))
    with pytest.warns(UserWarning, match=r"batch\['text'\] is float64, which JAX stores as float32"):
        assert len([next(batches), next(batches)]) == 2
    with pytest.raises(TypeError, match=r"batch\['text'\] has dtype object") as caught:
        next(batches)
    assert caught.value.__notes__ == ["loadax: while placing the batch of epoch 0, step 2"]


def test_batch_sizes_that_a_sharding_cannot_divide_fail_in_build() -> None:
    sharding = NamedSharding(mesh((8,), ("data",)), PartitionSpec("data"))
    builder = DataLoader().prefetch(1, to_device=sharding)
    rows = np.arange(20, dtype=np.int32)
    with pytest.raises(ValueError, match=r"has 4 rows instead of 16, .*drop_remainder=True\), .*pad_to_multiple\(16\)"):
        builder.batch_size(16).build(rows)
    with pytest.raises(
        ValueError, match=r"a batch of 12 rows is not divisible by the 8 parts of NamedSharding"
    ) as caught:
        builder.batch_size(12).build(rows)
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(ValueError, match="a batch of 1 rows is not divisible") as caught:
        builder.build(rows)
    assert caught.value.__notes__ == ["loadax: set .batch_size(n); left out, it is 1"]
    assert [len(batch) for batch in builder.batch_size(16, drop_remainder=True).build(rows)] == [16]
    # What a function makes of the rows, only it knows.
    twice = DataLoader(lambda items: np.repeat(items, 2)).batch_size(16).prefetch(1, to_device=sharding)
    assert [len(batch) for batch in twice.build(rows)] == [32, 8]
    whole = NamedSharding(mesh((8,), ("data",)), PartitionSpec(None))
    assert [len(batch) for batch in DataLoader().batch_size(16).prefetch(1, to_device=whole).build(rows)] == [16, 4]


def test_counts_are_of_the_host_batch_of_this_process() -> None:
    seen: list[bool] = []

    def tokens(batch: Any) -> Any:
        seen.append(type(batch) is np.ndarray)
        return batch.sum()

    builder = DataLoader().batch_size(8).shard(make_mesh()).workers(2).prefetch(2, to_device=True)
    with iter(builder.count(tokens=tokens).build(np.arange(32, dtype=np.int32))) as batches:
        assert all(isinstance(batch, jax.Array) for batch in batches)
        assert batches.stats().counts == {"tokens": sum(range(32))}
    assert seen == [True] * 4
