"""Raster rules: grid, type, nodata, COG layout and damaged blocks of one file.

Each takes an open rasterio dataset, or a path, and says where in the raster and where on earth a
defect lies.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from geo_assets.grids import Cell
from geo_assets.kernels.raster.footprint import lonlat_of
from geo_assets.kernels.raster.tiff import Directory, directories
from geo_assets.kernels.raster.trouble import GDAL_ERRORS
from geo_assets.model import Defect, Findings

_OFF_GRID_PX = 1e-3
"""Pixels that a corner may lie beside its place: rounding only."""
_SMALL = 512
_DEFLATE = (8, 32946)


def grid_alignment(dataset: Any, cell: Cell, crs: CRS, *, name: str) -> Findings:
    """Whether a tile lies exactly on its cell.

    Kinds: `wrong_crs`, `wrong_size`, `off_grid`.

    Args:
        dataset: An open rasterio dataset.
        cell: Where it must lie.
        crs: The CRS of the grid.
        name: What defects call the tile.
    """
    defects = []
    place = _centre(dataset)
    if dataset.crs != crs:
        defects.append(_defect("wrong_crs", name, place, f"{dataset.crs} instead of {crs}"))
    if (dataset.width, dataset.height) != (cell.width, cell.height):
        detail = f"{dataset.width} x {dataset.height} pixels for {cell.width} x {cell.height}"
        defects.append(_defect("wrong_size", name, place, detail))
    got, meant = np.array(tuple(dataset.transform)[:6]), np.array(cell.transform)
    size = np.array(cell.resolution)
    corner = np.abs(got[[2, 5]] - meant[[2, 5]]) / size
    scale = np.abs(got[[0, 1, 3, 4]] - meant[[0, 1, 3, 4]]).max() / size.min() * cell.width
    if corner.max() > _OFF_GRID_PX or scale > _OFF_GRID_PX:
        detail = f"off by {max(corner.max(), scale):.4g} pixels"
        defects.append(_defect("off_grid", name, place, detail))
    return Findings.of(defects, checked=1)


def pixel_type(dataset: Any, *, dtype: str | None, bands: int | None, name: str) -> Findings:
    """Whether pixels have the declared type and the bands the declared number.

    Kinds: `wrong_dtype`, `wrong_bands`. None declares nothing.
    """
    defects = []
    got = sorted(set(dataset.dtypes))
    if dtype is not None and got != [dtype]:
        detail = f"{', '.join(got)} instead of {dtype}"
        defects.append(_defect("wrong_dtype", name, _centre(dataset), detail))
    if bands is not None and dataset.count != bands:
        detail = f"{dataset.count} bands instead of {bands}"
        defects.append(_defect("wrong_bands", name, _centre(dataset), detail))
    return Findings.of(defects, checked=1)


def nodata_declared(dataset: Any, *, name: str) -> Findings:
    """Whether the file tells which pixels have no data: by value, mask or alpha.

    Kind: `nodata_undeclared`.
    """
    flags = {flag for band in dataset.mask_flag_enums for flag in band}
    told = {MaskFlags.nodata, MaskFlags.per_dataset, MaskFlags.alpha} & flags
    if told or ColorInterp.alpha in dataset.colorinterp:
        return Findings(checked=1)
    detail = "no nodata value, no mask, no alpha band"
    return Findings.of([_defect("nodata_undeclared", name, _centre(dataset), detail)], checked=1)


def nodata_share(dataset: Any, *, most: float, name: str) -> Findings:
    """Whether at most a share of the pixels has no data in any band.

    Kind: `too_little_data`. Reads every block, one at a time; call it after `readable_blocks`.
    """
    missing = pixels = 0
    for window in _windows(dataset):
        mask = dataset.dataset_mask(window=window)
        missing += int(np.count_nonzero(mask == 0))
        pixels += mask.size
    share = missing / pixels
    if share <= most:
        return Findings(checked=pixels)
    detail = f"{share:.1%} of pixels without data, {most:.1%} allowed"
    return Findings.of([_defect("too_little_data", name, _centre(dataset), detail)], checked=pixels)


def readable_blocks(dataset: Any, *, name: str) -> Findings:
    """Whether every block of every band can be decoded.

    Kind: `damaged_block`, with the pixels of the block and the place of its centre. Memory is
    that of one block of all bands. Not all damage stops a decoder: see `intact_blocks`.
    """
    defects = []
    checked = 0
    for window in _windows(dataset):
        checked += 1
        try:
            dataset.read(window=window)
            dataset.dataset_mask(window=window)
        except GDAL_ERRORS as error:
            defects.append(_damaged(dataset, window, name, str(error.__cause__ or error)))
    return Findings.of(defects, checked=checked)


def intact_blocks(dataset: Any, path: Path, *, name: str) -> Findings:
    """Whether the checksum of every deflated block of a TIFF holds.

    Kind: `damaged_block`. GDAL reads a quarter of the deflated blocks with a flipped byte
    without an error, and gives wrong pixels. Other methods of compression carry no checksum:
    nothing is checked there. Memory is that of one block.
    """
    image = directories(path)[0]
    if image.compression not in _DEFLATE:
        return Findings(checked=0)
    defects = []
    across = -(-image.width // image.block[0])
    down = -(-image.height // image.block[1])
    with path.open("rb") as file:
        for number, (offset, count) in enumerate(zip(image.offsets, image.counts, strict=True)):
            file.seek(offset)
            if count and not _inflates(file.read(count)):
                row, column = divmod(number % (across * down), across)
                window = _block(image, column, row)
                defects.append(_damaged(dataset, window, name, "its checksum does not hold"))
    return Findings.of(defects, checked=len(image.offsets))


def _inflates(body: bytes) -> bool:
    try:
        zlib.decompress(body)
    except zlib.error:
        return False
    return True


def _block(image: Directory, column: int, row: int) -> Window:
    left, top = column * image.block[0], row * image.block[1]
    width, height = min(image.block[0], image.width - left), min(image.block[1], image.height - top)
    return Window(left, top, width, height)


def cog_layout(path: Path, *, name: str) -> Findings:
    """Whether a TIFF is laid out for reading parts of it over HTTP.

    Kinds: `not_tiled`, `no_overviews` (for sides above 512 pixels), `overviews_in_disorder`,
    `header_not_first` (a directory behind pixels), `data_in_disorder` (the image before its
    overviews). These are the rules that rio-cogeo validates.

    Raises:
        InputError: The structure of the TIFF is damaged.
    """
    found = list(_layout(directories(path)))
    defects = [Defect(kind=kind, feature=name, detail=detail) for kind, detail in found]
    return Findings.of(defects, checked=1)


def _layout(images: list[Directory]) -> Iterator[tuple[str, str]]:
    main, *rest = images
    levels = [image for image in rest if image.overview and not image.mask]
    if max(main.width, main.height) > _SMALL:
        if main.block[0] == main.width:
            yield "not_tiled", f"strips of {main.block[0]} x {main.block[1]} pixels"
        if not levels:
            yield "no_overviews", f"{main.width} x {main.height} pixels"
    sizes = [image.width * image.height for image in (main, *levels)]
    if sizes != sorted(sizes, reverse=True):
        yield "overviews_in_disorder", f"pixels of each: {sizes}"
    starts = [image.start for image in images if image.start]
    behind = [image for image in images if starts and image.place > min(starts)]
    if behind:
        yield "header_not_first", f"a directory at byte {behind[0].place}, pixels at {min(starts)}"
    data = [image.start for image in (main, *levels) if image.start]
    if data != sorted(data, reverse=True):
        yield "data_in_disorder", f"first bytes of each: {data}"


def _windows(dataset: Any) -> Iterator[Window]:
    for _, window in dataset.block_windows(1):
        yield window


def _damaged(dataset: Any, window: Window, name: str, detail: str) -> Defect:
    centre = dataset.transform @ (
        window.col_off + window.width / 2,
        window.row_off + window.height / 2,
    )
    lonlat = lonlat_of(dataset.crs, *centre) if dataset.crs else None
    pixels = (int(window.col_off), int(window.row_off), int(window.width), int(window.height))
    lon, lat = lonlat or (None, None)
    return Defect(
        kind="damaged_block", feature=name, window=pixels, lon=lon, lat=lat, detail=detail
    )


def _centre(dataset: Any) -> tuple[float, float] | None:
    if not dataset.crs:
        return None
    x, y = dataset.transform @ (dataset.width / 2, dataset.height / 2)
    return lonlat_of(dataset.crs, x, y)


def _defect(kind: str, name: str, place: tuple[float, float] | None, detail: str) -> Defect:
    lon, lat = place or (None, None)
    return Defect(kind=kind, feature=name, lon=lon, lat=lat, detail=detail)
