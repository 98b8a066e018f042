"""Whether rasters of several dates lie on one pixel grid, so that they can be held together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pyproj import CRS

from geo_assets.grids.cell import Extent

_OFF_PX = 1e-3
"""Pixels that a raster may lie beside the grid: rounding only."""


def misaligned(raster: Extent, reference: Extent) -> Iterator[tuple[str, str]]:
    """What keeps the pixels of `raster` from falling onto those of `reference`.

    The two need not cover the same place: one grid is continued over the whole plane.

    Yields:
        Pairs of kind and detail: `other_crs`, `other_pixels` (size or rotation), `off_grid`
        (shifted by a part of a pixel). The first that applies hides the others.
    """
    if not _same_crs(raster.crs, reference.crs):
        yield "other_crs", f"{_name(raster.crs)}, not {_name(reference.crs)}."
        return
    got, meant = np.array(raster.transform), np.array(reference.transform)
    to_pixels = np.linalg.inv(meant[[0, 1, 3, 4]].reshape(2, 2))
    stretch = to_pixels @ got[[0, 1, 3, 4]].reshape(2, 2) - np.eye(2)
    if np.abs(stretch).max() * max(raster.width, raster.height) > _OFF_PX:
        sizes = " and ".join(f"{np.hypot(one[0], one[3]):.10g}" for one in (got, meant))
        yield "other_pixels", f"Pixels are {sizes} wide, or turned against each other."
        return
    shift = to_pixels @ (got[[2, 5]] - meant[[2, 5]])
    part = shift - np.rint(shift)
    if np.abs(part).max() > _OFF_PX:
        yield "off_grid", f"Shifted by {part[0]:+.3f} pixels in x and {part[1]:+.3f} in y."


def _same_crs(one: str, other: str) -> bool:
    return one == other or bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def _name(crs: str) -> str:
    return str(CRS.from_user_input(crs).name)
