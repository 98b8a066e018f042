"""What boxes are to the polygons of a label grid, without looking at the polygons.

The cells of a box hold all edges that may enter it. A polygon none of whose edges does so either
holds the whole box or none of it, and one point tells. The others have to be looked at, unless it
is enough that a certain point of the box, its anchor, is inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from geo_assets.kernels.label_grid import (
    FIRST_MIXED,
    Array,
    Ends,
    LabelGrid,
    chosen,
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
_EDGES_AT_ONCE = 1 << 18
_ERROR = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The boxes from `start` to `stop` and the polygons; all numbers are positions."""

    start: int
    stop: int
    sure_box: Array
    sure_polygon: Array
    """The closed box, or its anchor, is in the interior of the polygon, for certain."""
    maybe_box: Array
    maybe_polygon: Array
    """They may touch, or not. Any other polygon of the grid has nothing of the box."""
    maybe_outside: Array
    """(maybe,) bool: the box has an anchor, and it is outside of the polygon for certain."""
    edge_pair: Array
    """(edges,): position in the maybe arrays; ascending."""
    edge_start: Array
    """(edges,): first vertex of an edge of the polygon that may enter the box. All are here, and
    some twice."""
    untried: Array
    """Boxes that were too large to try: nothing is said about them."""


def place_boxes(grid: LabelGrid, bounds: Array, anchors: Array | None = None) -> Iterator[Placed]:
    """Place boxes in bounded blocks.

    Args:
        grid: The polygons.
        bounds: (n, 4) xmin, ymin, xmax, ymax; NaN is nowhere.
        anchors: (n, 2) a point of each closed box that decides where it is in the interior of a
            polygon. A box whose anchor is elsewhere, or NaN, has none.
    """
    for start in range(0, len(bounds), _BLOCK):
        span = slice(start, start + _BLOCK)
        known = np.full((len(bounds[span]), 2), np.nan) if anchors is None else anchors[span]
        yield _place(grid, bounds[span], known, start)


def _place(grid: LabelGrid, bounds: Array, anchors: Array, start: int) -> Placed:
    xmin, ymin, xmax, ymax = np.ascontiguousarray(bounds.T)
    box_ends = (xmin, ymin, xmax, ymax)
    box, number, untried = _mixed_cells(grid, box_ends)
    width = int(grid.group_polygon.max(initial=0)) + 1
    tried = np.ones(len(bounds), bool)
    tried[untried] = False
    at = np.flatnonzero(tried & np.isfinite(bounds).all(axis=1))
    x, y = np.ascontiguousarray(anchors.T)
    told = (x >= xmin) & (y >= ymin) & (x <= xmax) & (y <= ymax)
    x, y = np.where(told, x, xmin)[at], np.where(told, y, ymin)[at]
    inside, unsure = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for found in grid.locate(x, y):
        inside.append(at[found.point].astype(np.int64) * width + found.polygon)
        unsure.append(at[found.unsure_point].astype(np.int64) * width + found.unsure_polygon)
    sure, doubt = np.sort(np.concatenate(inside)), np.concatenate(unsure)
    held = np.full(len(bounds), -1)
    held[sure // width] = sure % width
    held[~told] = -1
    touching, edge = _touching(grid, box_ends, held, box, number, width)
    near = distinct(np.concatenate([touching, doubt]))
    if len(near):
        place = np.minimum(np.searchsorted(near, sure), len(near) - 1)
        both, settled = near[place] == sure, told[sure // width]
        near = np.delete(near, place[both & settled])
        sure = sure[~both | settled]
    outside = told[near // width] & ~np.isin(near, doubt)
    pair = np.searchsorted(near, touching)
    pair[pair == len(near)] = 0
    kept = np.flatnonzero(near[pair] == touching) if len(near) else np.zeros(0, np.intp)
    order = kept[np.argsort(pair[kept], kind="stable")]
    return Placed(
        start=start,
        stop=start + len(bounds),
        sure_box=sure // width + start,
        sure_polygon=sure % width,
        maybe_box=near // width + start,
        maybe_polygon=near % width,
        maybe_outside=outside,
        edge_pair=pair[order],
        edge_start=edge[order],
        untried=untried + start,
    )


def _mixed_cells(grid: LabelGrid, boxes: Ends) -> tuple[Array, Array, Array]:
    """(box, number of the mixed cell) for each of the boxes' mixed cells; boxes not tried."""
    cells = grid.cells
    xmin, ymin, xmax, ymax = boxes
    with np.errstate(invalid="ignore"):
        low, high = cells.columns(xmin), cells.columns(xmax)
        bottom, top = cells.rows(ymin), cells.rows(ymax)
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


def _touching(
    grid: LabelGrid, boxes: Ends, held: Array, box: Array, number: Array, width: int
) -> tuple[Array, Array]:
    """(box * width + polygon, first vertex) of each edge in the boxes' cells that may enter it.

    Edges of the polygon that `held` names for a box are left out.
    """
    keys, edges = [np.zeros(0, np.int64)], [np.zeros(0, grid.entries.dtype)]
    ends = np.cumsum(grid.work(number))
    start = 0
    while start < len(number):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + _EDGES_AT_ONCE, "right")), start + 1)
        item, group = expand(grid.cell_groups, number[start:stop])
        owner, polygon = box[start:stop][item], grid.group_polygon[group]
        open_ = held[owner] != polygon
        owner, polygon = owner[open_], polygon[open_]
        pair, slot = expand(grid.group_edges, group[open_])
        vertex, of = grid.entries.take(slot), owner.take(pair)
        hit = _enters(edge_ends(grid.vertices, vertex), chosen(boxes, of))
        pair = pair[hit]
        keys.append(owner[pair].astype(np.int64) * width + polygon[pair])
        edges.append(vertex[hit])
        start = stop
    return np.concatenate(keys), np.concatenate(edges)


def _enters(edge: Ends, box: Ends) -> Array:
    """Positions of the edges that may have a point in common with their closed box.

    A box is given by the ends of its diagonal, the lower left one first.
    """
    ax, ay, bx, by = edge
    left, lower, right, upper = box
    near = (np.maximum(ax, bx) >= left) & (np.minimum(ax, bx) <= right)
    near &= (np.maximum(ay, by) >= lower) & (np.minimum(ay, by) <= upper)
    at = np.flatnonzero(near)
    ax, ay, bx, by = chosen(edge, at)
    left, lower, right, upper = chosen(box, at)
    dx, dy = bx - ax, by - ay
    u, v = dx * (lower - ay), dx * (upper - ay)
    s, t = dy * (left - ax), dy * (right - ax)
    error = _ERROR * (np.maximum(np.abs(u), np.abs(v)) + np.maximum(np.abs(s), np.abs(t)))
    apart = np.minimum(u, v) - np.maximum(s, t) > error  # the box is left of the edge's line
    apart |= np.maximum(u, v) - np.minimum(s, t) < -error
    left_over: Array = at[~apart]
    return left_over
