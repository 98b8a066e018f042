"""Build a label grid from polygons.

Two facts about each cell are needed. Which edges enter it: found by cutting each edge at the rows
it spans, with a margin that is far above the rounding errors and far below a cell, so no edge is
missed. Which polygons hold its reference point: found by counting the signed crossings of the
row's reference line, where a crossing too close to a reference point makes the build start again
with the points moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from geo_assets.kernels.label_grid import (
    EMPTY,
    FIRST_MIXED,
    Array,
    Cells,
    Ends,
    LabelGrid,
    chosen,
    edge_ends,
    spread,
)
from geo_assets.kernels.label_grid_edges import Edges
from geo_assets.kernels.label_grid_groups import Groups, starts

MAX_CELLS = 1 << 24
"""Cells of a grid at most: 64 MiB of labels."""
MIN_CELLS = 1 << 10
_MARGIN = 1e-6
"""Cells are widened by this part of their size when edges are assigned to them."""
_EDGES_AT_ONCE = 1 << 18
_MAX_MEMBERS = 1 << 25
"""About how often polygons' boxes may cover a cell, over all cells."""
_MAX_ENTRIES = 1 << 24
"""About how many times edges may enter cells, besides twice each."""


def make_cells(bounds: Array, points: int, edges: Edges) -> Cells:
    """Square cells that hold the polygons with room to spare, as many as pay off.

    Args:
        bounds: (polygons, 4) xmin, ymin, xmax, ymax.
        points: How many points will be looked up.
        edges: The edges of the polygons.

    A cell costs some twenty nanoseconds to label, a point in a mixed cell a few hundred more than
    one in a pure cell. Long edges and polygons that lie on each other make the cells larger, so
    that what the cells hold stays bounded.
    """
    low, high = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    width, height = high - low
    size = bounds[:, 2:] - bounds[:, :2]
    count = min(max(2 * points, 2 * len(edges.start), MIN_CELLS), MAX_CELLS)
    finest = max(float(np.abs(bounds).max()) * 2.0**-52 / _MARGIN * 64, 1e-290)
    side = max(
        math.sqrt(width * height / count),
        math.sqrt(float((size[:, 0] * size[:, 1]).sum()) / _MAX_MEMBERS),
        edges.length / (_MAX_ENTRIES + 2 * len(edges.start)),
        max(width, height) / (count // 2),
        finest,
    )
    nx, ny = int(width / side) + 3, int(height / side) + 3
    return Cells(
        x0=float(low[0] - side),
        y0=float(low[1] - side),
        dx=float(side),
        dy=float(side),
        nx=nx,
        ny=ny,
    )


def build(edges: Edges, cells: Cells) -> LabelGrid:
    """The grid of these edges. Memory: about 20 bytes a cell and 120 an edge, plus the mixed cells.

    The polygons have to be valid, with finite coordinates, and inside the box of the cells.
    """
    for attempt in range(16):
        crossed = _crossings(edges, cells)
        if crossed is not None:
            break
        cells = replace(cells, fx=0.3 + 0.4 * math.modf(attempt * 0.6180339887 + 0.1)[0])
    else:  # sixteen independent places all within 1e-8 of an edge
        msg = "no reference points away from the edges"
        raise ArithmeticError(msg)
    depth, labels = _labels(cells, *crossed)
    cell, entries = _entries(edges, cells)
    groups = Groups.of(cell, edges.polygon.take(entries), labels)
    mixed = depth > 1
    mixed[groups.cell] = True
    lone = mixed & (labels != EMPTY)
    lone[groups.cell[groups.inside]] = False
    alone = np.flatnonzero(lone)
    groups = groups.with_members([(alone, labels[alone]), *_members(cells, depth, crossed)])
    number = np.flatnonzero(mixed)
    labels[number] = FIRST_MIXED - np.arange(len(number), dtype=np.int32)
    return LabelGrid(
        cells=cells,
        labels=labels,
        mixed_cells=number.astype(np.int32),
        cell_groups=starts(groups.cell).astype(np.int32),
        group_polygon=groups.polygon,
        group_inside=groups.inside,
        group_edges=groups.first.astype(np.int32),
        entries=entries,
        vertices=edges.vertices,
    )


def _crossings(edges: Edges, cells: Cells) -> tuple[Array, ...] | None:
    """(row, column, polygon, enters) where edges cross the reference lines.

    The column is the first whose reference point is right of the crossing; +1 where going there
    across the edge enters the polygon, else -1. None if a crossing is too close to a reference
    point.
    """
    margin = max(abs(edges.vertices.min()), abs(edges.vertices.max())) * 2.0**-52 * 32
    parts = [(np.zeros(0, np.int32),) * 4]
    for first in range(0, len(edges.start), _EDGES_AT_ONCE):
        found = _crossings_of(edges, slice(first, first + _EDGES_AT_ONCE), cells, margin)
        if found is None:
            return None
        parts.append(found)
    row, column, polygon, enters = zip(*parts, strict=True)
    return tuple(map(np.concatenate, (row, column, polygon, enters)))


def _crossings_of(
    edges: Edges, part: slice, cells: Cells, margin: float
) -> tuple[Array, Array, Array, Array] | None:
    ref_x, ref_y = cells.reference_x(), cells.reference_y()
    start = edges.start[part]
    # The lines below each vertex; an edge crosses those between its ends, the lower one included.
    line = _before(ref_y, edges.vertices[1, start[0] : start[-1] + 2])
    one, two = line[start - start[0]], line[start - start[0] + 1]
    at = np.flatnonzero(one != two)
    start, low = start[at], np.minimum(one, two)[at]
    edge, row = spread(low, np.maximum(one, two)[at] - low)
    start = start[edge]
    x1, y1, x2, y2 = edge_ends(edges.vertices, start)
    x = x1 + (ref_y[row] - y1) * ((x2 - x1) / (y2 - y1))
    column = _before(ref_x, x)
    padded = np.concatenate([[-np.inf], ref_x, [np.inf]])
    apart = np.minimum(padded[column + 1] - x, x - padded[column])
    if apart.min(initial=np.inf) < margin:
        return None
    enters = np.where(y2 < y1, edges.turn[start], -edges.turn[start])
    return row.astype(np.int32), column.astype(np.int32), edges.polygon[start], enters


def _before(ticks: Array, values: Array) -> Array:
    """How many of the ticks, evenly spaced, are less than each value: as `numpy.searchsorted`."""
    padded = np.concatenate([[-np.inf], ticks, [np.inf]])
    guess = (values - ticks[0]) * (1.0 / (ticks[1] - ticks[0])) + 1.0
    number = np.clip(guess, 0, len(ticks)).astype(np.intp)
    number += padded[number + 1] < values
    number -= padded[number] >= values
    counts: Array = number
    return counts


def _labels(
    cells: Cells, row: Array, column: Array, polygon: Array, enters: Array
) -> tuple[Array, Array]:
    """How many polygons hold each cell's reference point, and the polygon where it is one."""
    at = row.astype(np.intp) * cells.nx + column
    depth = np.zeros(cells.ny * cells.nx, np.int32)
    np.add.at(depth, at, enters)
    np.cumsum(depth, out=depth)  # each row adds up to 0: no polygon reaches the last column
    labels = np.zeros(cells.ny * cells.nx, np.int32)
    # Sums may wrap around; wrapping cancels.
    np.add.at(labels, at, np.where(enters > 0, polygon + 1, -1 - polygon))
    np.cumsum(labels, out=labels)
    labels -= 1
    labels[depth != 1] = EMPTY
    return depth, labels


def _entries(edges: Edges, cells: Cells) -> tuple[Array, Array]:
    """(cell, first vertex of the edge), sorted, for every cell, slightly widened, it enters."""
    parts = [
        _entries_of(edges.vertices, edges.start[first : first + _EDGES_AT_ONCE], cells)
        for first in range(0, len(edges.start), _EDGES_AT_ONCE)
    ]
    # One number for both: sorting numbers takes a third of the time of sorting positions. Vertices
    # are in the order of their polygons, so the polygons of a cell are together.
    key = np.concatenate([np.zeros(0, np.int64), *parts])
    parts.clear()
    key.sort()
    halves = key.astype("<i8", copy=False).view("<i4").reshape(-1, 2)
    return np.ascontiguousarray(halves[:, 1]), np.ascontiguousarray(halves[:, 0])


def _entries_of(vertices: Array, start: Array, cells: Cells) -> Array:
    """(cell << 32 | first vertex) of the cells of some edges."""
    start = start.astype(np.int64)
    ends = x1, y1, x2, y2 = edge_ends(vertices, start)
    pad_x, pad_y = _MARGIN * cells.dx, _MARGIN * cells.dy
    left = cells.columns(np.minimum(x1, x2) - pad_x).astype(np.intp)
    right = cells.columns(np.maximum(x1, x2) + pad_x).astype(np.intp)
    low = cells.rows(np.minimum(y1, y2) - pad_y).astype(np.intp)
    high = cells.rows(np.maximum(y1, y2) + pad_y).astype(np.intp)
    cell = low * cells.nx + left
    wide, tall = right - left, high - low
    few = wide + tall <= 1  # one cell, or two side by side: nothing to cut
    edge, two = np.flatnonzero(few), np.flatnonzero(few & (wide + tall == 1))
    other = cell[two] + np.where(wide[two] == 1, 1, cells.nx)
    many = np.flatnonzero(~few)
    return np.concatenate([
        cell[edge] << 32 | start[edge], other << 32 | start[two],
        _cut(chosen(ends, many), start[many], cells),
    ])  # fmt: skip


def _cut(ends: Ends, start: Array, cells: Cells) -> Array:
    """(cell << 32 | first vertex) of the cells of long edges, cut at the rows they span."""
    x1, y1, x2, y2 = ends
    up = y1 <= y2
    x1, y1, x2, y2 = (np.where(up, one, other)
                      for one, other in ((x1, x2), (y1, y2), (x2, x1), (y2, y1)))  # fmt: skip
    pad_x, pad_y = _MARGIN * cells.dx, _MARGIN * cells.dy
    low = cells.rows(y1 - pad_y).astype(np.intp)
    high = cells.rows(y2 + pad_y).astype(np.intp)
    edge, row = spread(low, high - low + 1)
    x1, y1, wide, tall = x1[edge], y1[edge], (x2 - x1)[edge], (y2 - y1)[edge]
    level = tall <= 0
    tall[level] = 1.0
    floor = cells.y0 + row * cells.dy - y1
    enter = np.clip((floor - pad_y) / tall, 0.0, 1.0)
    leave = np.clip((floor + (cells.dy + pad_y)) / tall, 0.0, 1.0)
    enter[level], leave[level] = 0.0, 1.0
    xa, xb = x1 + enter * wide, x1 + leave * wide
    left = cells.columns(np.minimum(xa, xb) - 2 * pad_x).astype(np.intp)
    right = cells.columns(np.maximum(xa, xb) + 2 * pad_x).astype(np.intp)
    item, column = spread(left, right - left + 1)
    keys: Array = ((row[item] * cells.nx + column) << 32) | start[edge[item]]
    return keys


def _members(
    cells: Cells, depth: Array, crossed: tuple[Array, ...]
) -> Iterator[tuple[Array, Array]]:
    """(cell, polygon) where several polygons hold a cell's reference point."""
    row, column, polygon, enters = crossed
    crowded: Array = np.any(depth.reshape(cells.ny, cells.nx) > 1, axis=1)
    deep = np.flatnonzero(crowded[row])
    for part in _spans(row[deep], column[deep], polygon[deep], enters[deep]):
        first, last, line, owner = part
        span, place = spread(first, last - first)
        cell = line[span] * cells.nx + place
        keep = depth[cell] > 1
        yield cell[keep], owner[span][keep]


def _spans(
    row: Array, column: Array, polygon: Array, enters: Array
) -> Iterator[tuple[Array, Array, Array, Array]]:
    """(first column, column after, row, polygon) of runs inside a polygon, in bounded parts."""
    order = np.lexsort((-enters, column, row, polygon))
    column, row, polygon, enters = column[order], row[order], polygon[order], enters[order]
    # Crossings between the same two reference points may sort the wrong way round: what counts
    # is the running total of a polygon's row, which is 1 over the columns it holds.
    total = np.cumsum(enters)[:-1]
    run = np.flatnonzero((total > 0) & (column[1:] > column[:-1]))
    for start in range(0, len(run), 1 << 20):
        at = run[start : start + (1 << 20)]
        yield column[at], column[at + 1], row[at], polygon[at]
