"""Reads a zonal job's raster block by block, once each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geo_assets.errors import InputError
from geo_assets.kernels.raster.guard import gdal, sniff
from geo_assets.kernels.zonal_grid import Cell, Tile, ZonalGrid, common

Pixels: TypeAlias = NDArray[Any]
"""Shape (bands, height, width) or (height, width); a masked array where the file has a mask."""

_OPEN_FILES = 32


class BlockReader:
    """Reads windows of a grid from blocks that are kept as long as they are needed.

    Args:
        grid: The raster.
        bands: Band numbers that are read, from 1.
        cache_bytes: Memory for blocks. When more are needed at once, the least recently used go
            and are read again.
    """

    def __init__(self, grid: ZonalGrid, bands: Sequence[int], cache_bytes: int) -> None:
        self._grid, self._bands = grid, list(bands)
        self._limit = max(
            1, cache_bytes // max(1, grid.block_bytes * len(self._bands) // grid.bands)
        )
        self._blocks: OrderedDict[tuple[int, int], Pixels] = OrderedDict()
        self._files: OrderedDict[Path, Any] = OrderedDict()
        self._needed: dict[tuple[int, int], int] = {}
        self._stack = ExitStack()
        self.reads = 0
        """Blocks read so far."""

    def __enter__(self) -> Self:
        self._stack.enter_context(gdal())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()
        self._stack.__exit__(kind, value, traceback)

    def expect(self, uses: Iterable[NDArray[np.int64]]) -> None:
        """Announce ranges of blocks, one for each coming `release`."""
        for key in (key for blocks in uses for key in _keys(blocks)):
            self._needed[key] = self._needed.get(key, 0) + 1

    def release(self, blocks: NDArray[np.int64]) -> None:
        """One announced use is over; blocks without any left are forgotten."""
        for key in _keys(blocks):
            self._needed[key] -= 1
            if not self._needed[key]:
                self._blocks.pop(key, None)

    @property
    def blocks(self) -> int:
        """Blocks announced."""
        return len(self._needed)

    def read(self, band: int, col: int, row: int, width: int, height: int) -> Pixels:
        """A window of one band (by its place in `bands`), masked if the grid is."""
        size_x, size_y = self._grid.block
        out = self._blank((height, width))
        for by in range(row // size_y, -(-(row + height) // size_y)):
            for bx in range(col // size_x, -(-(col + width) // size_x)):
                block = self._block((bx, by))[band]
                x, y = bx * size_x, by * size_y
                x0, y0 = max(col, x), max(row, y)
                x1, y1 = min(col + width, x + size_x), min(row + height, y + size_y)
                out[y0 - row : y1 - row, x0 - col : x1 - col] = block[
                    y0 - y : y1 - y, x0 - x : x1 - x
                ]
        return out

    def _block(self, key: tuple[int, int]) -> Pixels:
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        while len(self._blocks) >= self._limit:
            self._blocks.popitem(last=False)
        self.reads += 1
        block = self._blocks[key] = self._load(key)
        return block

    def _load(self, key: tuple[int, int]) -> Pixels:
        (wide, high), grid = self._grid.block, self._grid
        col, row = key[0] * wide, key[1] * high
        cell = (col, row, min(wide, grid.width - col), min(high, grid.height - row))
        parts = [(tile, shared) for tile in grid.tiles if (shared := common(tile, cell))]
        if len(parts) == 1 and parts[0][1] == cell:
            return self._tile(parts[0][0], cell)
        out = self._blank((len(self._bands), cell[3], cell[2]))
        for tile, shared in reversed(parts):
            y, x = shared[1] - row, shared[0] - col
            out[:, y : y + shared[3], x : x + shared[2]] = self._tile(tile, shared)
        return out

    def _tile(self, tile: Tile, cell: Cell) -> Pixels:
        file = self._files.pop(tile.path, None) or rasterio.open(tile.path, driver=sniff(tile.path))
        self._files[tile.path] = file
        if len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        window = Window(cell[0] - tile.col, cell[1] - tile.row, cell[2], cell[3])
        try:
            pixels: Pixels = file.read(self._bands, window=window, masked=self._grid.masked)
        except RasterioError as error:
            raise InputError("Every block of a raster can be decoded", str(error), tile.path.name,
                             "The file is damaged: fetch it again.") from None  # fmt: skip
        return pixels

    def _blank(self, shape: tuple[int, ...]) -> Pixels:
        if self._grid.masked:
            blank = np.zeros(shape, self._grid.dtype)
            return np.ma.MaskedArray(blank, mask=np.ones(shape, np.bool_))
        return np.zeros(shape, self._grid.dtype)


def _keys(blocks: NDArray[np.int64]) -> list[tuple[int, int]]:
    x0, y0, x1, y1 = blocks.tolist()
    return [(x, y) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)]
