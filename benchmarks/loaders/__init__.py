"""The loaders that are compared. Each adapter imports its library, in a process of its own."""

from __future__ import annotations

ADAPTERS = {
    "loadax": "loadax_adapter",
    "handwritten": "handwritten_adapter",
    "grain": "grain_adapter",
    "grain_0_2_17": "grain_0_2_17_adapter",
    "torch": "torch_adapter",
    "jax_dataloader": "jax_dataloader_adapter",
    "spdl": "spdl_adapter",
    "tensorflow": "tensorflow_adapter",
    "datasets": "datasets_adapter",
}
"""The name of each library on the command line, and its adapter module."""

ENVIRONMENTS = {"grain_0_2_17": ".venv-grain-0.2.17"}
"""Libraries that run in an environment of their own, a folder beside this one: other versions of a library."""
