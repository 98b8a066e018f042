"""Opens the raster of a zonal job: one scene, or the tiles of one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import MaskFlags

from geo_assets.errors import InputError
from geo_assets.kernels.raster.guard import open_scene
from geo_assets.kernels.zonal_grid import Tile, ZonalGrid

_MIN_SIDE = 256  # strips and small blocks are read together up to this many rows or columns
_ALIGNED = 1e-3  # pixels


def open_grid(paths: Sequence[Path]) -> ZonalGrid:
    """Read the headers of a scene, or of tiles that lie in one grid.

    Raises:
        InputError: A file cannot be used, is rotated, or differs from the first in CRS, pixel size,
            grid, bands or type.
    """
    heads = []
    for path in paths:
        with open_scene(path) as file:
            heads.append(_Head.of(file, path))
    if not heads:
        raise InputError("Zonal statistics have a raster", "no file")
    first = heads[0]
    for head in heads[1:]:
        first.must_match(head)
    return _assemble(first, heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    path: Path
    transform: Any
    bounds: tuple[float, float, float, float]
    width: int
    height: int
    crs: str
    bands: int
    dtype: str
    nodata: float | None
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    masked: bool
    block: tuple[int, int]

    @classmethod
    def of(cls, file: Any, path: Path) -> _Head:
        transform = file.transform
        if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
            raise InputError("A raster's rows run west to east and its columns north to south",
                             f"transform {tuple(transform)[:6]}", path.name,
                             "Warp it to a grid first, as raster_tiles_asset does.")  # fmt: skip
        if len(set(file.dtypes)) > 1 or np.dtype(file.dtypes[0]).kind not in "iuf":
            raise InputError("The bands of a raster are numbers of one type",
                             ", ".join(file.dtypes), path.name)  # fmt: skip
        height, width = file.block_shapes[0]
        return cls(
            path=path, transform=transform, bounds=tuple(file.bounds), width=file.width,
            height=file.height, crs=file.crs.to_wkt(), bands=file.count, dtype=file.dtypes[0],
            nodata=file.nodata, scales=file.scales, offsets=file.offsets,
            masked=_needs_mask(file), block=(width, height),
        )  # fmt: skip

    def corner(self, other: _Head) -> tuple[float, float]:
        """Column and row of another file's upper left corner in this one's pixels."""
        mine, theirs = self.transform, other.transform
        return (theirs.c - mine.c) / mine.a, (theirs.f - mine.f) / mine.e

    def must_match(self, other: _Head) -> None:
        for name in ("crs", "bands", "dtype", "nodata", "scales", "offsets"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs and not (mine != mine and theirs != theirs):
                raise InputError(f"The tiles of one grid have the same {name}",
                                 f"{theirs!r}, not {mine!r}", other.path.name)  # fmt: skip
        size = (
            abs(other.transform.a / self.transform.a - 1),
            abs(other.transform.e / self.transform.e - 1),
        )
        col, row = self.corner(other)
        off = max(abs(col - round(col)), abs(row - round(row)))
        if max(size) * max(other.width, other.height) > _ALIGNED or off > _ALIGNED:
            raise InputError("The tiles of one grid have the same pixels",
                             f"a pixel {off:.3g} pixels off the grid of {self.path.name}",
                             other.path.name)  # fmt: skip


def _needs_mask(file: Any) -> bool:
    """Integer bands with a nodata value or with nothing are as good without a mask, and faster."""
    scaled = any(scale != 1.0 for scale in file.scales) or any(file.offsets)
    for flags in file.mask_flag_enums:
        plain = MaskFlags.all_valid in flags
        by_value = (
            MaskFlags.nodata in flags and not scaled and np.dtype(file.dtypes[0]).kind in "iu"
        )
        if not (plain or by_value):
            return True
    return False


def _assemble(first: _Head, heads: list[_Head]) -> ZonalGrid:
    corners = [first.corner(head) for head in heads]
    cols, rows = ([round(corner[axis]) for corner in corners] for axis in (0, 1))
    left, top = min(cols), min(rows)
    width = max(c + h.width for c, h in zip(cols, heads, strict=True)) - left
    height = max(r + h.height for r, h in zip(rows, heads, strict=True)) - top
    x, y = first.transform.c + left * first.transform.a, first.transform.f + top * first.transform.e
    bounds = (
        first.bounds
        if len(heads) == 1
        else (x, y + height * first.transform.e, x + width * first.transform.a, y)
    )
    holes = sum(head.width * head.height for head in heads) < width * height
    return ZonalGrid(
        tiles=tuple(
            Tile(path=h.path, col=c - left, row=r - top, width=h.width, height=h.height)
            for c, r, h in zip(cols, rows, heads, strict=True)
        ),
        width=width, height=height, bounds=bounds, crs=first.crs, bands=first.bands,
        dtype=first.dtype, nodata=first.nodata, scales=first.scales, offsets=first.offsets,
        masked=holes or any(head.masked for head in heads),
        block=(_side(first.block[0], width), _side(first.block[1], height)),
    )  # fmt: skip


def _side(block: int, whole: int) -> int:
    return min(whole, block * math.ceil(_MIN_SIDE / block))
