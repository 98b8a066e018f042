"""The door to pictures of rasters for a web map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geo_assets.model import KernelResult

MAP_PIXELS = 1536
"""Longer side of a raster in a page, at most."""
MAP_BYTES = 1 << 20
"""Bytes of a raster in a page, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRasterSpec:
    """Rasters to be put on a map."""

    files: tuple[Path, ...]
    """Local rasters: one, or the pieces of a mosaic, of the same bands."""
    crs: str | None = None
    """The CRS to take where a file names none."""
    nodata: float | None = None
    """The value that means no data, where the files do not say it."""
    pixels: int = MAP_PIXELS
    max_bytes: int = MAP_BYTES


def map_raster(spec: MapRasterSpec, workdir: Path) -> KernelResult:
    """Draw rasters in Web Mercator as a WebP; pixels without data are transparent.

    Returns:
        `raster.webp`. Facts: `bbox` and `corners` in longitude and latitude (from the upper left
        clockwise, the picture is linear in Web Mercator between them), `bands` as
        `draw_raster` gives them, `note` (one sentence that says what was simplified).

    Raises:
        InputError: A file is hostile or damaged.
    """
    from geo_assets.kernels.raster.map_picture import draw_map

    return draw_map(spec, workdir)


def predicted_map_bytes() -> int:
    """Memory a picture needs on top of a resting worker, for sources with overviews."""
    return 384 << 20
