"""Shows how a launched script finds itself."""

import sys
from typing import Any

import beside  # a module beside the script
import jax
from loadax_distributed import check_agreement

_jax: Any = jax
check_agreement({"steps": beside.STEPS})
facts = {
    "argv": sys.argv[1:],
    "name": __name__,
    "processes": _jax.process_count(),
    "devices": _jax.local_device_count(),
    "platform": _jax.default_backend(),
    "stdin": sys.stdin.read(),
}
print(facts)
print(f"process {_jax.process_index()} complains", file=sys.stderr)
print("no newline at the end", end="")
