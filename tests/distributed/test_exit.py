"""Programs end with their own status, and soon, whatever their workers are doing in JAX."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter

import pytest

PROGRAM = """
import sys, time
import jax, jax.numpy as jnp, numpy as np
from loadax_core import DataLoader
from loadax_core.run import threads

threads.EXIT_SECONDS, threads.COMPUTING_SECONDS = {patience}

@jax.jit
def compute(x):
    return jax.lax.fori_loop(0, {steps}, lambda i, x: jnp.tanh(x @ x * 1e-3), x).sum()

class Computed:
    def __len__(self):
        return 100

    def __getitem__(self, row):
        if row:
            print("computing", flush=True)
            return float(np.asarray(compute(jnp.ones((600, 600), jnp.float32) * row)))
        return 0.0

batches = iter(DataLoader(list).workers(2).prefetch(2).build(Computed()))
next(batches)
time.sleep(0.5)
{end}
"""


def outcome(end: str, patience: str, steps: int) -> tuple[int, float, str]:
    """The exit status of a program that ends while its workers compute, the seconds that it took, and its errors."""
    began = perf_counter()
    code = PROGRAM.format(end=end, patience=patience, steps=steps)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert "computing" in done.stdout
    return done.returncode, perf_counter() - began, done.stderr


@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit(3)", 3), ("pass", 0), ("raise ValueError('mine')", 1)], ids=["exit", "end", "error"]
)
def test_a_program_has_its_own_status_while_workers_compute(end: str, status: int) -> None:
    found, _, errors = outcome(end, "0.5, 5.0", 200)
    assert found == status, errors


@pytest.mark.parametrize("steps", [20, 100, 200, 100_000])
def test_a_worker_that_comes_back_too_late_does_not_abort_the_program(steps: int) -> None:
    """With less patience than the computation takes, by little or by much."""
    status, seconds, errors = outcome("sys.exit(7)", "0.05, 0.1", steps)
    assert status == 7, errors
    assert seconds < 60
