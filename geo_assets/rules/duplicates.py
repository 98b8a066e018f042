"""Features that repeat an earlier one, exactly or within a tolerance."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.rules.found import Found, Geometries, Metric, Rows

_POLYGON = 2  # dimension


def without_duplicates(
    geometries: Geometries, rows: Rows, owned: NDArray[np.bool_], tolerance: float, metric: Metric
) -> tuple[list[Found], NDArray[np.bool_]]:
    """Findings about the owned features that repeat another, and which features are left.

    Args:
        geometries: Shape (n,): all lines or all polygons, valid, in ascending order of `rows`.
        rows: Their positions in the layer.
        owned: Which of them are reported on.
        tolerance: In layer units.
        metric: Metres in the layer's CRS.
    """
    pairs = duplicate_pairs(geometries, tolerance)
    found = [_duplicate(geometries, rows, pair, metric) for pair in pairs if owned[pair[1]]]
    keep = np.ones(len(geometries), np.bool_)
    keep[pairs[:, 1]] = False
    return found, keep


def duplicate_pairs(geometries: Geometries, tolerance: float) -> NDArray[np.int64]:
    """Pairs (first, second), shape (m, 2), whose lines or outlines are equal within `tolerance`.

    Each feature that repeats an earlier one appears once as `second`, with the earliest.
    """
    bounds = shapely.bounds(geometries)
    middle = shapely.points((bounds[:, :2] + bounds[:, 2:]) / 2)
    if not len(geometries):
        return np.empty((0, 2), np.int64)
    # Boxes that differ by at most t on each side have centres within t * sqrt(2).
    reach = max(tolerance * 1.5, np.abs(bounds).max() * 1e-15)
    one, other = shapely.STRtree(middle).query(middle, predicate="dwithin", distance=reach)
    ahead = one < other
    one, other = one[ahead], other[ahead]
    alike = (np.abs(bounds[one] - bounds[other]) <= tolerance).all(axis=1)
    one, other = one[alike], other[alike]
    same = shapely.equals_exact(geometries[one], geometries[other], tolerance, normalize=True)
    rest = np.flatnonzero(~same)
    same[rest] = _apart(geometries[one[rest]], geometries[other[rest]]) <= tolerance
    one, other = one[same], other[same]
    order = np.lexsort((one, other))
    second, first = np.unique(other[order], return_index=True)
    return np.column_stack([one[order][first], second])


def _apart(one: Geometries, other: Geometries) -> NDArray[np.float64]:
    """How far lines or outlines are from each other at most."""
    apart: NDArray[np.float64] = shapely.hausdorff_distance(_lines(one), _lines(other))
    return apart


def _lines(geometries: Geometries) -> Geometries:
    lines = geometries.copy()
    areal = shapely.get_dimensions(geometries) == _POLYGON
    lines[areal] = shapely.boundary(geometries[areal])
    return lines


def _duplicate(
    geometries: Geometries, rows: Rows, pair: NDArray[np.int64], metric: Metric
) -> Found:
    first, second = geometries[pair]
    exact = bool(shapely.equals_exact(first, second, 0.0, normalize=True))
    what = "outline" if shapely.get_dimensions(second) == _POLYGON else "line"
    detail = f"The same {what}." if exact else f"The same {what} within tolerance."
    names = tuple(int(row) for row in rows[pair])
    apart = 0.0 if exact else float(_apart(geometries[pair[:1]], geometries[pair[1:]])[0])
    size = metric.length(apart, second.centroid)
    return Found(kind="duplicate", rows=names, geometry=second, size_m=size, detail=detail)
