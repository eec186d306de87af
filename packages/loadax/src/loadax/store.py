"""Write documents to a store, such as the token numbers of a text, tokenized once.

A run that ends early goes on where it was if it is started again. The exit status is 2 if the store is not finished.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from loadax_core import DataLoader
from loadax_datasets import JaggedDataset, write_jagged

from .naming import FAILURES, InputError, failure, named

WRONG = 2
"""Exit status."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    what = "a dataset or an iterable of documents, or a function without arguments that makes one"
    parser.add_argument("documents", metavar="module:name", help=what)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write; JaggedDataset(FOLDER) opens it")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="how many read the dataset (%(default)s)")
    parser.add_argument("--kind", choices=("thread", "process"), default="thread", help="of workers (%(default)s)")
    parser.add_argument("--dtype", metavar="DTYPE", help="such as uint16; left out, that of the first document")
    parser.add_argument("--source", metavar="TEXT", help="such as the name of the tokenizer; other sources are refused")
    parser.add_argument("--append", action="store_true", help="add documents to a finished store")


def run(args: argparse.Namespace) -> int:
    """Runs the command; returns the exit status."""
    try:
        documents = named(args.documents, is_function, "make_dataset")
        store = written(documents, args)
    except InputError as error:
        sys.stderr.write(f"loadax store: {error}\n")
        return WRONG
    except KeyboardInterrupt:
        sys.stderr.write("loadax store: interrupted; start it again to go on\n")
        return WRONG
    sys.stdout.write(f"{store!r}\n")
    return 0


def is_function(found: Any) -> bool:
    """Whether a callable makes the documents; a dataset may be callable, too."""
    return isinstance(found, type) or not (hasattr(found, "__getitem__") or hasattr(found, "__iter__"))


def written(documents: Any, args: argparse.Namespace) -> JaggedDataset:
    """Writes the store, and opens it.

    Raises:
        InputError: If an argument is refused, or a document cannot be read or written.
    """
    try:
        DataLoader().workers(args.workers, kind=args.kind)
    except ValueError as error:
        raise InputError(f"--workers: {error}") from None
    try:
        return write_jagged(
            args.folder,
            documents,
            dtype=args.dtype,
            append=args.append,
            workers=args.workers,
            kind=args.kind,
            source=args.source,
        )
    except FAILURES as error:
        if is_own(error):
            raise InputError("\n".join([str(error), *notes(error)])) from None
        raise failure("the documents could not be read", error) from error


def is_own(error: BaseException) -> bool:
    """Whether Loadax has raised an error itself, which says what to change, and not the user's code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    checks = module.startswith("loadax_datasets.") or module == "loadax_core.checks"
    return checks and not any("raised by row" in note for note in notes(error))


def notes(error: BaseException) -> list[str]:
    """The notes of an error."""
    return getattr(error, "__notes__", [])
