"""What Orbax calls to save and restore an iterator. Orbax is imported by Orbax alone: nothing here needs it."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Generator
from importlib import import_module
from typing import Any


class Checkpointable(ABC):
    """An object with a state that Orbax saves as JSON: what its v1 calls a `StatefulCheckpointable`.

    Several processes have the same state, and Orbax writes it on one of them.
    """

    @abstractmethod
    def get_state(self) -> dict[str, Any]:
        """The state, as a JSON-able dict."""

    @abstractmethod
    def set_state(self, state: object) -> None:
        """Continues from a saved state."""

    async def save(self, directory: Any) -> Awaitable[None]:
        """Is called by Orbax to save the state as it is now; what it returns writes the file in the background.

        Args:
            directory: Where to, once Orbax has made it.
        """
        return await _json_handler().save(directory, self.get_state())

    async def load(self, directory: Any) -> Awaitable[None]:
        """Is called by Orbax to restore a state; nothing is left to be awaited in the background.

        Args:
            directory: Where `save` has written to.

        Raises:
            StateError: If the state does not fit. Orbax would give an error in the background another type.
        """
        reading = await _json_handler().load(directory)
        self.set_state(await reading)
        return _Done()


class _Done:
    """An awaitable of what has been done."""

    def __await__(self) -> Generator[None]:
        yield from ()


def _json_handler() -> Any:
    """Orbax's handler of JSON files, of the module that Orbax calls from."""
    module = sys.modules.get("orbax.checkpoint.v1") or import_module("orbax.checkpoint.experimental.v1")
    return module.handlers.JsonHandler()
