"""Whether small geometries intersect polygons, by their edges alone.

Where the boundaries of two geometries do not meet, each connected geometry lies wholly inside or
wholly outside of the polygon, or holds one of its rings. So an edge of one that crosses an edge of
the other for certain says yes, and says no: all edges apart for certain, a point of the geometry
outside for certain, and no ring of the polygon small enough to lie in the geometry. What neither
holds of (edges that touch, or nearly) is left open, for GEOS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely

from geo_assets.kernels.join_blocks import portions
from geo_assets.kernels.join_geometry import wkb_bytes
from geo_assets.kernels.label_grid import Array, Ends, chosen, edge_ends, sign, spread

_FEW = 32
"""Geometries of more coordinates are left open."""
_AT_ONCE = 1 << 18
"""Pairs of edges that are looked at together: their temporaries stay in the cache."""
_CONNECTED = (0, 1, 2, 3)
"""Points, lines, rings and polygons: what has one part."""
_POLYGON = 3
_RING = np.dtype([("order", "u1"), ("type", "<u4"), ("rings", "<u4"), ("points", "<u4")])
"""How the WKB of a polygon begins."""


@dataclass(frozen=True, slots=True)
class Outlines:
    """The edges of some geometries."""

    ends: Ends
    """Of each edge; by geometry."""
    first: Array
    """(geometries + 1,): where the edges of each start."""
    whole: Array
    """(geometries,) bool: these are all its edges, and it is connected."""

    @classmethod
    def read(cls, geometry: pa.Array) -> Outlines | None:
        """The edges of small polygons without holes, from the bytes of their WKB.

        None unless all are such polygons: little-endian, without z, finite, not null or empty.
        """
        if len(geometry) == 0 or geometry.null_count:
            return None
        at, data = wkb_bytes(geometry)
        if np.diff(at).min() < _RING.itemsize:
            return None
        head = np.ndarray((data.size - _RING.itemsize + 1,), _RING, data, strides=(1,))[at[:-1]]
        points = head["points"].astype(np.intp)
        plain = (head["order"] == 1) & (head["type"] == _POLYGON) & (head["rings"] == 1)
        plain &= (points <= _FEW) & (np.diff(at) == _RING.itemsize + 16 * points) & (points > 0)
        if not plain.all():
            return None
        owner, step = spread(np.zeros(len(points), np.intp), points)
        xy = np.ndarray((data.size - 15,), "<c16", data, strides=(1,))
        corners = xy[at[owner] + _RING.itemsize + 16 * step]
        xy = np.stack([corners.real, corners.imag])
        if not np.isfinite(xy).all():
            return None
        start = np.flatnonzero(owner[1:] == owner[:-1])
        first = np.append(0, np.cumsum(points - 1))
        return cls(edge_ends(xy, start), first, np.ones(len(points), bool))

    @classmethod
    def of(cls, shapes: Array) -> Outlines:
        """The edges of geometries that are small and of one part; none of the others."""
        kinds = shapely.get_type_id(shapes)
        whole = np.isin(kinds, _CONNECTED) & (shapely.get_num_coordinates(shapes) <= _FEW)
        flat = np.flatnonzero(whole & (kinds != _POLYGON))
        areal = np.flatnonzero(whole & (kinds == _POLYGON))
        rings, owner = shapely.get_rings(shapes[areal], return_index=True)
        lines = np.concatenate([shapes[flat], rings])
        xy, line = shapely.get_coordinates(lines, return_index=True)
        start = np.flatnonzero(line[1:] == line[:-1])
        of = np.concatenate([flat, areal[owner]])[line[start]]
        order = np.argsort(of, kind="stable")
        counts = np.bincount(of, minlength=len(shapes))
        ends = edge_ends(np.ascontiguousarray(xy.T), start[order])
        return cls(ends, np.append(0, np.cumsum(counts)), whole)


def meet(
    lines: Outlines, item: Array, pair: Array, edges: Ends
) -> tuple[Array, Array]:  # fmt: skip
    """(yes, no): for each pair whether boundaries meet for certain, or are apart for certain.

    Args:
        lines: The left geometries.
        item: (pairs,): the left geometry of each pair.
        pair: (edges,): the pair of each edge of the polygons; all that enter the geometry's box.
        edges: The ends of these edges.
    """
    yes, apart = np.zeros(len(item), bool), lines.whole[item]
    counts = np.diff(lines.first)[item[pair]]
    for part in portions(counts, _AT_ONCE):
        own = pair[part]
        edge, line = spread(lines.first[item[own]], counts[part])
        crosses, unclear = _compare(chosen(lines.ends, line), chosen(edges, edge + part.start))
        yes[own[edge[crosses]]] = True
        apart[own[edge[unclear]]] = False
    return yes, apart & ~yes


def _compare(one: Ends, two: Ends) -> tuple[Array, Array]:
    """Positions of the segments that cross for certain, and of those that may meet."""
    near = np.maximum(two[0], two[2]) >= np.minimum(one[0], one[2])
    near &= np.minimum(two[0], two[2]) <= np.maximum(one[0], one[2])
    near &= np.maximum(two[1], two[3]) >= np.minimum(one[1], one[3])
    near &= np.minimum(two[1], two[3]) <= np.maximum(one[1], one[3])
    at = np.flatnonzero(near)
    one, two = chosen(one, at), chosen(two, at)
    split, vague = _sides(one, two)
    parted, unsure = _sides(two, one)
    crosses = split & parted & ~vague & ~unsure
    apart = (~split & ~vague) | (~parted & ~unsure)
    return at[crosses], at[~crosses & ~apart]


def _sides(line: Ends, other: Ends) -> tuple[Array, Array]:
    """Whether the ends of the other segment are on different sides of a line, and if unsure."""
    px, py, qx, qy = line
    dx, dy = qx - px, qy - py
    one, vague = sign(dx, dy, other[0] - px, other[1] - py)
    two, unsure = sign(dx, dy, other[2] - px, other[3] - py)
    return one != two, vague | unsure
