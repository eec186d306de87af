"""Checks of mesh axes: which axes divide the rows of a batch, and which divide a leaf further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, cast

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from loadax_core import tree

from .devices import process_count

Axes: TypeAlias = tuple[str, ...]
"""Names of mesh axes, major first."""


def check_mesh(mesh: Any) -> Mesh:
    """Refuses what is no mesh, and a mesh without devices of some process; every process raises the same.

    Args:
        mesh: Any object.

    Returns:
        The mesh.

    Raises:
        TypeError: If `mesh` is not a mesh of devices.
        ValueError: If a process of this job has no device in the mesh.
    """
    if not isinstance(mesh, Mesh):
        hint = " has no devices" if isinstance(mesh, jax.sharding.AbstractMesh) else " is not a jax.sharding.Mesh"
        raise TypeError(f"{mesh!r}{hint}; pass a concrete mesh, such as jax.make_mesh((8,), ('data',))")
    members = {device.process_index for device in mesh.devices.flat}
    absent = sorted(set(range(process_count())) - members)
    if absent:
        raise ValueError(
            f"the mesh has no device of process {', '.join(map(str, absent))}, of {process_count()} processes; "
            "every process that trains loads data too: give the mesh at least one device of each process"
        )
    return mesh


def check_data_axes(known: Sequence[str], names: str | Sequence[str]) -> Axes:
    """The axes that divide rows, as a tuple.

    Args:
        known: The axes of the mesh.
        names: One axis name, or several names, major first.

    Returns:
        The names.

    Raises:
        TypeError: If a name is not a string.
        ValueError: If a name is not an axis of the mesh, or comes twice.
    """
    axes = _names(names)
    if axes is None:
        raise TypeError(
            f"data_axis_name is {names!r}; give the name of a mesh axis, or a tuple of names; the mesh has "
            f"{', '.join(map(repr, known))}"
        )
    check_axes(known, axes, f"data_axis_name={names!r}")
    return axes


def check_entries(known: Sequence[str], entries: Sequence[Any]) -> None:
    """Checks the arguments of `named_sharding`.

    Args:
        known: The axes of the mesh.
        entries: The arguments, one for each dimension.

    Raises:
        TypeError: If an entry is neither a name, nor a sequence of names, nor None.
    """
    for dimension, entry in enumerate(entries):
        if entry is not None and _names(entry) is None:
            raise TypeError(
                f"named_sharding{tuple(entries)!r} has {entry!r} for dimension {dimension}; give the name of a mesh "
                f"axis, a tuple of names, or None; the mesh has {', '.join(map(repr, known))}"
            )


def _names(given: Any) -> Axes | None:
    """One name or several names as a tuple; None if `given` is neither."""
    if isinstance(given, str):
        return (given,)
    # A set has another order in each process. A spec names the axes of several dimensions.
    if not isinstance(given, Sequence) or isinstance(given, PartitionSpec):
        return None
    names: tuple[Any, ...] = tuple(cast("Sequence[Any]", given))
    return names if all(isinstance(name, str) for name in names) else None


def check_axes(known: Sequence[str], axes: Axes, where: str) -> None:
    """Refuses axes that the mesh does not have, and axes that come twice.

    Args:
        known: The axes of the mesh.
        axes: Axis names.
        where: The argument that names them, for the error.

    Raises:
        ValueError: If an axis is unknown or repeated.
    """
    for i, axis in enumerate(axes):
        if axis not in known:
            fix = f"; choose one: data_axis_name={known[0]!r}" if known and where.startswith("data_axis_name") else ""
            has = ", ".join(map(repr, known)) or "no axis"
            raise ValueError(f"{where} names the axis {axis!r}; the mesh has {has}{fix}")
        if axis in axes[:i]:
            raise ValueError(f"{where} names the axis {axis!r} twice; an axis divides one dimension once")


def rows_spec(axes: Axes) -> PartitionSpec:
    """The spec of a leaf of which only the rows are divided, over `axes`."""
    # A single name is no tuple, so that the sharding equals what users write in `in_shardings`.
    return PartitionSpec(*((axes[0] if len(axes) == 1 else axes,) if axes else ()))


def leaf_shardings(mesh: Mesh, axes: Axes, specs: Any) -> dict[tree.Path, NamedSharding]:
    """Reads a tree of specs.

    Args:
        mesh: The mesh.
        axes: The axes that divide rows.
        specs: None, one `PartitionSpec`, or a tree of them with the containers of the batch, down to leaves or to
            subtrees that share a spec. None stands for no spec.

    Returns:
        The sharding at each path that has a spec.

    Raises:
        TypeError: If the tree holds something else than specs.
        ValueError: If a spec names an unknown axis, or does not divide rows over `axes`.
    """
    found: dict[tree.Path, NamedSharding] = {}
    for path, spec in _specs(specs, ()):
        where = f"the spec {spec} of {tree.name(path)}"
        if PartitionSpec.UNCONSTRAINED in spec:
            raise ValueError(f"{where} leaves a dimension open; a batch is placed exactly: use None instead")
        entries = [_entry_axes(entry) for entry in spec]
        check_axes(mesh.axis_names, tuple(axis for entry in entries for axis in entry), where)
        if (entries[0] if entries else ()) != axes:
            raise ValueError(
                f"{where} must divide the first dimension, the rows, over {rows_spec(axes)}, as data_axis_name says"
            )
        found[path] = NamedSharding(mesh, spec)
    return found


def check_fits(path: tree.Path, shape: tuple[int, ...], sharding: NamedSharding) -> None:
    """Refuses a leaf whose dimensions its sharding cannot divide.

    Args:
        path: The place of the leaf in its batch.
        shape: The shape of the leaf; the rows are not checked here.
        sharding: The sharding of the leaf.

    Raises:
        ValueError: If a dimension is missing or not divisible.
    """
    spec: PartitionSpec = sharding.spec
    if len(spec) > len(shape):
        raise ValueError(
            f"{tree.name(path)} has shape {shape}, and its spec {spec} is for {len(spec)} dimensions; shorten the spec"
        )
    for dimension, entry in list(enumerate(spec))[1:]:
        parts = 1
        for axis in _entry_axes(entry):
            parts *= sharding.mesh.shape[axis]
        if shape[dimension] % parts:
            raise ValueError(
                f"{tree.name(path)} has {shape[dimension]} elements in dimension {dimension}, which its spec {spec} "
                f"divides into {parts} parts; {shape[dimension]} is not divisible by {parts}: pad it, "
                "or leave the axis out of the spec"
            )


def _specs(node: Any, path: tree.Path) -> Iterator[tuple[tree.Path, PartitionSpec]]:
    """Yields every spec with its path. A spec is a tuple in some versions of JAX, so it is found before containers."""
    if isinstance(node, PartitionSpec):
        yield path, node
        return
    # As batches are opened: JAX opens more containers than the core.
    opened = tree.children(node) or tree.registered(node)
    if opened is None:
        raise TypeError(
            f"specs{''.join(path)} is {node!r}; give a jax.sharding.PartitionSpec, or a tree of them like the batch"
        )
    for step, child in opened[0]:
        yield from _specs(child, (*path, step))


def _entry_axes(entry: Any) -> Axes:
    """The axes that divide one dimension, as a tuple."""
    if entry is None:
        return ()
    return (entry,) if isinstance(entry, str) else tuple(entry)
