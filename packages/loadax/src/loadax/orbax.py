"""Saves and restores iterators with the `CheckpointManager` of Orbax.

`import loadax.orbax` imports Orbax: `pip install "loadax[orbax]"`. With `orbax.checkpoint.experimental.v1`, iterators
are saved and restored as they are, and nothing of this module is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orbax.checkpoint as ocp
from loadax_core import LoaderIterator


class IteratorHandler(ocp.AsyncCheckpointHandler):
    """Writes the state of an iterator as JSON; Orbax makes one for `IteratorSave` and `IteratorRestore`."""

    def __init__(self) -> None:
        self._json = ocp.JsonCheckpointHandler()

    async def async_save(self, directory: Any, args: IteratorSave) -> Any:
        """Takes the state as it is now; the file is written in the background."""
        return await self._json.async_save(directory, args=ocp.args.JsonSave(args.batches.get_state()))

    def save(self, directory: Any, args: IteratorSave) -> None:
        """Saves the state, and waits until the file is written."""
        self._json.save(directory, args=ocp.args.JsonSave(args.batches.get_state()))

    def restore(self, directory: Any, args: IteratorRestore) -> LoaderIterator[Any]:
        """Restores the state into the iterator, and returns that.

        Raises:
            StateError: If the state is of another order.
        """
        args.batches.set_state(self._json.restore(directory))
        return args.batches

    def close(self) -> None:
        """Gives up what Orbax's own handler holds."""
        self._json.close()


@ocp.args.register_with_handler(IteratorHandler, for_save=True)
@dataclass
class IteratorSave(ocp.args.CheckpointArgs):
    """Saves the state of an iterator, as it is when `save` of the manager is called.

    Several processes have the same state, and Orbax writes it on one of them. The file is that of
    `JsonSave(batches.get_state())`, so that `JsonRestore()` reads it too.

    Args:
        batches: The iterator.

    Example:
        >>> import tempfile
        >>> import orbax.checkpoint as ocp
        >>> from loadax import DataLoader
        >>> from loadax.orbax import IteratorRestore, IteratorSave
        >>> loader = DataLoader(sum).batch_size(2).build([1, 2, 3, 4])
        >>> with ocp.CheckpointManager(tempfile.mkdtemp()) as manager, iter(loader) as batches:
        ...     print(next(batches))
        ...     saved = manager.save(1, args=ocp.args.Composite(data=IteratorSave(batches)))
        ...     manager.wait_until_finished()
        ...     resumed = iter(loader)
        ...     restored = manager.restore(1, args=ocp.args.Composite(data=IteratorRestore(resumed)))
        ...     print(next(resumed))
        3
        7
    """

    batches: LoaderIterator[Any]


@ocp.args.register_with_handler(IteratorHandler, for_restore=True)
@dataclass
class IteratorRestore(ocp.args.CheckpointArgs):
    """Restores a saved state into an iterator, as `set_state` does.

    `restore` of the manager raises a `StateError` if the state is of another order, and returns the iterator otherwise.

    Args:
        batches: The iterator. It may be of another batch size, on another number of hosts.
    """

    batches: LoaderIterator[Any]
