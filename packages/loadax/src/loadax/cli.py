"""The command `loadax`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Protocol

from . import audit, bench, doctor, store
from .siblings import versions


class Command(Protocol):
    """A module with a subcommand; the first line of its docstring says what it does."""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser, /) -> None:
        """Adds the arguments of the subcommand."""
        ...

    @staticmethod
    def run(args: argparse.Namespace, /) -> int:
        """Runs the subcommand; returns the exit status."""
        ...


COMMANDS: dict[str, Command] = {
    "audit": audit,
    "bench": bench,
    "doctor": doctor,
    "store": store,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: The arguments after `loadax`; left out, those of this process.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="loadax", description="Tools for Loadax, the data loader for JAX.")
    parser.add_argument("--version", action="version", version=f"loadax {versions()['loadax']}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, command in COMMANDS.items():
        text = (command.__doc__ or "").strip()
        command.add_arguments(commands.add_parser(name, help=text.splitlines()[0], description=text))
    args = parser.parse_args(arguments)
    return COMMANDS[args.command].run(args)
