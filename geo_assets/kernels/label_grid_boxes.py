"""What boxes are to the polygons of a label grid, without looking at the polygons.

The cells of a box hold all edges that may enter it. A polygon none of whose edges does so either
holds the whole box or none of it, and one corner tells. The others have to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geo_assets.kernels.label_grid import (
    FIRST_MIXED,
    MAX_WORK,
    Array,
    LabelGrid,
    distinct,
    edge_ends,
    expand,
    spread,
)

_BLOCK = 1 << 15
_MOST_CELLS = 64
"""Boxes over more cells are not tried."""
_MOST_WORK = 1 << 12
"""Boxes in whose cells there is more to look at are not tried."""
_ERROR = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The boxes from `start` to `stop` and the polygons; all numbers are positions."""

    start: int
    stop: int
    sure_box: Array
    sure_polygon: Array
    """The closed box is in the interior of the polygon, for certain."""
    maybe_box: Array
    maybe_polygon: Array
    """They may touch, or not. Any other polygon of the grid has nothing of the box."""
    untried: Array
    """Boxes that were too large to try: nothing is said about them."""


def place_boxes(grid: LabelGrid, bounds: Array) -> Iterator[Placed]:
    """Place boxes, (n, 4) xmin, ymin, xmax, ymax, in bounded blocks; NaN is nowhere."""
    for start in range(0, len(bounds), _BLOCK):
        yield _place(grid, bounds[start : start + _BLOCK], start)


def _place(grid: LabelGrid, bounds: Array, start: int) -> Placed:
    box, number, untried = _mixed_cells(grid, bounds)
    width = int(grid.group_polygon.max(initial=0)) + 1
    maybe = [_touching(grid, bounds, box, number, width)]
    tried = np.ones(len(bounds), bool)
    tried[untried] = False
    at = np.flatnonzero(tried & np.isfinite(bounds).all(axis=1))
    inside = []
    for found in grid.locate(bounds[at, 0], bounds[at, 1]):
        inside.append(at[found.point].astype(np.int64) * width + found.polygon)
        maybe.append(at[found.unsure_point].astype(np.int64) * width + found.unsure_polygon)
    near = distinct(np.concatenate(maybe))
    sure = np.sort(np.concatenate([np.zeros(0, np.int64), *inside]))
    if len(near):
        place = np.minimum(np.searchsorted(near, sure), len(near) - 1)
        sure = sure[near[place] != sure]
    return Placed(
        start=start,
        stop=start + len(bounds),
        sure_box=sure // width + start,
        sure_polygon=sure % width,
        maybe_box=near // width + start,
        maybe_polygon=near % width,
        untried=untried + start,
    )


def _mixed_cells(grid: LabelGrid, bounds: Array) -> tuple[Array, Array, Array]:
    """(box, number of the mixed cell) for each of the boxes' mixed cells; boxes not tried."""
    cells = grid.cells
    with np.errstate(invalid="ignore"):
        low, high = cells.columns(bounds[:, 0]), cells.columns(bounds[:, 2])
        bottom, top = cells.rows(bounds[:, 1]), cells.rows(bounds[:, 3])
        near = (high >= 0) & (top >= 0) & (low < cells.nx) & (bottom < cells.ny)
    at = np.flatnonzero(near)  # outside of the grid there is nothing
    low, high = (np.clip(side[at], 0, cells.nx - 1).astype(np.intp) for side in (low, high))
    bottom, top = (np.clip(side[at], 0, cells.ny - 1).astype(np.intp) for side in (bottom, top))
    wide, tall = high - low + 1, top - bottom + 1
    tried = wide * tall <= _MOST_CELLS
    line, row = spread(bottom, np.where(tried, tall, 0))
    item, column = spread(low[line], wide[line])
    label = grid.labels[row[item] * cells.nx + column]
    mixed = label <= FIRST_MIXED
    item, number = line[item[mixed]], FIRST_MIXED - label[mixed].astype(np.intp)
    work = np.bincount(item, grid.work(number), len(at))
    tried &= work <= _MOST_WORK
    kept = tried[item]
    return at[item[kept]], number[kept], at[~tried]


def _touching(grid: LabelGrid, bounds: Array, box: Array, number: Array, width: int) -> Array:
    """For each edge in the boxes' cells that may enter the box: box * width + polygon."""
    keys = [np.zeros(0, np.int64)]
    ends = np.cumsum(grid.work(number))
    start = 0
    while start < len(number):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + MAX_WORK // 4, "right")), start + 1)
        item, group = expand(grid.cell_groups, number[start:stop])
        pair, slot = expand(grid.group_edges, group)
        owner = box[start:stop][item[pair]]
        hit = _enters(edge_ends(grid.vertices, grid.entries[slot]), bounds[owner])
        keys.append(owner[hit].astype(np.int64) * width + grid.group_polygon[group[pair[hit]]])
        start = stop
    return np.concatenate(keys)


def _enters(edge: Array, box: Array) -> Array:
    """Positions of the edges that may have a point in common with their closed box."""
    ax, ay, bx, by = edge.T
    left, lower, right, upper = box.T
    near = (np.maximum(ax, bx) >= left) & (np.minimum(ax, bx) <= right)
    near &= (np.maximum(ay, by) >= lower) & (np.minimum(ay, by) <= upper)
    at = np.flatnonzero(near)
    ax, ay, bx, by = edge[at].T
    left, lower, right, upper = box[at].T
    dx, dy = bx - ax, by - ay
    u, v = dx * (lower - ay), dx * (upper - ay)
    s, t = dy * (left - ax), dy * (right - ax)
    error = _ERROR * (np.maximum(np.abs(u), np.abs(v)) + np.maximum(np.abs(s), np.abs(t)))
    apart = np.minimum(u, v) - np.maximum(s, t) > error  # the box is left of the edge's line
    apart |= np.maximum(u, v) - np.minimum(s, t) < -error
    left_over: Array = at[~apart]
    return left_over
