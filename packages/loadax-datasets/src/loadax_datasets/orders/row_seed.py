"""The seed of one row's generator. Importing it imports `numpy.random`, which `import numpy` does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random.bit_generator import ISpawnableSeedSequence, SeedSequence


class RowSeed(ISpawnableSeedSequence):
    """What a row's generator is seeded from: the key as it is.

    `Philox(key=...)` asks the system for randomness as well, which takes longer than all else and is not used, and its
    generators cannot spawn others.
    """

    def __init__(self, key: np.ndarray[Any, np.dtype[np.uint64]], row: int) -> None:
        self._key = key
        self._row = row
        self._parent: SeedSequence | None = None

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """The key, which Philox asks for; other bit generators, for which nobody uses this, get a hash of it."""
        if n_words == len(self._key) and dtype == self._key.dtype:
            return self._key
        return self._sequence.generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> list[Any]:
        """Seeds of further generators, which belong to the row as this one does."""
        return self._sequence.spawn(n_children)

    @property
    def _sequence(self) -> SeedSequence:
        if self._parent is None:
            self._parent = SeedSequence([*self._key.tolist(), self._row])
        return self._parent
