"""The door to what is other between two versions of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geo_assets.model import KernelResult

MOST_BYTES = 64 << 20
"""Bytes of both versions together up to which they are compared: a few seconds of one worker."""

_ROOM = 300 << 20
_INFLATED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDifferenceSpec:
    """Two versions of one layer, in one CRS."""

    before: tuple[Path, ...]
    """GeoParquet files."""
    now: tuple[Path, ...]
    """GeoParquet files."""
    key: str | None
    """The column that says which features are the same one; without, a changed feature is one
    that is gone and one that is new."""
    title: str


def layer_difference(spec: LayerDifferenceSpec, workdir: Path) -> KernelResult:
    """Compare features by their key, attributes and geometry, byte by byte.

    Columns of lists and structures are not compared.

    Returns:
        No file; facts `added`, `removed`, `changed`, `same` (numbers of features, of those with
        equal keys only once), `svg` (a map of at most 22 KiB with what is new in green, gone in
        red, changed in orange) and `alt`.
    """
    from geo_assets.kernels.layer_difference_picture import compare

    del workdir
    return compare(spec)


def predicted_difference_bytes(size: int) -> int:
    """Memory that comparing files of `size` bytes together needs."""
    return _ROOM + _INFLATED * size
