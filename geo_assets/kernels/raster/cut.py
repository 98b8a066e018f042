"""Cutting the tiles of one chunk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from geo_assets.errors import ContractError, InputError
from geo_assets.grids import Cell
from geo_assets.kernels.raster.cog import Profile, draft, publish
from geo_assets.kernels.raster.guard import crs_of, open_scene, parse_crs
from geo_assets.kernels.raster.profile import tile_profile
from geo_assets.kernels.raster.stats import Stats
from geo_assets.kernels.raster.trouble import GDAL_ERRORS
from geo_assets.kernels.raster.warp import Method, Patch, WarpedSource
from geo_assets.kernels.tiling import PIECE_BYTES, TileSpec
from geo_assets.model import COG, KernelResult, OutputFile


def cut(spec: TileSpec, workdir: Path) -> KernelResult:
    """Make every cell of the chunk; see `geo_assets.kernels.tiling.cut_tiles`."""
    with ExitStack() as stack:
        datasets = [
            stack.enter_context(open_scene(path, crs=spec.source_crs)) for path in spec.files
        ]
        target = parse_crs(spec.crs, "grid")
        profile, resampling = tile_profile(datasets, spec, target)
        method = Method(resampling=resampling, nodata=spec.nodata)
        sources = [
            WarpedSource(dataset, crs_of(dataset, spec.source_crs), target, spec.canvas, method)
            for dataset in datasets
        ]
        for source in sources:
            stack.callback(source.close)
        tiles = [(cell, _tile(cell, spec, sources, profile, workdir)) for cell in spec.cells]
    return KernelResult(
        files=tuple(tile for _, tile in tiles if tile is not None),
        facts={
            "cells": len(spec.cells),
            "empty": [cell.id for cell, tile in tiles if tile is None],
            "resampling": resampling,
            "categorical": profile.categorical,
        },
    )


def _tile(
    cell: Cell, spec: TileSpec, sources: list[WarpedSource], profile: Profile, workdir: Path
) -> OutputFile | None:
    path = workdir / f"{cell.id}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    rough = path.with_suffix(".draft.tif")
    stats = Stats(profile.bands)
    left, top = spec.canvas.offset(cell)
    try:
        with draft(rough, cell, profile) as dataset:
            for column, row, width, height in _pieces(cell, profile):
                patch = _read(sources, Window(left + column, top + row, width, height), profile)
                if stats.add(patch):
                    _write(dataset, patch, Window(column, row, width, height), profile)
    except GDAL_ERRORS as error:
        raise ContractError("A tile can be written", str(error.__cause__ or error), cell.id,
                            "Is there room on the scratch disk?") from None  # fmt: skip
    if not stats.pixels_valid:
        rough.unlink()
        return None
    publish(rough, path, cell, profile)
    facts = {
        "cell": cell.id,
        "column": cell.column,
        "row": cell.row,
        "bounds": list(cell.bounds),
        **stats.as_dict(),
    }
    return OutputFile.of(path, f"{cell.id}.tif", COG, facts=facts)


def _pieces(cell: Cell, profile: Profile) -> Iterator[tuple[int, int, int, int]]:
    """Windows of a cell, of whole blocks: full rows of them where memory allows."""
    side = profile.block(cell)
    blocks = max(1, PIECE_BYTES // (side * side * (profile.bands + 1) * profile.itemsize))
    width = min(cell.width, blocks * side)
    height = min(cell.height, max(1, blocks * side // width) * side)
    for row in range(0, cell.height, height):
        for column in range(0, cell.width, width):
            yield column, row, min(width, cell.width - column), min(height, cell.height - row)


def _read(sources: list[WarpedSource], window: Window, profile: Profile) -> Patch:
    patches = [source.read(window) for source in sources]
    for patch, source in zip(patches, sources, strict=True):
        _check_exact(patch, source)
    if len(patches) == 1:
        return patches[0]
    data = np.concatenate([patch.data.astype(profile.numpy, copy=False) for patch in patches])
    valid = np.concatenate([patch.valid for patch in patches])
    if profile.masked:  # one mask for all bands: a pixel is valid where every file has it
        valid = np.broadcast_to(valid.all(axis=0), valid.shape)
    return Patch(data, valid)


def _check_exact(patch: Patch, source: WarpedSource) -> None:
    """GDAL's warper works in doubles: larger integers would come out rounded, silently."""
    if patch.data.dtype.itemsize == 8 and patch.data.dtype.kind in "iu":
        high = max(int(patch.data.max()), -int(patch.data.min()))
        if high > 2**53:
            raise InputError("Integers that are warped lie within 2**53", str(high),
                             str(source.dataset.name).rsplit("/", 1)[-1],
                             "Split them into two bands of 32 bits.")  # fmt: skip


def _write(dataset: Any, patch: Patch, window: Window, profile: Profile) -> None:
    data = fit(patch.data, profile.dtype)
    dataset.write(data, window=window)
    if profile.masked:
        dataset.write_mask(patch.valid[0].astype(np.uint8) * 255, window=window)


def fit(data: Any, dtype: str) -> Any:
    """The array in the dtype of the tile; GDAL warps signed bytes as 16 bits and overshoots."""
    if dtype == "int8" and data.dtype != np.int8:
        return np.clip(data, -128, 127).astype(np.int8)
    return data if dtype == "complex_int16" else data.astype(dtype, copy=False)
