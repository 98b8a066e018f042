"""Finds rows of one table whose key no row of another table has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geo_assets.model import KernelResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceSpec:
    """A column of one table, and the key of another that its values must be in."""

    paths: tuple[Path, ...]
    """The parts of the table that refers, (Geo)Parquet."""
    column: str
    """Its column."""
    to_paths: tuple[Path, ...]
    """The parts of the table that is referred to."""
    to_key: str
    """Its key column."""
    nulls: bool
    """A row may refer to nothing."""


def check_references(spec: ReferenceSpec, workdir: Path) -> KernelResult:  # noqa: ARG001
    """Look up every value of a column among the keys of another table.

    Memory is that of the keys and of one row group's column.

    Returns:
        No files; the fact `references`: findings of the kinds `unknown_reference` and
        `null_reference` (once for each row), `missing_column`. `feature` is the value; where the
        table has a bounding box column, a sample is placed by the centre of its box.
    """
    from geo_assets.kernels.reference_rows import unknown_references

    return KernelResult(facts={"references": unknown_references(spec).as_dict()})


def predicted_reference_bytes(*, rows_referred_to: int) -> int:
    """Memory that looking up needs on top of a resting worker."""
    return (192 << 20) + 128 * rows_referred_to
