"""The manifest of a store of documents, which `jagged_files` describes: to write it, and to check one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from .fingerprints import PART
from .folders import shown

FORMAT, VERSION = "loadax documents", 1

PLAIN_DTYPE = re.compile(r"[<|][biufc][0-9]{1,2}")

MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OverflowError)
"""Errors of reading a file that is no manifest."""


class ShardFacts(NamedTuple):
    """What the manifest says about a shard.

    Attributes:
        documents: The number of documents.
        values: The number of values of each leaf.
        checksums: The CRC-32 of the elements of each leaf.
    """

    documents: int
    values: int
    checksums: list[int]


class Manifest(NamedTuple):
    """What a store holds; `jagged_files` describes the entries.

    Attributes:
        form: A document, with dtypes in place of arrays.
        source: What the writer was told about the source.
        datasets: Facts about the dataset of each call that wrote documents.
        offset_hashes: Hashes of parts of the offsets.
        shards: The shards, in order.
    """

    form: Any
    source: Any
    datasets: list[Any]
    offset_hashes: list[str]
    shards: list[ShardFacts]

    def encode(self) -> bytes:
        """The bytes of the file."""
        facts = self._asdict() | {"tree": encode_form(self.form)}
        del facts["form"]
        return json.dumps({"format": FORMAT, "version": VERSION} | facts).encode()


def encode_form(form: Any) -> dict[str, Any]:
    """A document with dtypes in place of arrays, as JSON."""
    match form:
        case np.dtype():
            return {"array": form.str}
        case dict():
            entries = cast("dict[str, Any]", form)
            return {"dict": {name: encode_form(child) for name, child in entries.items()}}
        case _:
            return {type(form).__name__: [encode_form(child) for child in form]}


def decode_form(node: Any) -> Any:
    """What `encode_form` was called with.

    Raises:
        ValueError: If it is something else. Other errors in `MALFORMED` are possible.
    """
    ((kind, content),) = node.items()
    match kind, content:
        case "array", str() if PLAIN_DTYPE.fullmatch(content):
            return np.dtype(content)
        case "dict", dict():
            return {name: decode_form(child) for name, child in cast("dict[str, Any]", content).items()}
        case "list" | "tuple", list():
            children = [decode_form(child) for child in cast("list[Any]", content)]
            return children if kind == "list" else tuple(children)
        case _:
            raise ValueError(f"{node!r:.80} is no tree of arrays")


def form_dtypes(form: Any) -> Iterator[np.dtype[Any]]:
    """Yields the dtype of each leaf of a document, in order."""
    if isinstance(form, np.dtype):
        yield form
    else:
        for child in cast("dict[str, Any]", form).values() if isinstance(form, dict) else form:
            yield from form_dtypes(child)


def decode_manifest(data: bytes, file: Path) -> Manifest:
    """Reads a manifest, and checks all that is in it.

    Args:
        data: The bytes of the file.
        file: The file, for errors.

    Raises:
        ValueError: If it is of another version, or not a manifest.
    """
    try:
        facts: Any = json.loads(data)
        version = facts["version"] if facts["format"] == FORMAT else None
        manifest = _manifest(facts) if version == VERSION else None
    except MALFORMED as error:
        raise ValueError(f"{shown(file)} is no manifest of documents: {error}; write the store anew") from error
    if manifest is None:
        raise ValueError(
            f"{shown(file)} has the version {version!r:.40}, and this version of loadax-datasets reads {VERSION}; "
            "upgrade it, or write the store anew"
        )
    return manifest


def _manifest(facts: Any) -> Manifest:
    form, datasets, hashes = decode_form(facts["tree"]), facts["datasets"], facts["offset_hashes"]
    leaves = len(list(form_dtypes(form)))
    shards = [check_facts(each, leaves) for each in facts["shards"]]
    if not shards or not leaves or type(datasets) is not list:
        raise ValueError("it has no shards, no arrays, or no list of datasets")
    offsets = 1 + sum(shard.documents for shard in shards)
    if not all(type(each) is str for each in hashes) or len(hashes) != -(-offsets // PART):
        raise ValueError(f"it has other hashes than those of {offsets} offsets")
    return Manifest(form, facts["source"], cast("list[Any]", datasets), hashes, shards)


def check_facts(facts: Any, leaves: int) -> ShardFacts:
    """The facts about a shard, checked.

    Raises:
        ValueError: If they are something else. Other errors in `MALFORMED` are possible.
    """
    documents, values, checksums = facts
    numbers = [documents, values, *checksums]
    if not all(type(each) is int and 0 <= each < 2**56 for each in numbers) or len(checksums) != leaves:
        raise ValueError(f"{facts!r:.80} are no facts of a shard of {leaves} arrays")
    return ShardFacts(documents, values, list(checksums))
