"""The usual mesh: rows over one axis, the model over the other."""

from __future__ import annotations

import numpy as np
from jax.sharding import Mesh

from .checks import count
from .devices import all_devices, process_count


def make_mesh(data: int | None = None, model: int | None = None) -> Mesh:
    """All devices of the job, in a mesh with the axes `"data"` and `"model"`.

    Devices come in the order of their processes, so that the model axis stays inside a process where it can. The
    axes are Auto.

    Args:
        data: Number of data shards. Left out, it is what `model` leaves; with both left out, one for each process.
        model: Number of devices that share each row. Left out, it is what `data` leaves.

    Returns:
        The mesh, of shape `(data, model)`.

    Raises:
        TypeError: If a size is not an integer.
        ValueError: If the sizes are not positive, or their product is not the number of devices.

    >>> import jax
    >>> from loadax_distributed import make_mesh
    >>> dict(make_mesh(model=1).shape) == {"data": jax.device_count(), "model": 1}
    True
    """
    devices = all_devices()
    if model is not None:
        model = count("model", model)
        data = _rest(len(devices), "model", model) if data is None else count("data", data)
    else:
        data = process_count() if data is None else count("data", data)
        model = _rest(len(devices), "data", data)
    if data * model != len(devices):
        raise ValueError(
            f"data={data} times model={model} is {data * model}, but there are {len(devices)} devices; leave one of "
            "them out to use all devices"
        )
    return Mesh(np.array(devices).reshape(data, model), ("data", "model"))


def _rest(devices: int, name: str, size: int) -> int:
    """What the other axis gets."""
    if devices % size:
        raise ValueError(f"{name}={size} does not divide the {devices} devices; choose one of {_divisors(devices)}")
    return devices // size


def _divisors(number: int) -> str:
    return ", ".join(str(d) for d in range(1, number + 1) if number % d == 0)
