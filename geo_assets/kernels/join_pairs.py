"""Which rows of a batch of the left side belong to which rows of the right side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import shapely

from geo_assets.kernels.join_blocks import Blocks, Load, matches, portions
from geo_assets.kernels.join_index import RightIndex
from geo_assets.kernels.join_layer import Project, decode, point_coordinates
from geo_assets.kernels.join_spec import JoinRule
from geo_assets.kernels.label_grid import EMPTY, FIRST_MIXED, Array, LabelGrid

_POINT_PREDICATES = ("intersects", "within", "covered_by", "touches")
"""What a point can be to a polygon: its place decides."""
_INSIDE = ("intersects", "within", "covered_by")
"""What a geometry in the interior of a polygon, away from the edges, is to it."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The complete result for the left rows from `start` to `stop` of a batch."""

    start: int
    stop: int
    left: Array
    """Position in the batch; ascending."""
    right: Array
    """Right row; ascending for the same left one."""
    distance: Array | None = None
    """For `nearest`, in units of the join's CRS."""


@dataclass(slots=True)
class Tally:
    """How the work was done, for the facts of the chunk."""

    left_rows: int = 0
    not_comparable: int = 0
    """Left rows that are null, empty or not finite: they never match."""
    by_label: int = 0
    """Left rows decided by a look at the label grid alone."""
    box: tuple[float, float, float, float] | None = None
    """Box of the comparable left rows in the join's CRS."""

    def see(self, bounds: Array) -> None:
        """Take note of some rows by their boxes; NaN means not comparable."""
        self.left_rows += len(bounds)
        known = np.isfinite(bounds).all(axis=1)
        self.not_comparable += int(len(bounds) - known.sum())
        if not known.all():
            bounds = bounds[known]
        if len(bounds):
            own = (*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0))
            old = self.box or own
            self.box = (min(own[0], old[0]), min(own[1], old[1]),
                        max(own[2], old[2]), max(own[3], old[3]))  # fmt: skip


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

    def __post_init__(self) -> None:
        self.blocks = Blocks(self.index)
        self.loose = Blocks(self.index)

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
                yield from self._points(grid, *points)
                return
        if grid is None or covering is None:
            shapes = decode(geometry, self.project, self.where)
            bounds = shapely.bounds(shapes)
        else:
            shapes, bounds = self._lazily(geometry, covering)
        self.tally.see(bounds)
        yield from self.find_shapes(geometry, shapes, bounds)

    def _points(self, grid: LabelGrid, x: Array, y: Array) -> Iterator[Pairs]:
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
            extra = near[np.searchsorted(near, found.start) : np.searchsorted(near, found.stop)]
            more = [self._unsure(x, y, found.unsure_point, found.unsure_polygon)]
            more += self._against(
                self.loose, self.index.loose, extra, shapely.points(x[extra], y[extra]), bounds
            )
            yield _sorted(found.start, found.stop, [(point, polygon), *more])

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
        bounds = covering.copy()
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
        known = np.isfinite(bounds).all(axis=1)
        label = np.full(len(bounds), EMPTY, np.int32)
        label[known] = FIRST_MIXED if grid is None else grid.pure_label(bounds[known])
        hard = np.flatnonzero(label == FIRST_MIXED)
        self.tally.by_label += int(known.sum() - len(hard))
        near = self._near_loose(bounds)
        near = near[label[near] != FIRST_MIXED]
        sure = np.flatnonzero(label >= 0) if self.rule.predicate in _INSIDE else hard[:0]
        wide = bounds + np.array([-1.0, -1.0, 1.0, 1.0]) * (self.rule.distance or 0.0) * 1.000001
        rows = self.index.near(wide[hard])
        load = np.ones(len(bounds), np.int64)
        if len(hard) and len(rows):
            load[hard] += Load.of(self.index.bounds[rows]).bound(wide[hard])
        load[near] += len(self.index.loose)
        for part in portions(load):
            start, stop = part.start, part.stop
            found = [(own := _within(sure, start, stop), label[own])]
            for at, blocks, others in (
                (_within(hard, start, stop), self.blocks, rows),
                (_within(near, start, stop), self.loose, self.index.loose),
            ):
                if len(at):
                    own = self._decode(geometry, at) if shapes is None else shapes[at]
                    found += self._against(blocks, others, at, own, wide)
            yield _sorted(start, stop, found)

    def _against(
        self, blocks: Blocks, rows: Array, at: Array, shapes: Array, bounds: Array
    ) -> list[tuple[Array, Array]]:
        """Pairs of the left positions `at`, whose shapes are given, with some right rows."""
        if not len(at) or not len(rows):
            return []
        here = ~shapely.is_missing(shapes)
        at, shapes = at[here], shapes[here]
        found = []
        for block in blocks.near(rows):
            item, row = matches(self.rule, block, shapes, bounds[at])
            found.append((at[item], row))
        return found


def _within(positions: Array, start: int, stop: int) -> Array:
    return positions[np.searchsorted(positions, start) : np.searchsorted(positions, stop)]


def _sorted(start: int, stop: int, parts: list[tuple[Array, Array]]) -> Pairs:
    parts = [part for part in parts if len(part[0])]
    if not parts:
        return Pairs(start, stop, np.zeros(0, np.intp), np.zeros(0, np.intp))
    left, right = (np.concatenate(side) for side in zip(*parts, strict=True))
    if not (np.diff(left) > 0).all():
        order = np.lexsort((right, left))
        left, right = left[order], right[order]
    return Pairs(start, stop, left, right)
