"""Repair of geometry, only where it is declared, with an account of what changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geo_assets.policies import Repair
from geo_assets.rules.found import Metric

Geometries = NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """The result of a repair of one batch; all arrays have its length."""

    geoms: Geometries
    invalid: NDArray[np.bool_]
    """Geometries that were invalid."""
    changed: NDArray[np.bool_]
    """Geometries that were invalid and are valid now, or were moved by snapping."""
    lost: NDArray[np.bool_]
    """Geometries of which nothing of their own dimension is left."""
    before_m2: NDArray[np.float64]
    """Area before, square metres, of those that changed; else 0. The rings of an invalid polygon
    count as the shoelace formula has it, in which loops of opposite direction cancel out."""
    after_m2: NDArray[np.float64]
    """Area after, likewise."""


def repair(geoms: Geometries, how: Repair, crs: CRS) -> Repaired:
    """Make `geoms` valid and snap them, as declared; valid ones stay bit-identical without a grid.

    What make_valid adds in a lower dimension (a line left of a spike) is dropped, so a polygon
    stays a polygon. Areas are planar; in a geographic CRS of the plane at each feature's centre.
    """
    out = np.array(geoms, dtype=object)
    invalid = ~shapely.is_valid(geoms) & ~shapely.is_missing(geoms)
    if invalid.any():
        keep_collapsed = {} if how.method == "linework" else {"keep_collapsed": False}
        made = shapely.make_valid(geoms[invalid], method=how.method, **keep_collapsed)
        out[invalid] = _same_dimension(made, shapely.get_dimensions(geoms[invalid]))
    changed = invalid
    if how.precision is not None:
        snapped = shapely.set_precision(out, how.precision)
        # GEOS starts rings elsewhere even where every vertex is on the grid already.
        moved = ~shapely.equals_exact(snapped, out, 0.0, normalize=True)
        moved &= ~shapely.is_missing(geoms)
        out[moved] = snapped[moved]
        changed = changed | moved
    lost = shapely.is_empty(out) & ~shapely.is_empty(geoms)
    changed = changed & ~lost
    metric = Metric(crs.to_wkt())
    return Repaired(geoms=out, invalid=invalid, changed=changed, lost=lost,
                    before_m2=areas_m2(geoms, changed, metric),
                    after_m2=areas_m2(out, changed, metric))  # fmt: skip


def areas_m2(geoms: Geometries, chosen: NDArray[np.bool_], metric: Metric) -> NDArray[np.float64]:
    """Areas in square metres of the chosen geometries, 0 for all others."""
    areas = np.zeros(len(geoms))
    rows = np.flatnonzero(chosen & (shapely.get_dimensions(geoms) == 2) & ~shapely.is_empty(geoms))
    if len(rows):
        areas[rows] = shapely.area(metric.metres(geoms[rows]))
    return areas


def _same_dimension(geoms: Geometries, dimensions: NDArray[np.int64]) -> Geometries:
    """Of each geometry only the parts of the wanted dimension; empty where there are none."""
    out = np.array(geoms, dtype=object)
    mixed = shapely.get_type_id(geoms) == shapely.GeometryType.GEOMETRYCOLLECTION
    for row in np.flatnonzero(mixed | (shapely.get_dimensions(geoms) != dimensions)):
        parts = shapely.get_parts(shapely.get_parts(geoms[row]))
        wanted = parts[shapely.get_dimensions(parts) == dimensions[row]]
        out[row] = shapely.union_all(wanted) if len(wanted) else shapely.Polygon()
    return out
