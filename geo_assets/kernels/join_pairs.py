"""Which rows of a batch of the left side belong to which rows of the right side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import shapely

from geo_assets.kernels.join_blocks import Blocks, Load, Shelf, fulfilled, matches, portions
from geo_assets.kernels.join_edges import Outlines, meet
from geo_assets.kernels.join_found import Pairs, Tally
from geo_assets.kernels.join_geometry import anchors, decode, point_coordinates
from geo_assets.kernels.join_index import RightIndex
from geo_assets.kernels.join_layer import Project
from geo_assets.kernels.join_spec import JoinRule
from geo_assets.kernels.label_grid import Array, LabelGrid, edge_ends
from geo_assets.kernels.label_grid_boxes import Placed, place_boxes

_POINT_PREDICATES = ("intersects", "within", "covered_by", "touches")
"""What a point can be to a polygon: its place decides."""
_INSIDE = ("intersects", "within", "covered_by")
"""What a geometry in the interior of a polygon, away from the edges, is to it."""


@dataclass(slots=True)
class Finder:
    """Finds the pairs of one join; keeps right geometries between batches."""

    rule: JoinRule
    index: RightIndex
    project: Project | None
    where: str
    """The left file, for messages."""
    tally: Tally = field(default_factory=Tally)
    blocks: Blocks = field(init=False)
    loose: Blocks = field(init=False)
    shelf: Shelf = field(init=False)

    def __post_init__(self) -> None:
        self.blocks = Blocks(self.index)
        self.loose = Blocks(self.index)
        self.shelf = Shelf(self.index)

    def find(self, geometry: pa.Array, covering: Array | None) -> Iterator[Pairs]:
        """All pairs of a batch, for ascending runs of its rows.

        Args:
            geometry: WKB in the left layer's CRS.
            covering: (rows, 4) boxes that hold the geometries, in the join's CRS; None if unknown.
        """
        grid = self.index.grid
        if grid is not None and self.rule.predicate in _POINT_PREDICATES:
            points = point_coordinates(geometry, self.where)
            if points is not None:
                yield from self._points(grid, geometry, *points)
                return
        if grid is None or covering is None:
            shapes: Array | None = decode(geometry, self.project, self.where)
            bounds = shapely.bounds(shapes)
        else:
            shapes, bounds = self._lazily(geometry, covering)
        self.tally.see(bounds)
        yield from self.find_shapes(geometry, shapes, bounds)

    def _points(self, grid: LabelGrid, geometry: pa.Array, x: Array, y: Array) -> Iterator[Pairs]:
        if self.project is not None:
            x, y = self.project(x, y)
        bounds = np.stack([x, y, x, y]).T
        self.tally.see(bounds)
        near = self._near_loose(bounds)
        for found in grid.locate(x, y):
            self.tally.by_label += found.looked_up
            inside = self.rule.predicate in _INSIDE
            point = found.point if inside else found.point[:0]
            polygon = found.polygon if inside else found.polygon[:0]
            extra = near[_span(near, found.start, found.stop)]
            shapes = np.full(len(x), None, object) if len(extra) else None
            if shapes is not None:
                shapes[extra] = shapely.points(x[extra], y[extra])
            run = _Run(geometry, shapes, bounds, found.start, found.stop)
            more = [self._unsure(x, y, found.unsure_point, found.unsure_polygon)]
            more += self._against(self.loose, self.index.loose, run, extra)
            yield Pairs.of(found.start, found.stop, [(point, polygon), *more])

    def _unsure(self, x: Array, y: Array, point: Array, polygon: Array) -> tuple[Array, Array]:
        """Those of the pairs that GEOS confirms."""
        if not len(point):
            return point, polygon
        distinct, at = np.unique(polygon, return_inverse=True)
        test = getattr(shapely, self.rule.predicate)
        hit = test(shapely.points(x[point], y[point]), self.index.shapes(distinct)[at])
        return point[hit], polygon[hit]

    def _near_loose(self, bounds: Array) -> Array:
        """Left positions that may meet a polygon which is not in the grid."""
        loose = self.index.bounds[self.index.loose]
        if not len(loose) or self.index.grid is None:
            return np.zeros(0, np.intp)
        low, high = loose[:, :2].min(axis=0), loose[:, 2:].max(axis=0)
        return np.flatnonzero(((bounds[:, 2:] >= low) & (bounds[:, :2] <= high)).all(axis=1))

    def _lazily(self, geometry: pa.Array, covering: Array) -> tuple[None, Array]:
        """Boxes from the covering column; what it leaves out is looked at."""
        bounds = covering.copy("K")
        given = geometry.is_valid().to_numpy(zero_copy_only=False)
        bounds[~given] = np.nan
        absent = np.flatnonzero(given & ~np.isfinite(bounds).all(axis=1))
        if len(absent):
            bounds[absent] = shapely.bounds(self._decode(geometry, absent))
        return None, bounds

    def _decode(self, geometry: pa.Array, at: Array) -> Array:
        return decode(geometry.take(pa.array(at)), self.project, self.where)

    def find_shapes(
        self, geometry: pa.Array, shapes: Array | None, bounds: Array
    ) -> Iterator[Pairs]:
        """All pairs of a batch whose boxes are known, and whose shapes may be.

        Args:
            geometry: WKB in the left layer's CRS.
            shapes: The same decoded, in the join's CRS; None decodes what has to be looked at.
            bounds: (rows, 4) boxes that hold the geometries, in the join's CRS, NaN for what
                cannot be compared.
        """
        grid = self.index.grid
        wide = bounds + np.array([-1.0, -1.0, 1.0, 1.0]) * (self.rule.distance or 0.0) * 1.000001
        known = self._anchors(geometry, shapes)
        for placed in _untried(bounds) if grid is None else place_boxes(grid, bounds, known):
            hard = placed.untried
            near = np.setdiff1d(self._near_loose(bounds[placed.start : placed.stop])
                                + placed.start, hard, assume_unique=True)  # fmt: skip
            rows = self.index.near(wide[hard])
            load = np.bincount(np.concatenate([placed.sure_box, placed.maybe_box]) - placed.start,
                               minlength=placed.stop - placed.start) + 1  # fmt: skip
            if len(hard) and len(rows):
                load[hard - placed.start] += Load.of(self.index.bounds[rows]).bound(wide[hard])
            load[near - placed.start] += len(self.index.loose)
            busy = np.union1d(hard, placed.maybe_box)
            finite = np.isfinite(bounds[placed.start : placed.stop]).all(axis=1)
            self.tally.by_label += int(finite.sum()) - len(busy)
            for part in portions(load):
                start, stop = placed.start + part.start, placed.start + part.stop
                run = _Run(geometry, shapes, wide, start, stop)
                found = [self._sure(placed, start, stop), self._maybe(placed, run)]
                found += self._against(self.blocks, rows, run, hard)
                found += self._against(self.loose, self.index.loose, run, near)
                yield Pairs.of(start, stop, found)

    def _anchors(self, geometry: pa.Array, shapes: Array | None) -> Array | None:
        """A point of each left geometry in the join's CRS, where one is easily told."""
        if self.rule.predicate != "intersects" or self.index.grid is None:
            return None
        if shapes is None:
            xy = anchors(geometry)
            return xy if self.project is None else np.column_stack(self.project(*xy.T))
        xy, owner = shapely.get_coordinates(shapes, return_index=True)
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        known = np.full((len(shapes), 2), np.nan)
        known[owner[first]] = xy[first]
        return known

    def _sure(self, placed: Placed, start: int, stop: int) -> tuple[Array, Array]:
        part = _span(placed.sure_box, start, stop)
        if self.rule.predicate not in _INSIDE:
            part = slice(0, 0)
        return placed.sure_box[part], placed.sure_polygon[part]

    def _maybe(self, placed: Placed, run: _Run) -> tuple[Array, Array]:
        """Those of the pairs in doubt that fulfil the predicate."""
        part = _span(placed.maybe_box, run.start, run.stop)
        left, right = placed.maybe_box[part], placed.maybe_polygon[part]
        first = np.diff(left, prepend=-1) != 0
        own, item = left[first], np.cumsum(first) - 1
        hit, at = self._by_edges(placed, part, run, own, item)
        item = item[at]
        used, item = np.unique(item, return_inverse=True)
        shapes = self._take(run, own[used])
        here = ~shapely.is_missing(shapes)
        kept = here[item]
        at, item, shapes = at[kept], (np.cumsum(here) - 1)[item[kept]], shapes[here]
        rows, other = np.unique(right[at], return_inverse=True)
        hit[at] = fulfilled(
            self.rule, shapes, item, (self.shelf.take(rows), other, self.index.sizes[rows]),
            self.index.valid[right[at]],
        )  # fmt: skip
        return left[hit], right[hit]

    def _by_edges(
        self, placed: Placed, part: slice, run: _Run, own: Array, item: Array
    ) -> tuple[Array, Array]:
        """(yes, positions still open) for a part of the pairs in doubt, as far as edges tell."""
        grid, number = self.index.grid, part.stop - part.start
        if self.rule.predicate != "intersects" or grid is None or not number:
            return np.zeros(number, bool), np.arange(number)
        lines = None
        if run.shapes is None:
            lines = Outlines.read(run.geometry.take(pa.array(own)))
        if lines is None:
            lines = Outlines.of(self._take(run, own))
        edges = _span(placed.edge_pair, part.start, part.stop)
        pair, start = placed.edge_pair[edges] - part.start, placed.edge_start[edges]
        yes, apart = meet(lines, item, pair, edge_ends(grid.vertices, start))
        size = (run.bounds[own, 2:] - run.bounds[own, :2]).max(axis=1)[item]
        apart &= placed.maybe_outside[part]
        apart &= size < self.index.girth[placed.maybe_polygon[part]]
        return yes, np.flatnonzero(~yes & ~apart)

    def _take(self, run: _Run, at: Array) -> Array:
        if run.shapes is not None:
            return run.shapes[at]
        return self._decode(run.geometry, at)

    def _against(
        self, blocks: Blocks, rows: Array, run: _Run, at: Array
    ) -> list[tuple[Array, Array]]:
        """Pairs of some left positions, those within the run, with some right rows."""
        at = at[_span(at, run.start, run.stop)]
        if not len(at) or not len(rows):
            return []
        shapes = self._take(run, at)
        here = ~shapely.is_missing(shapes)
        at, shapes = at[here], shapes[here]
        found = []
        for block in blocks.near(rows):
            item, row = matches(self.rule, block, shapes, run.bounds[at])
            found.append((at[item], row))
        return found


@dataclass(frozen=True, slots=True)
class _Run:
    """Some rows of a batch."""

    geometry: pa.Array
    shapes: Array | None
    bounds: Array
    start: int
    stop: int


def _untried(bounds: Array) -> list[Placed]:
    """Nothing is known about any box."""
    none = np.zeros(0, np.intp)
    known = np.flatnonzero(np.isfinite(bounds).all(axis=1))
    return [Placed(start=0, stop=len(bounds), sure_box=none, sure_polygon=none, maybe_box=none,
                   maybe_polygon=none, maybe_outside=none, edge_pair=none, edge_start=none,
                   untried=known)]  # fmt: skip


def _span(positions: Array, start: int, stop: int) -> slice:
    """Where ascending positions are within a run."""
    return slice(int(np.searchsorted(positions, start)), int(np.searchsorted(positions, stop)))
