"""Repair of geometry, only where it is declared, with an account of what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geo_assets.policies import Repair

Geometries = NDArray[np.object_]
_M_PER_DEGREE = 111_319.490793
"""Length of a degree of longitude on the equator of WGS 84, metres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """The result of a repair of one batch."""

    geoms: Geometries
    changed: NDArray[np.bool_]
    """Geometries that were invalid and are valid now, or were moved by snapping."""
    lost: NDArray[np.bool_]
    """Geometries of which nothing of their own dimension is left."""
    area_change_m2: NDArray[np.float64]
    """Area after less area before, square metres, one for each geometry."""

    def without_geometry(self) -> Repaired:
        """The account alone, small enough to keep for every batch."""
        nothing = np.zeros(0, dtype=object)
        return replace(self, geoms=nothing, lost=self.lost[:0], changed=self.changed[self.changed],
                       area_change_m2=self.area_change_m2[self.changed])  # fmt: skip


def repair(geoms: Geometries, how: Repair, crs: CRS) -> Repaired:
    """Make `geoms` valid and snap them, as declared; valid ones stay bit-identical without a grid.

    What make_valid adds in a lower dimension (a line left of a spike) is dropped, so a polygon
    stays a polygon. Areas are planar; of a geographic CRS scaled at each feature's latitude.
    """
    before = shapely.area(geoms)
    out = np.array(geoms, dtype=object)
    invalid = ~shapely.is_valid(geoms) & ~shapely.is_missing(geoms)
    if invalid.any():
        keep_collapsed = {} if how.method == "linework" else {"keep_collapsed": False}
        made = shapely.make_valid(geoms[invalid], method=how.method, **keep_collapsed)
        out[invalid] = _same_dimension(made, shapely.get_dimensions(geoms[invalid]))
    changed = invalid
    if how.precision is not None:
        snapped = shapely.set_precision(out, how.precision)
        changed = changed | ~shapely.equals_identical(snapped, geoms)
        changed &= ~shapely.is_missing(geoms)
        out = snapped
    lost = shapely.is_empty(out) & ~shapely.is_empty(geoms)
    change = np.where(changed, shapely.area(out) - before, 0.0)
    return Repaired(geoms=out, changed=changed & ~lost, lost=lost,
                    area_change_m2=change * _square_metres(geoms, crs))  # fmt: skip


def _same_dimension(geoms: Geometries, dimensions: NDArray[np.int64]) -> Geometries:
    """Of each geometry only the parts of the wanted dimension; empty where there are none."""
    out = np.array(geoms, dtype=object)
    mixed = shapely.get_type_id(geoms) == shapely.GeometryType.GEOMETRYCOLLECTION
    for row in np.flatnonzero(mixed | (shapely.get_dimensions(geoms) != dimensions)):
        parts = shapely.get_parts(shapely.get_parts(geoms[row]))
        wanted = parts[shapely.get_dimensions(parts) == dimensions[row]]
        out[row] = shapely.union_all(wanted) if len(wanted) else shapely.Polygon()
    return out


def _square_metres(geoms: Geometries, crs: CRS) -> NDArray[np.float64]:
    """Square metres in a square unit of the CRS at each geometry."""
    if not crs.is_geographic:
        factor = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
        return np.full(len(geoms), factor**2)
    bounds = shapely.bounds(geoms)
    latitude = np.nan_to_num((bounds[:, 1] + bounds[:, 3]) / 2)
    scale: NDArray[np.float64] = np.cos(np.radians(np.clip(latitude, -90, 90))) * _M_PER_DEGREE**2
    return scale


def account(parts: list[Repaired]) -> Mapping[str, Any]:
    """Small JSON facts about the repairs of a whole layer."""
    changes = [part.area_change_m2[part.changed] for part in parts]
    every = np.concatenate(changes) if changes else np.zeros(0)
    return {
        "repaired": len(every),
        "area_gained_m2": round(float(every[every > 0].sum()), 3),
        "area_lost_m2": round(float(np.abs(every[every < 0]).sum()), 3),
        "largest_change_m2": round(float(np.abs(every).max()), 3) if len(every) else 0.0,
    }
