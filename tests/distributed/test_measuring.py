from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from loadax_core import DataLoader, measure


def test_what_jax_computes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[Any] = []
    monkeypatch.setattr(jax, "block_until_ready", waited.append)

    def step(batch: Any) -> dict[str, jax.Array]:
        return {"loss": jax.numpy.sum(batch)}

    rows = np.arange(12, dtype=np.int32)
    measurement = measure(DataLoader().batch_size(4).build(rows), step)
    assert measurement.steps == 2
    assert [int(result["loss"]) for result in waited] == [6, 22, 38, 22, 38]
