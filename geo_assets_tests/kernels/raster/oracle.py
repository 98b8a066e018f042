"""Values, mosaics of tiles, and the whole scene warped at once as their oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from geo_assets.grids import Grid
from geo_assets.kernels.scene import SceneSpec, inspect_scene
from geo_assets.kernels.tiling import cut_tiles, plan_chunks
from geo_assets.model import KernelResult

UTM = Affine(30, 0, 500_000, 0, -30, 5_300_000)

MakeScene = Callable[..., Path]


def some_values(shape: tuple[int, int, int], dtype: str) -> Any:
    """Values that say where they are, of a type."""
    rng = np.random.default_rng(7)
    bands, height, width = shape
    smooth = np.add.outer(np.arange(height) * 0.11, np.arange(width) * 0.17)
    data = smooth + rng.random(shape) * 30 + 10 + 5 * np.arange(bands)[:, None, None]
    real = {"complex_int16": "complex64"}.get(dtype, dtype)
    if real.startswith("complex"):
        return (np.rint(data) + 1j * np.rint(rng.random(shape) * 50)).astype(real)
    return (data if real.startswith("float") else np.rint(data)).astype(real)


def cut_all(
    files: list[Path], grid: Grid, folder: Path, **options: Any
) -> tuple[Any, Any, list[KernelResult]]:
    """Cut a whole scene; its mosaic on the canvas, the canvas, and the results."""
    scene = inspect_scene(
        SceneSpec(files=tuple(files), crs=options.get("source_crs")), folder
    ).facts
    results = []
    chunks = plan_chunks(scene, grid, files, **options)
    for chunk in chunks:
        work = folder / "out" / chunk.id
        work.mkdir(parents=True, exist_ok=True)
        results.append(cut_tiles(chunk.spec, work))
    canvas = chunks[0].spec.canvas
    cells = {cell.id: cell for chunk in chunks for cell in chunk.spec.cells}
    mosaic: Any = None
    for result in results:
        for tile in result.files:
            with rasterio.open(tile.path) as dataset:
                data = dataset.read()
                valid = dataset.dataset_mask() > 0
                nodata = dataset.nodata
            if mosaic is None:
                fill = 0 if nodata is None else nodata
                shape = (data.shape[0], canvas.height, canvas.width)
                mosaic = np.full(shape, fill, dtype=data.dtype), np.zeros(shape[1:], dtype=bool)
            left, top = canvas.offset(cells[tile.facts["cell"]])
            window = np.s_[top : top + data.shape[1], left : left + data.shape[2]]
            mosaic[0][:, *window] = data
            mosaic[1][window] = valid
    return mosaic, canvas, results


def warp_whole(
    path: Path, grid: Grid, canvas: Any, resampling: str, **options: Any
) -> tuple[Any, Any]:
    """GDAL's warp of the whole scene onto the canvas at once: values and alpha (or None)."""
    settings = {"UNIFIED_SRC_NODATA": "NO", "XSCALE": "1", "YSCALE": "1"} | options
    with rasterio.open(path) as source:
        has_nodata = source.nodata is not None
        alpha = ColorInterp.alpha in source.colorinterp
        if not has_nodata:
            settings |= {"src_nodata": None, "nodata": None, "add_alpha": not alpha}
        with WarpedVRT(
            source,
            crs=grid.crs_wkt,
            transform=Affine(*canvas.transform),
            width=canvas.width,
            height=canvas.height,
            resampling=Resampling[resampling],
            tolerance=1e-30,
            warp_mem_limit=2000,
            **settings,
        ) as view:
            data = view.read()
    if has_nodata or alpha:
        return data, data[-1] if alpha else None
    return data[:-1], data[-1]
