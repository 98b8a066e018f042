"""The edges of polygons, as a label grid is built from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from geo_assets.kernels.label_grid import Array


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
    def of(cls, parts: Sequence[Rings]) -> Edges:
        """The edges of several parts, which ascend."""
        none = Rings.of(np.zeros(0, object), np.zeros(0, np.intp))
        fields = ("counts", "polygon", "turn")
        counts, polygon, turn = (
            np.concatenate([getattr(none, name), *(getattr(part, name) for part in parts)])
            for name in fields
        )
        vertices = np.concatenate([none.vertices, *(part.vertices for part in parts)], axis=1)
        ends = np.cumsum(counts)
        steps = [np.abs(np.diff(axis)) for axis in vertices]
        moves = (steps[0] > 0) | (steps[1] > 0)
        moves[ends[:-1] - 1] = False  # from the end of a ring to the start of the next one
        first = ends - counts
        size = [
            np.maximum.reduceat(axis, first) - np.minimum.reduceat(axis, first) if len(first)
            else np.zeros(0) for axis in vertices
        ]  # fmt: skip
        return cls(
            vertices=vertices,
            start=np.flatnonzero(moves).astype(np.int32),
            polygon=np.repeat(polygon, counts),
            turn=np.repeat(turn, counts),
            length=sum(float(step.sum() - step[ends[:-1] - 1].sum()) for step in steps),
            ring_polygon=polygon,
            ring_size=np.maximum(*size),
        )

    def girth(self, polygons: int) -> Array:
        """(polygons,) the longer side of the box of each polygon's smallest ring, else 0."""
        smallest = np.full(polygons, np.inf)
        np.minimum.at(smallest, self.ring_polygon, self.ring_size)
        smallest[np.isinf(smallest)] = 0.0
        return smallest
