"""Gaps of a coverage: narrow holes between features that belong to none of them.

GEOS's own search for gaps depends on its width in a way that is not monotone: a larger width hides
gaps that a smaller one shows. Here a gap is defined by geometry alone: a region enclosed by at
least two features, covered by none, in which no circle wider than the declared width fits.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.rules.found import Found, Geometries, Metric, wider_than, widths
from geo_assets.rules.segments import Segments, winding
from geo_assets.rules.topology import CoverageRules

_AROUND = 2  # a hole of one feature alone is that feature's own shape
_MOSTLY = 0.5


def gaps(
    segments: Segments, voids: Geometries, rules: CoverageRules, metric: Metric
) -> list[Found]:
    """Every gap that is wider than the tolerance and no wider than the declared width.

    Args:
        segments: All unpaired segments of a coverage, in any order; `owner` is the position in
            the layer. They alone say where the coverage has holes.
        voids: Areas of features that the coverage does without, because they are invalid: a hole
            that one of them fills for the most part is not a gap.
        rules: What is declared.
        metric: Metres in the layer's CRS.
    """
    if not len(segments) or rules.gap_width_m <= 0:
        return []
    holes = _holes(segments, rules, metric)
    holes = holes[~_filled(holes, voids)]
    scaled = metric.metres(holes)
    found = []
    tree = shapely.STRtree(segments.lines())
    touch = max(metric.small_units(rules.tolerance_m) / 8, np.abs(segments.start).max() * 1e-13)
    for hole, size, area in zip(holes, widths(scaled), shapely.area(scaled), strict=True):
        around = _around(hole, tree, segments, touch)
        if len(around) >= _AROUND:
            found.append(
                Found(kind="gap", rows=around, geometry=hole, size_m=float(size),
                      area_m2=float(area),
                      detail=f"A hole between {len(around)} features, up to {size:.3g} m wide.")
            )  # fmt: skip
    return found


def _holes(segments: Segments, rules: CoverageRules, metric: Metric) -> Geometries:
    """Enclosed regions that no polygon covers, of the declared widths."""
    network = shapely.union_all(segments.lines())
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(network)))
    faces = faces[metric.maybe_thin(faces, rules.gap_width_m)]
    scaled = metric.metres(faces)
    chosen = ~wider_than(scaled, rules.gap_width_m)
    if rules.tolerance_m > 0:
        chosen &= wider_than(scaled, rules.tolerance_m)
    faces = faces[chosen]
    inside = shapely.get_coordinates(shapely.point_on_surface(faces))
    open_: Geometries = faces[winding(inside, segments) == 0]
    return shapely.normalize(open_)  # type: ignore[no-any-return]


def _filled(holes: Geometries, voids: Geometries) -> NDArray[np.bool_]:
    filled = np.zeros(len(holes))
    if len(holes) and len(voids):
        hole, void = shapely.STRtree(voids).query(holes, predicate="intersects")
        common = shapely.area(shapely.intersection(holes[hole], voids[void]))
        np.add.at(filled, hole, common)
    mask: NDArray[np.bool_] = filled > _MOSTLY * shapely.area(holes)
    return mask


def _around(
    hole: shapely.Polygon, tree: shapely.STRtree, segments: Segments, touch: float
) -> tuple[int, ...]:
    """The features that a hole's border belongs to, ascending."""
    rings = shapely.get_rings(hole)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    middles = ((xy[1:] + xy[:-1]) / 2)[ring[1:] == ring[:-1]]
    _, near = tree.query(shapely.points(middles), predicate="dwithin", distance=touch)
    return tuple(int(row) for row in np.unique(segments.owner[near]))
