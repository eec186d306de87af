"""Grain 0.2.17, configured like the newest Grain. It runs in an environment of its own; see `install.sh`."""

from __future__ import annotations

from . import grain_adapter

VERSION = grain_adapter.VERSION
LOADERS = {name.replace("grain", "grain_0_2_17"): loader for name, loader in grain_adapter.LOADERS.items()}
