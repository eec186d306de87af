"""Say what a run will do, from the order of its rows: passes, shapes, padding, bytes, and digests of the order.

No data is read. Two runs that print the same digests see the same rows, on any number of hosts.
"""

from __future__ import annotations

import argparse
import sys

from .bench import find
from .naming import InputError, failure

WRONG = 2
"""Exit status."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    what = "a Loader, or a function without arguments that makes one"
    parser.add_argument("loader", metavar="module:name", help=what)
    parser.add_argument("--steps", type=int, metavar="N", help="how many to look at (all, but at most 10,000)")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    try:
        if args.steps is not None and args.steps < 1:
            raise InputError(f"--steps must be at least 1, got {args.steps}")
        loader = find(args.loader)
        try:
            found = loader.audit(args.steps)
        except Exception as error:
            raise failure("the order of the rows could not be found", error) from error
    except InputError as error:
        sys.stderr.write(f"loadax audit: {error}\n")
        return WRONG
    sys.stdout.write(f"{found!r}\n")
    return 0
