"""Rules that look at one feature at a time: presence, place, type, validity and form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.rules.crs import misplaced
from geo_assets.rules.found import Found, Geometries, Metric, Rows, wider_than, widths
from geo_assets.rules.plain import Plain
from geo_assets.rules.topology import TYPE_NAMES, ShapeRules
from geo_assets.rules.validity import reason_kind, vertex

Mask = NDArray[np.bool_]
Coordinates = NDArray[np.float64]

_HALF_TURN = 180.0  # degrees of longitude
_XY = np.complex128  # two coordinates compared at once


def usable(geometries: Geometries, valid: Mask) -> Mask:
    """Features with a place: present, not empty, all coordinates finite.

    Args:
        geometries: Shape (n,).
        valid: Which of them are valid and not empty: those are finite too.
    """
    good = valid.copy()
    doubtful = np.flatnonzero(~valid)
    few = geometries[doubtful]
    good[doubtful] = ~(shapely.is_missing(few) | shapely.is_empty(few))
    xy, index = shapely.get_coordinates(few, return_index=True)
    good[doubtful[index[~np.isfinite(xy).all(axis=1)]]] = False
    return good


def blameless(plain: Plain, rules: ShapeRules, metric: Metric) -> Mask:
    """Which features certainly give `shape_defects` nothing to find.

    Args:
        plain: What is known of them without geometries; shape (n,).
        rules: What is declared.
        metric: Metres in the layer's CRS.
    """
    good = plain.certain.copy()
    at = np.flatnonzero(good)
    bounds = plain.bounds[at]
    fine: Mask = misplaced(bounds, metric.crs) == None  # noqa: E711 - an array of strings and None
    if rules.geometry_types:
        fine &= np.where(plain.multi[at], "MultiPolygon" in rules.geometry_types,
                         "Polygon" in rules.geometry_types)  # fmt: skip
    if rules.orientation is not None:
        fine &= plain.ccw[at] == (rules.orientation == "ccw")
    if metric.geographic:
        fine &= (np.abs(bounds[:, [0, 2]]) <= _HALF_TURN).all(axis=1)
        fine &= bounds[:, 2] - bounds[:, 0] <= _HALF_TURN
    if rules.sliver_width_m > 0:
        area, border = plain.area[at], plain.border[at]
        fine &= ~metric.thin_at_most(bounds, area, border, rules.sliver_width_m)
    good[at] = fine
    return good


def shape_defects(
    geometries: Geometries, rows: Rows, valid: Mask, rules: ShapeRules, metric: Metric
) -> Iterator[Found]:
    """Every finding about single features.

    Kinds: `null_geometry`, `empty_geometry`, `non_finite`; then for the others
    `unexpected_type`, `multipart`, the kinds of `geo_assets.rules.crs.misplaced`, `antimeridian`,
    GEOS's reason in snake_case (`self_intersection`), `collapsed_part`, `repeated_point`,
    `ring_orientation` and `sliver`.

    Args:
        geometries: Shape (n,), in the CRS of `metric`.
        rows: Their positions in the layer, ascending.
        valid: Which of them are valid and not empty: the dearest test, so it is made once.
        rules: What is declared.
        metric: Metres in the layer's CRS.
    """
    for one in _defects(geometries, rows, valid, rules, metric):
        if one.size_m is None and one.geometry is not None:
            at = np.searchsorted(rows, one.rows)
            yield replace(one, size_m=_extent(geometries[at], metric))
        else:
            yield one


def _defects(
    geometries: Geometries, rows: Rows, valid: Mask, rules: ShapeRules, metric: Metric
) -> Iterator[Found]:
    good = usable(geometries, valid)
    yield from _absent(geometries[~good], rows[~good])
    geometries, rows, valid = geometries[good], rows[good], valid[good]
    yield from _types(geometries, rows, rules.geometry_types)
    bounds = shapely.bounds(geometries)
    places = misplaced(bounds, metric.crs)
    here: Mask = places == None  # noqa: E711 - an array of strings and None
    yield from _places(geometries, rows, bounds, places, here, metric)
    collapsed = np.zeros(len(geometries), np.bool_)
    collapsed[~valid] = _collapsed(geometries[~valid])
    flat = "A part has no extent: its vertices lie on one point or one line."
    yield from _each("collapsed_part", geometries, rows, collapsed, flat)
    yield from _invalid(geometries, rows, ~valid & ~collapsed)
    yield from _repeated(geometries, rows)
    if rules.orientation is not None:
        wrong = valid & _misoriented(geometries, ccw=rules.orientation == "ccw")
        yield from _each("ring_orientation", geometries, rows, wrong,
                         f"Shells run {rules.orientation}, holes the other way.")  # fmt: skip
    if rules.sliver_width_m > 0:
        fit = valid & here  # in the wrong unit everything is a sliver
        yield from _slivers(geometries[fit], rows[fit], rules.sliver_width_m, metric)


def _absent(geometries: Geometries, rows: Rows) -> Iterator[Found]:
    missing = shapely.is_missing(geometries)
    empty = shapely.is_empty(geometries)
    for kind, mask, detail in (
        ("null_geometry", missing, "The feature has no geometry."),
        ("empty_geometry", empty, "The geometry has no coordinates."),
        ("non_finite", ~missing & ~empty, "A coordinate is NaN or infinite."),
    ):
        for row in rows[mask]:
            yield Found(kind=kind, rows=(int(row),), geometry=None, detail=detail)


def _types(geometries: Geometries, rows: Rows, allowed: tuple[str, ...]) -> Iterator[Found]:
    if not allowed:
        return
    types = shapely.get_type_id(geometries)
    other = ~np.isin(types, [TYPE_NAMES.index(name) for name in allowed])
    multi = [TYPE_NAMES.index(f"Multi{name}") for name in allowed if f"Multi{name}" in TYPE_NAMES]
    parts = other & np.isin(types, multi)
    declared = ", ".join(allowed)
    for kind, mask in (("multipart", parts), ("unexpected_type", other & ~parts)):
        for at in np.flatnonzero(mask):
            detail = f"{TYPE_NAMES[types[at]]} where {declared} is declared."
            place = _point(geometries[at])
            yield Found(kind=kind, rows=(int(rows[at]),), geometry=place, detail=detail)


def _places(
    geometries: Geometries,
    rows: Rows,
    bounds: NDArray[np.float64],
    kinds: NDArray[np.object_],
    here: Mask,
    metric: Metric,
) -> Iterator[Found]:
    for at in np.flatnonzero(~here):
        detail = "x {0:.6g} to {2:.6g}, y {1:.6g} to {3:.6g}".format(*bounds[at])
        place = _point(geometries[at])
        yield Found(kind=str(kinds[at]), rows=(int(rows[at]),), geometry=place, detail=detail)
    if metric.geographic:
        long: Mask = np.abs(bounds[:, [0, 2]]).max(axis=1) > _HALF_TURN
        long[_edges_where(geometries, lambda a, b: np.abs(a[:, 0] - b[:, 0]) > _HALF_TURN)[0]] = (
            True
        )
        yield from _each("antimeridian", geometries, rows, long & here,
                         "It crosses 180 degrees of longitude.")  # fmt: skip


def _invalid(geometries: Geometries, rows: Rows, mask: Mask) -> Iterator[Found]:
    places = np.flatnonzero(mask)
    reasons = shapely.is_valid_reason(geometries[places])
    for at, reason in zip(places, reasons, strict=True):
        kind, place = reason_kind(reason)
        point = shapely.Point(place) if place else _point(geometries[at])
        text = reason.split("[")[0]
        yield Found(kind=kind, rows=(int(rows[at]),), geometry=point, detail=f"GEOS: {text}.")


def _collapsed(geometries: Geometries) -> Mask:
    """Geometries with a line part without length or a polygon part without area."""
    parts, index = shapely.get_parts(geometries, return_index=True)
    # Not by area: that of a symmetrical bow-tie is zero too.
    flat = shapely.get_dimensions(shapely.convex_hull(parts)) < shapely.get_dimensions(parts)
    found = np.zeros(len(geometries), np.bool_)
    found[index[flat]] = True
    return found


def _repeated(geometries: Geometries, rows: Rows) -> Iterator[Found]:
    """Neighbouring vertices of a line or ring that are equal."""
    owner, place = _edges_where(geometries, lambda a, b: a.view(_XY)[:, 0] == b.view(_XY)[:, 0])
    for at, first, number in zip(
        *np.unique(owner, return_index=True, return_counts=True), strict=True
    ):
        yield Found(kind="repeated_point", rows=(int(rows[at]),),
                    geometry=shapely.Point(place[first]),
                    detail=f"{number} vertices repeat the one before.")  # fmt: skip


def _edges_where(
    geometries: Geometries, test: Callable[[Coordinates, Coordinates], Mask]
) -> tuple[NDArray[np.int64], Coordinates]:
    """Edges that pass a test of their ends: whose they are, by position, and their first ends."""
    xy, index = shapely.get_coordinates(geometries, return_index=True)
    # All vertices in a row: this also joins the end of one ring to the start of the next, so the
    # few features that show anything are looked at again, ring by ring.
    maybe = np.unique(index[1:][test(xy[:-1], xy[1:]) & (index[1:] == index[:-1])])
    rings, of_part = _lines(geometries[maybe])
    xy, line = shapely.get_coordinates(rings, return_index=True)
    places = np.flatnonzero(test(xy[:-1], xy[1:]) & (line[1:] == line[:-1]))
    return maybe[of_part[line[places]]], xy[places]


def _lines(geometries: Geometries) -> tuple[Geometries, NDArray[np.int64]]:
    """Rings and lines, and the geometry that each is of."""
    parts, index = shapely.get_parts(geometries, return_index=True)
    area = shapely.get_dimensions(parts) == 2
    rings, ring_part = shapely.get_rings(parts[area], return_index=True)
    line = shapely.get_dimensions(parts) == 1
    return np.concatenate([rings, parts[line]]), np.concatenate(
        [index[area][ring_part], index[line]]
    )


def _misoriented(geometries: Geometries, *, ccw: bool) -> Mask:
    parts, index = shapely.get_parts(geometries, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    shell = np.r_[True, part[1:] != part[:-1]][: len(rings)]
    wrong = shapely.is_ccw(rings) != (shell == ccw)
    found = np.zeros(len(geometries), np.bool_)
    found[index[part[wrong]]] = True
    return found


def _slivers(geometries: Geometries, rows: Rows, width: float, metric: Metric) -> Iterator[Found]:
    area = np.flatnonzero(shapely.get_dimensions(geometries) == 2)
    thin = area[metric.maybe_thin(geometries[area], width)]
    thin = thin[~wider_than(metric.metres(geometries[thin]), width)]
    scaled = metric.metres(geometries[thin])
    for at, size, extent in zip(thin, widths(scaled), shapely.area(scaled), strict=True):
        yield Found(kind="sliver", rows=(int(rows[at]),), geometry=geometries[at],
                    size_m=float(size), area_m2=float(extent),
                    detail=f"Nowhere wider than {size:.3g} m.")  # fmt: skip


def _each(
    kind: str, geometries: Geometries, rows: Rows, mask: Mask, detail: str
) -> Iterator[Found]:
    for at in np.flatnonzero(mask):
        yield Found(
            kind=kind, rows=(int(rows[at]),), geometry=_point(geometries[at]), detail=detail
        )


def _extent(feature: Geometries, metric: Metric) -> float:
    """The longer side of the box around one feature, metres."""
    west, south, east, north = shapely.total_bounds(metric.metres(feature))
    return float(max(east - west, north - south))


def _point(geometry: shapely.Geometry) -> shapely.Point:
    return shapely.Point(vertex(geometry))
