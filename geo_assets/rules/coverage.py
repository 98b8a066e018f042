"""Rules of a polygon coverage: duplicates, overlaps and edges that do not match.

A coverage is a layer whose polygons neither overlap nor miss each other: where two of them meet,
they share every vertex. Gaps are found by `geo_assets.rules.gaps` from the same segments.

All findings about a feature follow from the features whose bounding boxes come within
`halo_m` of its own, so a layer can be examined piece by piece with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.rules.duplicates import without_duplicates
from geo_assets.rules.found import Found, Geometries, Metric, Rows, wider_than, widths
from geo_assets.rules.segments import Segments, unpaired_segments
from geo_assets.rules.topology import CoverageRules

_POLYGON = 2  # dimension
_MOST = 0.3
_INTERIORS_MEET = "T********"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageFindings:
    """What one piece of a coverage shows."""

    found: tuple[Found, ...]
    """Duplicates, overlaps and unmatched edges. The same pair may also show in another piece."""
    loose: Segments
    """Unpaired segments of owned features, for gaps; `owner` is a position in the layer."""
    flagged: Rows
    """Owned features with invalid edges by GEOS, at gap width 0."""


def polygonal(geometries: Geometries, valid: Mask) -> Mask:
    """Of the `valid` features, those that can be part of a coverage: Polygons, MultiPolygons."""
    types = shapely.get_type_id(geometries)
    areas = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
    mask: Mask = valid & np.isin(types, areas) & ~shapely.is_empty(geometries)
    return mask


def void_areas(invalid: Geometries) -> Geometries:
    """The areas of invalid features, as far as they have one: places that are not gaps."""
    areas = invalid[(shapely.get_dimensions(invalid) == _POLYGON) & ~shapely.is_empty(invalid)]
    xy, index = shapely.get_coordinates(areas, return_index=True)
    areas = np.delete(areas, np.unique(index[~np.isfinite(xy).all(axis=1)]))
    made: Geometries = shapely.make_valid(areas, method="structure", keep_collapsed=False)
    return made[~shapely.is_empty(made)]  # type: ignore[no-any-return]


def coverage_defects(
    geometries: Geometries, rows: Rows, owned: Mask, rules: CoverageRules, metric: Metric
) -> CoverageFindings:
    """Examine the owned features of one piece, with their neighbours as context.

    Args:
        geometries: Shape (n,): features that are `polygonal`, in ascending order of `rows`.
        rows: Their positions in the layer.
        owned: Which of them this piece reports on; the others are context.
        rules: What is declared.
        metric: Metres in the layer's CRS.
    """
    if not len(geometries):
        return CoverageFindings(found=(), loose=Segments.none(), flagged=rows)
    tolerance = metric.small_units(rules.tolerance_m)
    found, keep = without_duplicates(geometries, rows, owned, tolerance, metric)
    geometries, rows, owned = geometries[keep], rows[keep], owned[keep]

    loose = unpaired_segments(geometries)
    tree = shapely.STRtree(geometries)
    asked = _suspects(geometries, owned, loose, tree)
    edges = _invalid_edges(geometries, asked, tree)
    loose = loose.where(owned[loose.owner])
    overlaps, explained = _overlaps(geometries, rows, asked, tree, rules, metric)
    unmatched, run_along = _unmatched(geometries, rows, loose, tree, tolerance)
    flagged = np.flatnonzero(~shapely.is_empty(edges) & ~shapely.is_missing(edges))
    rest = np.setdiff1d(flagged, np.concatenate([explained, run_along]))
    found += overlaps + unmatched
    found += [_edge((int(rows[at]),), shapely.get_parts(edges[at])) for at in rest]
    if rules.gap_width_m > 0:
        loose = loose.where(~_alone(geometries, loose, tree, metric.units(rules.halo_m)))
    else:
        loose = loose.where(np.zeros(len(loose), np.bool_))
    loose = Segments(start=loose.start, end=loose.end, owner=rows[loose.owner])
    return CoverageFindings(found=tuple(found), loose=loose, flagged=rows[flagged])


def _suspects(
    polygons: Geometries, owned: Mask, loose: Segments, tree: shapely.STRtree
) -> NDArray[np.int64]:
    """The owned features that can have a defect.

    The number of polygons above a place changes only across unpaired segments. So a feature with
    none on it or in it is covered as often everywhere as at any one place inside, and is clean if
    that is once.
    """
    suspect = np.zeros(len(polygons), np.bool_)
    suspect[loose.owner] = True
    if suspect.mean() > _MOST:
        suspect[:] = True  # asking about all costs less than finding out about whom to ask
    elif len(loose):
        suspect[tree.query(loose.lines())[1]] = True
    calm = np.flatnonzero(owned & ~suspect)
    inside = shapely.point_on_surface(polygons[calm])
    which, _ = tree.query(inside, predicate="intersects")
    suspect[calm[np.bincount(which, minlength=len(calm)) > 1]] = True
    return np.flatnonzero(owned & suspect)


def _invalid_edges(
    polygons: Geometries, asked: NDArray[np.int64], tree: shapely.STRtree
) -> Geometries:
    """`shapely.coverage_invalid_edges` at gap width 0 for some polygons, None for others."""
    edges = np.full(len(polygons), None, object)
    if len(asked):
        context = np.unique(np.concatenate([asked, tree.query(polygons[asked])[1]]))
        answers = np.full(len(polygons), None, object)
        answers[context] = shapely.coverage_invalid_edges(polygons[context])
        edges[asked] = answers[asked]
    return edges


def _overlaps(
    polygons: Geometries,
    rows: Rows,
    asked: NDArray[np.int64],
    tree: shapely.STRtree,
    rules: CoverageRules,
    metric: Metric,
) -> tuple[list[Found], NDArray[np.int64]]:
    """Pairs with a common area, and those of the asked features that are in one.

    GEOS's invalid edges do not tell: they leave out what lies under another coverage. Pairs that
    overlap no wider than the tolerance are unmatched edges.
    """
    one, other = tree.query(polygons[asked])
    one = asked[one]
    one, other = one[one != other], other[one != other]
    pairs, pair_of = np.unique(
        np.sort(np.column_stack([one, other]), axis=1), axis=0, return_inverse=True
    )
    meet = shapely.relate_pattern(polygons[pairs[:, 0]], polygons[pairs[:, 1]], _INTERIORS_MEET)
    number = np.cumsum(meet) - 1
    one, pair_of = one[meet[pair_of.ravel()]], number[pair_of.ravel()[meet[pair_of.ravel()]]]
    pairs = pairs[meet]
    common = shapely.intersection(polygons[pairs[:, 0]], polygons[pairs[:, 1]])
    parts, index = shapely.get_parts(common, return_index=True)
    areal = shapely.get_dimensions(parts) == _POLYGON
    parts, index = parts[areal], index[areal]
    scaled = metric.metres(parts)
    wide = wider_than(scaled, rules.tolerance_m) if rules.tolerance_m else np.ones(len(parts), bool)
    found = []
    for at in np.unique(index):
        here = np.flatnonzero(index == at)
        names = tuple(int(row) for row in rows[pairs[at]])
        if (chosen := here[wide[here]]).size:
            found.append(_overlap(names, parts[chosen], scaled[chosen]))
        else:
            found.append(_edge(names, shapely.boundary(parts[here])))
    return found, np.unique(one[np.isin(pair_of, index)])


def _overlap(names: tuple[int, ...], parts: Geometries, scaled: Geometries) -> Found:
    width = float(widths(scaled).max())
    return Found(kind="overlap", rows=names, geometry=shapely.multipolygons(parts), size_m=width,
                 area_m2=float(shapely.area(scaled).sum()),
                 detail=f"Both cover an area up to {width:.3g} m wide.")  # fmt: skip


def _unmatched(
    polygons: Geometries, rows: Rows, loose: Segments, tree: shapely.STRtree, tolerance: float
) -> tuple[list[Found], NDArray[np.int64]]:
    """Unpaired segments that run along or inside another feature, and whose they are."""
    loose = loose.where(~_alone(polygons, loose, tree, tolerance))
    ends = loose.start, (loose.start + loose.end) / 2, loose.end
    segment, other = tree.query(shapely.points(ends[1]), predicate="dwithin", distance=tolerance)
    strange = loose.owner[segment] != other
    segment, other = segment[strange], other[strange]
    distance = np.zeros(len(segment))
    for places in ends:
        apart = shapely.distance(shapely.points(places[segment]), polygons[other])
        distance = np.maximum(distance, apart)
    close = distance <= tolerance
    segment, other, distance = segment[close], other[close], distance[close]
    order = np.lexsort((other, distance, segment))
    segment, first = np.unique(segment[order], return_index=True)
    pairs = np.column_stack([loose.owner[segment], other[order][first]])
    lines = loose.lines()[segment]
    unique, place = np.unique(pairs, axis=0, return_inverse=True)
    found = [
        _edge(tuple(sorted(int(row) for row in rows[pair])), lines[place.ravel() == at])
        for at, pair in enumerate(unique)
    ]
    return found, unique[:, 0]


def _edge(names: tuple[int, ...], lines: Geometries) -> Found:
    geometry = shapely.multilinestrings(shapely.get_parts(lines))
    return Found(kind="unmatched_edge", rows=names, geometry=geometry,
                 detail="The vertices of the two sides are not the same.")  # fmt: skip


def _alone(polygons: Geometries, loose: Segments, tree: shapely.STRtree, near: float) -> Mask:
    """Segments of features with no other within `near`: they touch none and bound no gap."""
    some, place = np.unique(loose.owner, return_inverse=True)
    which, other = tree.query(polygons[some], predicate="dwithin", distance=near)
    company = np.bincount(which[some[which] != other], minlength=len(some)) > 0
    alone: Mask = ~company[place]
    return alone
