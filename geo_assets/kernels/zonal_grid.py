"""The grid of a zonal job: one scene, or the tiles of one grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Cell: TypeAlias = tuple[int, int, int, int]
"""Column offset, row offset, width, height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One file of a grid."""

    path: Path
    col: int
    row: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonalGrid:
    """What the files of a raster have in common, and where they lie in it."""

    tiles: tuple[Tile, ...]
    """Where tiles overlap, the first one counts."""
    width: int
    height: int
    bounds: tuple[float, float, float, float]
    """Left, bottom, right, top in the raster's CRS."""
    crs: str
    """WKT."""
    bands: int
    dtype: str
    nodata: float | None
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    masked: bool
    """Whether pixels are read with a mask; otherwise nodata alone says what is valid."""
    block: tuple[int, int]
    """Width and height of what is read at once."""

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of a pixel in CRS units."""
        left, bottom, right, top = self.bounds
        return (right - left) / self.width, (top - bottom) / self.height

    def window(self, bounds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Blocks that bounds (n, 4) touch: first column, first row, last column, last row."""
        dx, dy = self.pixel
        left, _, _, top = self.bounds
        x = np.floor((bounds[:, [0, 2]] - left) / dx + [-1, 1])
        y = np.floor((top - bounds[:, [3, 1]]) / dy + [-1, 1])
        cols = np.clip(x, 0, self.width - 1) // self.block[0]
        rows = np.clip(y, 0, self.height - 1) // self.block[1]
        return np.column_stack([cols[:, 0], rows[:, 0], cols[:, 1], rows[:, 1]]).astype(np.int64)

    def pixels_in(self, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels in the part of bounds (n, 4) that lies in the raster, about."""
        dx, dy = self.pixel
        left, bottom, right, top = self.bounds
        wide = np.minimum(bounds[:, 2], right) - np.maximum(bounds[:, 0], left)
        high = np.minimum(bounds[:, 3], top) - np.maximum(bounds[:, 1], bottom)
        size: NDArray[np.float64] = (np.maximum(wide, 0) / dx + 1) * (np.maximum(high, 0) / dy + 1)
        return size

    @property
    def block_bytes(self) -> int:
        """Memory of one block with all bands and its mask."""
        size = np.dtype(self.dtype).itemsize + int(self.masked)
        return self.block[0] * self.block[1] * self.bands * size

    def part(self, blocks: NDArray[np.int64]) -> tuple[Tile, ...]:
        """The tiles that ranges of blocks (n, 4) need."""
        if len(self.tiles) == 1 or not len(blocks):
            return self.tiles[: 1 if len(blocks) else 0]
        low, high = blocks[:, :2].min(axis=0), blocks[:, 2:].max(axis=0) + 1
        cell = (*(low * self.block).tolist(), *((high - low) * self.block).tolist())
        return tuple(tile for tile in self.tiles if common(tile, cell) is not None)


def common(tile: Tile, cell: Cell) -> Cell | None:
    """The part of a cell that a tile covers."""
    x0, y0 = max(tile.col, cell[0]), max(tile.row, cell[1])
    x1 = min(tile.col + tile.width, cell[0] + cell[2])
    y1 = min(tile.row + tile.height, cell[1] + cell[3])
    return (x0, y0, x1 - x0, y1 - y0) if x0 < x1 and y0 < y1 else None
