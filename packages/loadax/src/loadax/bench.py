"""Measure a loader."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says what the command takes."""
    parser.add_argument(
        "loader", metavar="module:name", help="a Loader, or a function without arguments that makes one"
    )


def run(args: argparse.Namespace) -> int:
    """Does it; returns the exit status."""
    raise NotImplementedError(args.loader)
