"""The seed of one row's generator. Importing it imports `numpy.random`, which `import numpy` does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random.bit_generator import ISpawnableSeedSequence, SeedSequence


class RowSeed(ISpawnableSeedSequence):
    """The seed of a row's generator: its key.

    `Philox(key=...)` also asks the operating system for random bytes. It does not use them, they take longer than the
    rest of the call, and its generators cannot spawn others.
    """

    def __init__(self, key: np.ndarray[Any, np.dtype[np.uint64]], row: int) -> None:
        self._key = key
        self._row = row
        self._parent: SeedSequence | None = None

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The key, which Philox asks for. Other bit generators get a hash of it."""
        if n_words == len(self._key) and dtype == self._key.dtype:
            return self._key
        return self._sequence.generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> list[Any]:
        """Seeds of further generators for the same row."""
        return self._sequence.spawn(n_children)

    @property
    def _sequence(self) -> SeedSequence:
        if self._parent is None:
            self._parent = SeedSequence([*self._key.tolist(), self._row])
        return self._parent
