"""`make_mesh`: the usual mesh, with rows over one axis and the model over the other."""

from __future__ import annotations

import numpy as np
from jax.sharding import Mesh

from .checks import count
from .devices import all_devices, process_count


def make_mesh(data: int | None = None, model: int | None = None) -> Mesh:
    """Makes a mesh of all devices of the job, with the axes `"data"` and `"model"`.

    Devices are in the order of their processes, so that the model axis stays within a process if its size allows. The
    axes are Auto.

    Args:
        data: Number of data shards. Left out: the number of devices divided by `model`; without `model`, the number of
            processes.
        model: Number of devices that share each row. Left out: the number of devices divided by `data`.

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
            f"data={data} times model={model} is {data * model}, and there are {len(devices)} devices; leave data or "
            "model out to use all devices"
        )
    return Mesh(np.array(devices).reshape(data, model), ("data", "model"))


def _rest(devices: int, name: str, size: int) -> int:
    """The size of the other axis."""
    if devices % size:
        raise ValueError(f"{name}={size} does not divide the {devices} devices; choose one of {_divisors(devices)}")
    return devices // size


def _divisors(number: int) -> str:
    return ", ".join(str(d) for d in range(1, number + 1) if number % d == 0)
