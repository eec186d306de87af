"""The command `loadax-launch -n 4 -d 2 script.py args...`, or `python -m loadax_distributed.launch`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .cluster import launch


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: The arguments of the command; left out, those of this program.

    Returns:
        The exit status: 0, or that of the process that failed; 124 after a timeout, 130 after Ctrl-C, 2 if the target
        cannot be launched or its output cannot be written.
    """
    parser = argparse.ArgumentParser(
        prog="loadax-launch",
        description="Run a script as several JAX processes on this machine, each with its own CPU devices.",
    )
    parser.add_argument("-n", "--processes", type=int, default=4, metavar="N", help="processes (default: 4)")
    parser.add_argument("-d", "--devices", type=int, default=2, metavar="D", help="devices of each (default: 2)")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds after which all are killed")
    parser.add_argument("target", help="a script, or module:function")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="its arguments")
    options = parser.parse_args(argv)
    try:
        codes = launch(
            options.target,
            options.args,
            processes=options.processes,
            devices_per_process=options.devices,
            timeout=options.timeout,
        )
    except TimeoutError as error:
        sys.stderr.write(f"loadax-launch: {error}\n")
        return 124
    except (OSError, ValueError) as error:
        sys.stderr.write(f"loadax-launch: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return _status(codes)


def _status(codes: Sequence[int]) -> int:
    """One exit status for the job: that of a process that failed itself, or else of one that was killed."""
    failed = [code for code in codes if code > 0] or [128 - code for code in codes if code < 0]
    return failed[0] if failed else 0


if __name__ == "__main__":
    sys.exit(main())
