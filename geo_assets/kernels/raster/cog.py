"""Writing a cloud-optimised GeoTIFF through GDAL's own driver, and reading it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.windows import Window

from geo_assets.errors import ContractError, InputError
from geo_assets.grids import Cell
from geo_assets.kernels.raster.tiff import directories
from geo_assets.kernels.raster.trouble import GDAL_ERRORS
from geo_assets.rules.raster import cog_layout

_BLOCK_BYTES = 16 << 20
_SMALLEST_BLOCK = 128
"""GDAL's COG driver takes none smaller; the image of a smaller cell is one padded block."""
_UNREADABLE: tuple[type[Exception], ...] = (InputError, *GDAL_ERRORS)
_LEVELS = {"deflate": "6", "zstd": "3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a tile is, apart from its pixels."""

    crs: CRS
    dtype: str
    """rasterio's name: `uint8`, `complex_int16`."""
    bands: int
    nodata: float | None
    masked: bool
    """Pixels without data are told by an internal mask."""
    categorical: bool
    compress: str
    colorinterp: tuple[ColorInterp, ...]
    descriptions: tuple[str | None, ...]
    units: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    palette: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Colour of each value of the first band; empty for none."""

    @property
    def itemsize(self) -> int:
        """Bytes of one sample."""
        return 4 if self.dtype == "complex_int16" else self.numpy.itemsize

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type of arrays in memory."""
        return np.dtype("complex64" if self.dtype == "complex_int16" else self.dtype)

    def block(self, cell: Cell) -> int:
        """Side of a block: 512, less where a cell is smaller or bands are very many."""
        side = min(512, cell.width)
        while side * side * self.bands * self.itemsize > _BLOCK_BYTES:
            side //= 2
        return max(_SMALLEST_BLOCK, side // 16 * 16)


@contextmanager
def draft(path: Path, cell: Cell, profile: Profile) -> Iterator[Any]:
    """A plain tiled TIFF to fill window by window; blocks never written have no data.

    Its blocks are those of the COG, so that the copy reads each once.
    """
    side = profile.block(cell)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=cell.width,
        height=cell.height,
        count=profile.bands,
        dtype=profile.dtype,
        crs=profile.crs,
        transform=Affine(*cell.transform),
        nodata=profile.nodata,
        tiled=True,
        blockxsize=side,
        blockysize=side,
        interleave="band",
        bigtiff="IF_SAFER",
        sparse_ok=True,
        **_photometric(profile),
    ) as dataset:
        if profile.palette:
            dataset.write_colormap(1, dict(profile.palette))
        else:
            dataset.colorinterp = profile.colorinterp
        dataset.descriptions = profile.descriptions
        dataset.units = tuple(unit or "" for unit in profile.units)
        dataset.scales = profile.scales
        dataset.offsets = profile.offsets
        yield dataset


def publish(source: Path, target: Path, cell: Cell, profile: Profile) -> None:
    """Copy a draft into a COG with overviews, and read it back.

    Raises:
        ContractError: What was written is not what was meant, as on a full disk.
    """
    options = {
        "BLOCKSIZE": str(profile.block(cell)),
        "COMPRESS": profile.compress.upper(),
        "PREDICTOR": "NO" if profile.dtype.startswith("complex") else "YES",
        "OVERVIEW_RESAMPLING": "MODE" if profile.categorical else "AVERAGE",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "1",
    }
    if profile.compress in _LEVELS:
        options["LEVEL"] = _LEVELS[profile.compress]
    if profile.compress == "none":
        del options["PREDICTOR"]
    try:
        _check_written(source)
        rasterio.shutil.copy(source, target, driver="COG", **options)
        _check_written(target)
        _check_tile(target, cell, profile)
    except _UNREADABLE as error:
        raise ContractError("A tile that was written can be read back", str(error), cell.id,
                            "Is there room on the scratch disk?") from None  # fmt: skip
    finally:
        source.unlink(missing_ok=True)


def _check_written(path: Path) -> None:
    size = path.stat().st_size
    end = max(image.end for image in directories(path))
    if end > size:
        msg = f"a block that ends at byte {end} of {size}"
        raise OSError(msg)


def _check_tile(path: Path, cell: Cell, profile: Profile) -> None:
    with rasterio.open(path, driver="GTiff") as tile:
        got = {
            "size": (tile.width, tile.height, tile.count),
            "dtype": set(tile.dtypes),
            "transform": tuple(tile.transform)[:6],
            "layout": dict(cog_layout(path, name=cell.id).counts),
            "crs": tile.crs == profile.crs,
            "nodata": repr(tile.nodata),
        }
        meant = {
            "size": (cell.width, cell.height, profile.bands),
            "dtype": {profile.dtype},
            "transform": cell.transform,
            "layout": {},
            "crs": True,
            "nodata": repr(None if profile.nodata is None else float(profile.nodata)),
        }
        wrong = [f"{key} {got[key]} for {meant[key]}" for key in meant if got[key] != meant[key]]
        if wrong:
            raise ContractError("A tile is what was meant", "; ".join(wrong), cell.id)
        corner = Window(tile.width - 1, tile.height - 1, 1, 1)
        tile.read(window=corner)
        tile.dataset_mask(window=corner)
        levels = len(tile.overviews(1))
    for level in range(levels):
        with rasterio.open(path, driver="GTiff", overview_level=level) as overview:
            overview.read(window=Window(overview.width - 1, overview.height - 1, 1, 1))


def _photometric(profile: Profile) -> dict[str, str]:
    names = [value.name for value in profile.colorinterp]
    options = {}
    if profile.palette:
        options["photometric"] = "palette"
    elif names[:3] == ["red", "green", "blue"]:
        options["photometric"] = "rgb"
    else:
        options["photometric"] = "minisblack"
    if "alpha" in names:
        options["alpha"] = "non-premultiplied"
    return options
