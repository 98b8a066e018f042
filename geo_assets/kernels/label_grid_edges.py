"""The edges of polygons, as a label grid is built from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from geo_assets.kernels.label_grid import Array, spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """The rings of valid polygons."""

    vertices: Array
    """(2, vertices): x, y, ring after ring; the first vertex of each is its last one too."""
    counts: Array
    """(rings,): vertices of each."""
    polygon: Array
    """(rings,) int32: the polygon of each; ascending."""
    turn: Array
    """(rings,) int8: +1 where the polygon is to the left of its ring, else -1."""

    @classmethod
    def of(cls, polygons: Array, ids: Array) -> Rings:
        """Those of valid Polygons and MultiPolygons; `ids` are their numbers, ascending."""
        parts, owner = shapely.get_parts(polygons, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        shell = np.diff(part, prepend=-1) != 0
        return cls(
            vertices=np.ascontiguousarray(shapely.get_coordinates(rings).T),
            counts=shapely.get_num_coordinates(rings).astype(np.intp),
            polygon=ids[owner[part]].astype(np.int32),
            turn=np.where(shapely.is_ccw(rings) == shell, 1, -1).astype(np.int8),
        )

    @classmethod
    def merge(cls, one: Rings, other: Rings) -> Rings:
        """The rings of both, which are of different polygons."""
        if not len(one.counts) or not len(other.counts):
            return one if len(one.counts) else other
        counts, polygon, turn = (
            np.concatenate([getattr(one, name), getattr(other, name)])
            for name in ("counts", "polygon", "turn")
        )
        order = np.argsort(polygon, kind="stable")
        _, at = spread((np.cumsum(counts) - counts)[order], counts[order])
        vertices = np.concatenate([one.vertices, other.vertices], axis=1).take(at, axis=1)
        return cls(vertices=vertices, counts=counts[order], polygon=polygon[order],
                   turn=turn[order])  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Edges of many polygons, none of zero length."""

    vertices: Array
    """(2, vertices): x, y, ring after ring."""
    start: Array
    """(edges,) int32: an edge goes from this vertex to the next; ascending."""
    polygon: Array
    """(vertices,) int32: the polygon of each vertex; ascending."""
    turn: Array
    """(vertices,) int8: +1 where the polygon is to the left of the vertex's ring, else -1."""
    length: float
    """Of all edges together: the sum of their widths and heights."""
    ring_polygon: Array
    """(rings,): the polygon of each ring; ascending."""
    ring_size: Array
    """(rings,): the longer side of the ring's box."""

    @classmethod
    def of(cls, rings: Rings) -> Edges:
        """The edges of some rings."""
        counts, (x, y) = rings.counts, rings.vertices
        ends = np.cumsum(counts)
        first, joints = ends - counts, ends[:-1] - 1  # from a ring to the next there is no edge
        wide, tall = np.abs(np.diff(x)), np.abs(np.diff(y))
        wide[joints] = tall[joints] = 0.0
        sides = [np.maximum.reduceat(axis, first) - np.minimum.reduceat(axis, first)
                 for axis in (x, y) if len(first)]  # fmt: skip
        return cls(
            vertices=rings.vertices,
            start=np.flatnonzero((wide > 0) | (tall > 0)).astype(np.int32),
            polygon=np.repeat(rings.polygon, counts),
            turn=np.repeat(rings.turn, counts),
            length=float(wide.sum() + tall.sum()),
            ring_polygon=rings.polygon,
            ring_size=np.maximum(*sides) if sides else np.zeros(0),
        )

    @classmethod
    def join(cls, parts: Sequence[Edges]) -> Edges:
        """The edges of several parts, which ascend."""
        first = np.cumsum([0, *(part.vertices.shape[1] for part in parts)], dtype=np.int32)
        return cls(
            vertices=np.concatenate([part.vertices for part in parts], axis=1),
            start=np.concatenate([p.start + n for p, n in zip(parts, first[:-1], strict=True)]),
            polygon=np.concatenate([part.polygon for part in parts]),
            turn=np.concatenate([part.turn for part in parts]),
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
