"""Page-locks host memory, which a GPU reads directly.

A GPU cannot read other host memory. There the CPU first copies each transfer into page-locked memory. The copy takes
longer than the transfer, and memory bandwidth that loading needs.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .devices import Device


class Pinning:
    """Page-locks memory for the GPUs of this process, if JAX and the system allow it. Thread-safe.

    On other platforms it does nothing: a CPU uses aligned memory in place, and JAX decides how TPUs read memory.

    Attributes:
        gpu: Whether batches go to a GPU.
    """

    def __init__(self, devices: Iterable[Device]) -> None:
        """Looks for GPUs.

        Args:
            devices: The devices that batches go to, of this process and of others.
        """
        # Memory that is page-locked for one GPU of a process is page-locked for all.
        self._gpu: Any = next((device for device in devices if device.platform == "gpu"), None)
        self.gpu = self._gpu is not None

    def __call__(self, memory: npt.NDArray[np.uint8]) -> None:
        """Page-locks memory until it is freed.

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
            # This version of JAX cannot, or the system allows no more page-locked memory; transfers are then slower.
            self._gpu = None
            return
        # At the end of the process, a transfer may still use the memory.
        weakref.finalize(memory, client.dma_unmap, address).atexit = False
