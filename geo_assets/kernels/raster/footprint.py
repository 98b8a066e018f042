"""Where a raster lies in longitude and latitude."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyproj
from rasterio.crs import CRS

_EDGE = 16


def lonlat_place(
    crs: CRS, transform: Any, width: int, height: int
) -> tuple[list[float] | None, dict[str, Any] | None]:
    """The bounding box and the footprint of a raster as GeoJSON has them.

    Args:
        crs: Its CRS.
        transform: Affine, from pixel (column, row) to CRS coordinates.
        width: Pixels in x.
        height: Pixels in y.

    Returns:
        West, south, east, north in EPSG:4326 degrees, west above east where the raster crosses
        the antimeridian; and a Polygon or MultiPolygon with 16 points an edge. None and None
        where the corners of the raster have no place on earth.
    """
    ring = _ring(crs, transform, width, height)
    if ring is None:
        return None, None
    pole = _pole_inside(crs, transform, width, height)
    if pole:
        edge = float(ring[:, 1].min() if pole > 0 else ring[:, 1].max())
        south, north = sorted((edge, 90.0 * pole))
        box = [[-180, south], [180, south], [180, north], [-180, north], [-180, south]]
        return [-180.0, south, 180.0, north], {"type": "Polygon", "coordinates": [box]}
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    ring[:, 0] -= 360 * np.floor((ring[:, 0].min() + 180) / 360)
    west, south = ring.min(axis=0).tolist()
    east, north = ring.max(axis=0).tolist()
    if east - west >= 360:
        west, east = -180.0, 180.0
        ring = np.array([[west, south], [east, south], [east, north], [west, north], [west, south]])
    if east <= 180 + 1e-9:
        return [west, south, min(east, 180.0), north], _polygon(ring)
    return [west, south, east - 360, north], _split(ring)


def lonlat_of(crs: CRS, x: float, y: float) -> tuple[float, float] | None:
    """Longitude and latitude of a point, None where it has none."""
    lon, lat = to_lonlat(crs).transform(x, y)
    return (lon, lat) if np.isfinite([lon, lat]).all() else None


def bounds_of(transform: Any, width: int, height: int) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of a raster in its CRS, rotated or not."""
    columns, rows = np.array([0, width, width, 0]), np.array([0, 0, height, height])
    x, y = transform @ (columns, rows)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def transformer(source: CRS, target: CRS) -> pyproj.Transformer:
    """From one CRS to another, x before y; points without an image become infinite.

    rasterio's own function raises for all points if one has none.
    """
    return _transformer(source.to_wkt(), target.to_wkt())


def to_lonlat(crs: CRS) -> pyproj.Transformer:
    """From a CRS to longitude and latitude of EPSG:4326."""
    return _transformer(crs.to_wkt(), "EPSG:4326")


@lru_cache(maxsize=16)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(
        pyproj.CRS.from_user_input(source), pyproj.CRS.from_user_input(target), always_xy=True
    )


def _ring(crs: CRS, transform: Any, width: int, height: int) -> Any:
    along = np.linspace(0, 1, _EDGE, endpoint=False)
    zero, one = np.zeros(_EDGE), np.ones(_EDGE)
    columns = np.concatenate([along, one, 1 - along, zero]) * width
    rows = np.concatenate([zero, along, one, 1 - along]) * height
    x, y = transform @ (columns, rows)
    lon, lat = to_lonlat(crs).transform(x, y)
    points = np.column_stack([lon, lat])
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 3:
        return None
    return np.vstack([points, points[:1]])


def _pole_inside(crs: CRS, transform: Any, width: int, height: int) -> int:
    """1 or -1 for the pole that lies within a projected raster, 0 for none."""
    if crs.is_geographic:
        return 0
    there = to_lonlat(crs)
    x, y = there.transform([0.0, 0.0], [90.0, -90.0], direction="INVERSE")
    for sign, px, py in zip((1, -1), x, y, strict=True):
        if np.isfinite([px, py]).all():
            column, row = ~transform @ (px, py)
            _, lat = there.transform(px, py)  # a pole that does not come back is none
            if 0 < column < width and 0 < row < height and abs(lat - 90 * sign) < 1e-6:
                return sign
    return 0


def _polygon(ring: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [np.round(ring, 9).tolist()]}


def _split(ring: Any) -> dict[str, Any]:
    """A ring that runs beyond 180 degrees, in two parts."""
    west = _clip(ring, keep_west=True)
    east = _clip(ring, keep_west=False) - (360, 0)
    parts = [[np.round(part, 9).tolist()] for part in (west, east)]
    return {"type": "MultiPolygon", "coordinates": parts}


def _clip(ring: Any, *, keep_west: bool) -> Any:
    """The part of a ring on one side of the meridian of 180 degrees (Sutherland and Hodgman)."""
    points: list[Any] = []
    for start, end in pairwise(ring):
        inside = [(point[0] <= 180) == keep_west for point in (start, end)]
        if inside[0] != inside[1]:
            share = (180 - start[0]) / (end[0] - start[0])
            crossing = np.array([180.0, start[1] + share * (end[1] - start[1])])
            points += [crossing, end] if inside[1] else [crossing]
        elif inside[1]:
            points.append(end)
    return np.vstack([*points, points[0]])
