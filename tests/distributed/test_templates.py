from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P
from loadax_distributed import DevicePlacement, MeshShardingStrategy, devices, placement, templates

_jax: Any = jax
_sharding: Any = jax.sharding
DEVICES: Any = np.array(_jax.devices())
MESH = Mesh(DEVICES, ("data",))
GRID = Mesh(DEVICES.reshape(4, 2), ("data", "model"))
EXPLICIT = _jax.make_mesh((4, 2), ("data", "model"), axis_types=(_sharding.AxisType.Explicit,) * 2)
ENABLE_X64: Any = _jax.enable_x64 if hasattr(jax, "enable_x64") else _jax.experimental.enable_x64
DTYPES = ["?", "i1", "u2", "i4", "f4", "i8", "u8", "f8", "c8", "c16", _jax.numpy.bfloat16, _jax.numpy.float8_e4m3fn]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    templates.direct_put.cache_clear()


def assert_alike(placed: Any, other: Any) -> None:
    assert type(placed) is type(other)
    assert (placed.aval, placed.sharding, placed.committed) == (other.aval, other.sharding, other.committed)
    assert placed.weak_type == other.weak_type
    for mine, theirs in zip(placed.addressable_shards, other.addressable_shards, strict=True):
        assert (mine.device, mine.index) == (theirs.device, theirs.index)
        np.testing.assert_array_equal(mine.data, theirs.data)


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("one like it has been placed before")


def numbers(dtype: Any, seed: int, shape: tuple[int, ...] = (8, 4)) -> Any:
    return np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 100, shape).astype(dtype)


@pytest.mark.filterwarnings("ignore:.*which JAX stores as:UserWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    "target",
    [
        True,
        DEVICES[2],
        SingleDeviceSharding(DEVICES[1]),
        NamedSharding(MESH, P("data")),
        NamedSharding(MESH, P()),
        NamedSharding(GRID, P("data", "model")),
        NamedSharding(EXPLICIT, P(None, "model")),
    ],
)
def test_later_batches_are_placed_as_jax_places_them(
    target: Any, dtype: Any, wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = DevicePlacement(target)
    with ENABLE_X64(wide):
        place({"x": numbers(dtype, 0)})
        with monkeypatch.context() as patch:
            patch.setattr(placement, "device_put", never)
            for local in (numbers(dtype, 1), np.asfortranarray(numbers(dtype, 2)), numbers(dtype, 3, (16, 4))[::2]):
                placed = place({"x": local})["x"]
                assert_alike(placed, _jax.device_put(local, None if target is True else target))


@pytest.mark.parametrize("mesh", [GRID, EXPLICIT])
@pytest.mark.parametrize("spec", [P("data"), P("data", "model"), P("data", None)])
def test_later_global_batches_are_assembled_as_jax_does(mesh: Any, spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = MeshShardingStrategy(mesh, specs={"x": spec})
    for rows in (8, 4):
        strategy.distribute_global_batch({"x": numbers("f4", 0, (rows, 6)), "y": numbers("i4", 0, (rows,))})
    for rows in (8, 4):
        x, y = numbers("f4", rows, (rows, 6)), numbers("i4", rows, (rows,))
        with monkeypatch.context() as patch:
            patch.setattr(jax, "make_array_from_callback", never)
            batch = strategy.distribute_global_batch({"x": x, "y": y})
        assert_alike(batch["x"], jax.make_array_from_callback(x.shape, NamedSharding(mesh, spec), x.__getitem__))
        by_rows = NamedSharding(mesh, P("data"))
        assert_alike(batch["y"], jax.make_array_from_callback(y.shape, by_rows, y.__getitem__))


@pytest.mark.filterwarnings("ignore:.*which JAX stores as:UserWarning")
def test_how_wide_numbers_are_stored_is_not_remembered_from_another_context() -> None:
    place = DevicePlacement(True)
    for wide in (False, True, False, True):
        with ENABLE_X64(wide):
            assert place(np.arange(3)).dtype == (np.int64 if wide else np.int32)


def test_a_guard_against_transfers_does_not_stop_the_one_that_is_asked_for() -> None:
    place = DevicePlacement(True)
    with _jax.transfer_guard("disallow"):
        for start in (0, 3):
            assert place(np.arange(start, start + 3, dtype=np.int32)).tolist() == [start, start + 1, start + 2]


def test_single_values_and_arrays_on_devices_are_placed_by_jax() -> None:
    place = DevicePlacement(DEVICES[1])
    for value in (1.5, 2.5):
        batch = place(
            {"a": np.array(value, np.float32), "b": value, "c": _jax.device_put(np.full(1, value, np.float32))}
        )
        assert [(float(x.sum()), x.devices()) for x in batch.values()] == [(value, {DEVICES[1]})] * 3


@pytest.mark.parametrize("change", ["missing", "uncommitted", "other values", "signature", "not a jax.Array"])
def test_without_the_function_jax_places_every_batch(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put: Any = import_module("jax._src.lib").xla_client.batched_device_put

    def other(aval: Any, sharding: Any, parts: Any, devices: Any, committed: bool) -> Any:
        if change == "signature":
            raise TypeError("takes another argument")
        if change == "uncommitted":
            return put(aval, sharding, parts, devices, not committed)
        if change == "other values":
            return put(aval, sharding, [part + 1 for part in parts], devices, committed)
        return parts[0]

    calls: list[Any] = []

    def counted(leaf: Any, target: Any) -> Any:
        calls.append(leaf)
        return devices.device_put(leaf, target)

    def imported(_: str) -> Any:
        functions = {} if change == "missing" else {"batched_device_put": other}
        return SimpleNamespace(xla_client=SimpleNamespace(**functions))

    monkeypatch.setattr(placement, "device_put", counted)
    monkeypatch.setattr(templates, "import_module", imported)
    templates.direct_put.cache_clear()
    place = DevicePlacement(True)
    for start in (0, 3):
        assert place(np.arange(start, start + 3, dtype=np.int32)).tolist() == [start, start + 1, start + 2]
    assert len(calls) == 2
    assert templates.direct_put() is None


def test_of_ragged_batches_not_every_shape_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MOST", 5)
    known = templates.Templates()
    for length in range(1, 9):
        local = np.zeros(length, np.float32)
        known.learn(None, local, _jax.device_put(local))
    found = [known.fill(None, np.zeros(length, np.float32)) is not None for length in range(1, 9)]
    assert found == [True] * 5 + [False] * 3
