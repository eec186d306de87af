"""Runs examples one after another in the same process, or job, so that JAX starts only once.

one_after_another.py "fsdp_equinox.py --epochs 1" "several_hosts.py --parallel model"
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import jax

EXAMPLES = Path(__file__).parents[3] / "examples"
_jax: Any = jax

for command in sys.argv[1:]:
    script, *arguments = command.split()
    if _jax.process_index() == 0:
        print("running", command)
    sys.argv = [script, *arguments]
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
