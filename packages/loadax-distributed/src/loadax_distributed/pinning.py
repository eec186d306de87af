"""Page-locked host memory, which a GPU reads by itself.

From ordinary memory, each transfer is first copied to a place that the GPU can read, by the processor. That takes
longer than the transfer, and part of the memory bandwidth that loading needs.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .devices import Device


class Pinning:
    """Page-locks memory for the GPUs of this process, as far as JAX and the system let it. Thread-safe.

    On other platforms it does nothing: a CPU uses aligned memory as it is, and how TPUs read memory is for JAX to say.

    Attributes:
        gpu: Whether there is one.
    """

    def __init__(self, devices: Iterable[Device]) -> None:
        """Looks for GPUs.

        Args:
            devices: Where batches go, of this process and of others.
        """
        # Memory that is locked for one GPU of a process is locked for all of them.
        self._gpu: Any = next((device for device in devices if device.platform == "gpu"), None)
        self.gpu = self._gpu is not None

    def __call__(self, memory: npt.NDArray[np.uint8]) -> None:
        """Locks memory until it is freed.

        Args:
            memory: Bytes, of shape `(n,)`, in whole pages.
        """
        if self._gpu is None:
            return
        address: int = memory.__array_interface__["data"][0]
        try:
            client = self._gpu.client
            client.dma_map(address, memory.nbytes)
        except Exception:
            # This version of JAX cannot, or the system allows no more. From ordinary memory, transfers are slower.
            self._gpu = None
            return
        # When the process ends, it may be in use.
        weakref.finalize(memory, client.dma_unmap, address).atexit = False
