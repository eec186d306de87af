from __future__ import annotations

from typing import Any

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType
from loadax_distributed import make_mesh

_jax: Any = jax


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ({}, (1, 8)),
        ({"data": 2}, (2, 4)),
        ({"model": 2}, (4, 2)),
        ({"data": 8, "model": 1}, (8, 1)),
        ({"data": 8}, (8, 1)),
    ],
)
def test_sizes(sizes: dict[str, int], shape: tuple[int, int]) -> None:
    mesh = make_mesh(**sizes)
    assert dict(mesh.shape) == {"data": shape[0], "model": shape[1]}
    assert mesh.axis_names == ("data", "model")
    assert set(mesh.axis_types) == {AxisType.Auto}


@given(st.integers(1, 20), st.integers(1, 20))
def test_all_that_does_not_fit_is_refused_with_the_numbers(data: int, model: int) -> None:
    if data * model == 8:
        assert tuple(make_mesh(data, model).shape.values()) == (data, model)
        return
    with pytest.raises(ValueError, match=f"data={data} times model={model} is {data * model}, and there are 8 devices"):
        make_mesh(data, model)


@pytest.mark.parametrize("name", ["data", "model"])
@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (3, ValueError, "{name}=3 does not divide the 8 devices; choose one of 1, 2, 4, 8"),
        (0, ValueError, "{name} is 0; give at least 1"),
        (-2, ValueError, "{name} is -2; give at least 1"),
        (2.0, TypeError, "{name} is 2.0; give a whole number"),
        (True, TypeError, "{name} is True; give a whole number"),
    ],
)
def test_impossible_sizes_are_refused(name: str, size: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.format(name=name)):
        make_mesh(**{name: size})


def test_devices_come_by_process_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    # JAX may list devices in an order of its own (TPU coordinates); the model axis must not straddle processes for it.
    devices = _jax.devices()
    monkeypatch.setattr(jax, "devices", lambda: [devices[i] for i in (5, 1, 7, 0, 2, 6, 4, 3)])
    assert [device.id for device in make_mesh(2).devices.flat] == list(range(8))
