"""The directed segments of polygons, and which of them have no partner.

In a coverage every segment between two polygons occurs twice, once in each direction. All that is
wrong in a coverage shows where a segment does not: that is a few per thousand of the segments, so
everything expensive is done for those alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.rules.found import Geometries

_MIX_1 = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_3 = np.uint64(0x94D049BB133111EB)
_ONE = np.uint64(1)
_TABLE_BITS = 20
_TABLE_MASK = np.uint64((1 << _TABLE_BITS) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Segments with their polygon's interior on the left."""

    start: NDArray[np.float64]
    """Shape (n, 2): x, y."""
    end: NDArray[np.float64]
    """Shape (n, 2): x, y."""
    owner: NDArray[np.int64]
    """Shape (n,): position of the polygon."""

    @classmethod
    def none(cls) -> Segments:
        """No segments."""
        return cls(start=np.empty((0, 2)), end=np.empty((0, 2)), owner=np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.owner)

    def where(self, chosen: NDArray[np.bool_]) -> Segments:
        """The chosen ones."""
        return Segments(start=self.start[chosen], end=self.end[chosen], owner=self.owner[chosen])

    def lines(self) -> Geometries:
        """As line strings."""
        lines: Geometries = shapely.linestrings(np.stack([self.start, self.end], axis=1))
        return lines


def unpaired_segments(polygons: Geometries) -> Segments:
    """The segments that do not occur exactly twice, once in each direction.

    Segments are compared by a 64-bit mix of their coordinates: two different ones among ten
    million fall together with a probability of 3e-6.

    Args:
        polygons: Valid, non-empty Polygons and MultiPolygons; rings may run either way.
    """
    xy, ring, owner, backwards = _rings(polygons)
    if not len(xy):
        return Segments.none()
    mixed = _mix(xy)
    one, other = mixed[:-1], mixed[1:]
    place = np.flatnonzero((ring[1:] == ring[:-1]) & (one != other))
    key = _keys(one[place], other[place], backwards[ring[place]])
    place = place[_without_partner(key)]
    turn = backwards[ring[place]]
    start, end = xy[place], xy[place + 1]
    start[turn], end[turn] = end[turn], start[turn].copy()
    return Segments(start=start, end=end, owner=owner[ring[place]])


def _keys(
    one: NDArray[np.uint64], other: NDArray[np.uint64], backwards: NDArray[np.bool_]
) -> NDArray[np.uint64]:
    """A number per segment whose last bit is the direction and whose others are the place."""
    key = one + other
    key ^= key >> np.uint64(31)
    key *= _MIX_2
    key &= ~_ONE
    key |= (one < other) ^ backwards
    return key


def _without_partner(key: NDArray[np.uint64]) -> NDArray[np.bool_]:
    ordered = np.sort(key)
    place = ordered >> _ONE
    first = np.flatnonzero(np.r_[True, place[1:] != place[:-1]][: len(place)])
    paired = np.diff(np.r_[first, len(place)]) == 2
    paired[paired] = (ordered[first[paired]] ^ ordered[first[paired] + 1]) == _ONE
    loose = place[first[~paired]]
    # Few are loose: a table of their last bits answers for nearly all others.
    seen = np.zeros(1 << _TABLE_BITS, np.bool_)
    seen[loose & _TABLE_MASK] = True
    mask = seen[(key >> _ONE) & _TABLE_MASK]
    maybe = np.flatnonzero(mask)
    mask[maybe] = np.isin(key[maybe] >> _ONE, loose)
    return mask  # type: ignore[no-any-return]


def winding(points: NDArray[np.float64], segments: Segments) -> NDArray[np.int64]:
    """How many polygons cover each point, by the segments that have no partner.

    Paired segments cancel out, so the others decide alone.

    Args:
        points: Shape (n, 2); none of them on a segment.
        segments: The unpaired segments, directed.
    """
    count = np.zeros(len(points), np.int64)
    if not len(points) or not len(segments):
        return count
    tree = shapely.STRtree(segments.lines())
    far = max(segments.start[:, 0].max(), segments.end[:, 0].max()) + 1.0
    rays = shapely.box(points[:, 0], points[:, 1], np.maximum(far, points[:, 0]), points[:, 1])
    which, hit = tree.query(rays)
    x, y = points[which].T
    (x0, y0), (x1, y1) = segments.start[hit].T, segments.end[hit].T
    left = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
    up = (y0 <= y) & (y < y1) & (left > 0)
    down = (y1 <= y) & (y < y0) & (left < 0)
    np.add.at(count, which, up.astype(np.int64) - down.astype(np.int64))
    return count


def _rings(
    polygons: Geometries,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Vertices, the ring of each vertex, the owner of each ring, and the rings that run backwards.

    A ring runs backwards if its polygon's interior is on the right.
    """
    simple = shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON
    simple &= shapely.get_num_interior_rings(polygons) == 0
    if simple.all():
        # Parts and rings need not be looked up: the vertices of such a polygon are its ring.
        xy, ring = shapely.get_coordinates(polygons, return_index=True)
        backwards = ~shapely.is_ccw(shapely.get_exterior_ring(polygons))
        return xy, ring, np.arange(len(polygons)), backwards
    parts, owner_of_part = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    shell = np.r_[True, part[1:] != part[:-1]]
    return xy, ring, owner_of_part[part], shapely.is_ccw(rings) != shell


def _mix(xy: NDArray[np.float64]) -> NDArray[np.uint64]:
    bits = (xy + 0.0).view(np.uint64)  # adding zero turns -0.0 into 0.0
    mixed = bits[:, 0] * _MIX_1
    mixed ^= mixed >> np.uint64(29)
    mixed += bits[:, 1]
    mixed *= _MIX_2
    mixed ^= mixed >> np.uint64(32)
    mixed *= _MIX_3
    mixed ^= mixed >> np.uint64(29)
    return mixed
