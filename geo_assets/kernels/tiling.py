"""The door to cutting tiles: what a chunk is, and how a scene is split into chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from geo_assets.errors import InputError
from geo_assets.grids import Canvas, Cell, Extent, Grid
from geo_assets.model import Chunk, KernelResult

CHUNK_PIXELS = 4096 * 4096
"""Output pixels of a chunk of up to four bands, at most, unless a single cell has more."""
PIECE_BYTES = 32 << 20
"""Output bytes that are warped at once; a cell is warped piece by piece."""
_CACHE_BYTES = 128 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSpec:
    """Some cells of one scene, to be cut by one worker."""

    files: tuple[Path, ...]
    """Local rasters; the bands of all, in order, are the bands of a tile. Their grids, and even
    their CRSs, may differ."""
    cells: tuple[Cell, ...]
    """The cells to make, of one grid."""
    canvas: Canvas
    """The canvas of the whole scene, so that tiles do not depend on how it is cut."""
    crs: str
    """The CRS of the grid, as WKT."""
    source_crs: str | None = None
    """The CRS to take where a file names none."""
    resampling: str = "bilinear"
    """GDAL's method by name; `nearest` and `mode` alone are used on classes."""
    categorical: bool = False
    """Values are classes. A file with a colour table is categorical by itself."""
    nodata: float | None = None
    """The value that means no data, where the files do not say it or say it wrongly."""
    compress: str = "deflate"
    """deflate, zstd, lzw or none."""


def cut_tiles(spec: TileSpec, workdir: Path) -> KernelResult:
    """Reproject a scene to some cells of a grid and write each as a COG.

    The pixels are those of GDAL's warp of the whole scene with an exact transformer: tiles
    are windows of one mosaic, whatever cells are made together. Memory is bounded by pieces of
    `PIECE_BYTES`. Each file is re-opened and its last blocks are read before it is returned. The
    same input gives the same bytes.

    Args:
        spec: The files, the cells and how to resample.
        workdir: An empty folder that the tiles are written to.

    Returns:
        One file for each cell with data, named `<cell id>.tif`, with facts of it (`cell`,
        `bounds`, `valid_share`, `stats`); `facts["empty"]` lists cells without data.

    Raises:
        InputError: A file is hostile or damaged, or files cannot be bands of one raster.
        ContractError: A tile read back is not what was written, as on a full disk.
    """
    from geo_assets.kernels.raster.cut import cut

    return cut(spec, workdir)


def plan_chunks(
    scene: Mapping[str, Any],
    grid: Grid,
    files: Sequence[Path],
    *,
    resampling: str = "bilinear",
    categorical: bool = False,
    nodata: float | None = None,
    compress: str = "deflate",
    source_crs: str | None = None,
) -> tuple[Chunk, ...]:
    """Split a scene into chunks of neighbouring cells.

    Which chunks there are depends on the scene and the grid alone, never on this machine, so
    that a later run finds the same ones.

    Args:
        scene: The facts that `inspect_scene` gave of the scene.
        grid: The grid to cut to.
        files: Where the scene's files will lie when a chunk runs, in band order.
        resampling: GDAL's method by name.
        categorical: Values are classes.
        nodata: The value that means no data, where the files do not say it.
        compress: deflate, zstd, lzw or none.
        source_crs: The CRS to take where a file names none.

    Raises:
        InputError: The scene has no place on the grid.
        ConfigError: It would be more than 100,000 cells.
    """
    cells = _cells(scene, grid)
    if not cells:
        raise InputError("A scene lies on its grid", f"extent in {scene['crs_name']} with no cell",
                         "plan_chunks", "Choose a grid whose CRS covers the scene.")  # fmt: skip
    spec = TileSpec(
        files=tuple(files),
        cells=cells,
        canvas=Canvas.of(cells),
        crs=grid.crs_wkt,
        source_crs=source_crs,
        resampling=resampling,
        categorical=categorical,
        nodata=nodata,
        compress=compress,
    )
    pixels = CHUNK_PIXELS * 4 // max(4, int(scene["bands"]))
    side = max(1, math.isqrt(pixels) // grid.cell_size)
    predicted = predicted_bytes(scene, grid)
    return tuple(
        Chunk(
            id=_chunk_id(block, side),
            kernel=cut_tiles,
            spec=replace(spec, cells=tuple(block)),
            predicted_bytes=predicted,
        )
        for block in _blocks(cells, side)
    )


def predicted_bytes(scene: Mapping[str, Any], grid: Grid) -> int:
    """Memory that cutting one chunk of a scene needs on top of a resting worker.

    GDAL's block cache, the piece that is warped with its source window and its copies, blocks
    of the source and of the COG. Measured peaks were 0.3 to 0.9 of this (4 bands uint16 255 of
    360 MiB, 12 bands float32 367 of 402, WorldCover 282 of 356).
    """
    itemsize = max(_itemsize(name) for file in scene["files"] for name in file["dtypes"])
    bands = int(scene["bands"]) + 1
    piece = min(grid.cell_size**2 * bands * itemsize, PIECE_BYTES)
    source = max(file["block"][0] * file["block"][1] * file["bands"] for file in scene["files"])
    return int(_CACHE_BYTES + 4 * piece + 4 * source * itemsize + (96 << 20))


def _itemsize(dtype: str) -> int:
    return 4 if dtype == "complex_int16" else np.dtype(dtype).itemsize


def _cells(scene: Mapping[str, Any], grid: Grid) -> tuple[Cell, ...]:
    extents = {str(file["extent"]): Extent.from_dict(file["extent"]) for file in scene["files"]}
    found = {cell.id: cell for extent in extents.values() for cell in grid.cells_over(extent)}
    return tuple(sorted(found.values(), key=lambda cell: (cell.row, cell.column)))


def _blocks(cells: Sequence[Cell], side: int) -> list[list[Cell]]:
    """Cells grouped into squares of `side` cells, anchored at the grid's origin."""

    def place(cell: Cell) -> tuple[int, int]:
        return cell.row // side, cell.column // side

    return [list(block) for _, block in groupby(sorted(cells, key=place), key=place)]


def _chunk_id(cells: Sequence[Cell], side: int) -> str:
    """`10-523-381`, or `10-523-381-x16` for the square that the cell begins."""
    first = cells[0]
    if side == 1:
        return first.id.replace("/", "-")
    prefix = first.id.split("/")[:-2]
    place = [str(first.column // side * side), str(first.row // side * side)]
    return "-".join([*prefix, *place, f"x{side}"])
