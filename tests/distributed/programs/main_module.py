"""Launches a function of its own."""

import sys
from typing import Any

import jax
from loadax_distributed import launch

_jax: Any = jax


def greet(word: str) -> None:
    print(word, _jax.process_index())


if __name__ == "__main__":
    sys.exit(launch(greet, ["hello"], processes=2, devices_per_process=1) != [0, 0])
