"""The edges of polygons, as a label grid is built from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from geo_assets.kernels.label_grid import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Edges of many polygons, none of zero length."""

    vertices: Array
    """(vertices, 2): x, y, ring after ring."""
    start: Array
    """(edges,) int64: an edge goes from this vertex to the next; ascending."""
    polygon: Array
    """(edges,) int32: the polygon; ascending."""
    enters: Array
    """(edges,) int32: +1 where going to greater x across it enters the polygon, else -1."""
    length: float
    """Of all edges together: the sum of their widths and heights."""
    ring_polygon: Array
    """(rings,): the polygon of each ring; ascending."""
    ring_size: Array
    """(rings,): the longer side of the ring's box."""

    @classmethod
    def of(cls, polygons: Array, ids: Array) -> Edges:
        """The edges of valid Polygons and MultiPolygons; `ids` are their numbers, ascending."""
        parts, owner = shapely.get_parts(polygons, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        shell = np.diff(part, prepend=-1) != 0
        turn = np.where(shapely.is_ccw(rings) == shell, 1, -1).astype(np.int32)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        moves = (xy[1:, 0] != xy[:-1, 0]) | (xy[1:, 1] != xy[:-1, 1])
        start = np.flatnonzero((ring[1:] == ring[:-1]) & moves)
        ring = ring[start]
        down = np.where(xy[1:, 1] < xy[:-1, 1], np.int32(1), np.int32(-1))[start]
        of = ids[owner[part]].astype(np.int32)
        box = shapely.bounds(rings)
        return cls(
            vertices=xy,
            start=start,
            polygon=of[ring],
            enters=down * turn[ring],
            length=float(np.abs(np.diff(xy, axis=0)[start]).sum()),
            ring_polygon=of,
            ring_size=(box[:, 2:] - box[:, :2]).max(axis=1, initial=0.0),
        )

    @classmethod
    def join(cls, parts: Sequence[Edges]) -> Edges:
        """The edges of several parts, which ascend."""
        first = np.cumsum([0, *(len(part.vertices) for part in parts)])
        return cls(
            vertices=np.concatenate([part.vertices for part in parts]),
            start=np.concatenate([p.start + n for p, n in zip(parts, first[:-1], strict=True)]),
            polygon=np.concatenate([part.polygon for part in parts]),
            enters=np.concatenate([part.enters for part in parts]),
            length=sum(part.length for part in parts),
            ring_polygon=np.concatenate([part.ring_polygon for part in parts]),
            ring_size=np.concatenate([part.ring_size for part in parts]),
        )

    def girth(self, polygons: int) -> Array:
        """(polygons,) the longer side of the box of each polygon's smallest ring, else 0."""
        smallest = np.full(polygons, np.inf)
        np.minimum.at(smallest, self.ring_polygon, self.ring_size)
        smallest[np.isinf(smallest)] = 0.0
        return smallest
