"""Ways for a process to end, or not to. A line in the output says when it has got there."""

import os
import subprocess
import sys
import threading
from typing import Any

import jax

_jax: Any = jax


def main(way: str, *paths: str) -> None:
    number = _jax.process_index()
    if way in ("fifo", "orphan"):
        # Whoever reads the other end is told when this process and its child, which inherits the file, are gone.
        held = os.open(paths[0], os.O_WRONLY)
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[held])
        print("stands", flush=True)
    elif way == "stands":
        print("stands", flush=True)
    elif number == 1:
        if way == "raise":
            raise RuntimeError("the reason")
        if way == "message":
            sys.exit("the reason")
        if way == "code":
            sys.exit(7)
        if way == "signal":
            os.abort()
    if way != "orphan":
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
