"""Pairs of geometries that fulfil a predicate, tested by GEOS in bounded portions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely

from geo_assets.kernels.join_index import RightIndex
from geo_assets.kernels.join_plan import MAX_PAIRS
from geo_assets.kernels.join_spec import JoinRule
from geo_assets.kernels.label_grid import Array

_BLOCK_VERTICES = 1 << 23
"""Coordinates of right geometries that are decoded together at most, but for a single giant."""
_BLOCK_ROWS = 1 << 18
_PREPARED_VERTICES = 1 << 20
"""Coordinates of geometries that are prepared at the same time: 100 to 200 bytes each."""
_WORTH = 3
"""Candidates from which preparing a geometry pays off."""
_BINS = 128

_MIRRORED = {
    "intersects": "intersects", "within": "contains", "contains": "within",
    "covers": "covered_by", "covered_by": "covers", "touches": "touches",
    "crosses": "crosses", "overlaps": "overlaps", "dwithin": "dwithin",
}  # fmt: skip
"""`a p b` is `b q a`."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some right geometries in memory, with a tree over their boxes."""

    rows: Array
    """Row of each; ascending."""
    shapes: Array
    sizes: Array
    """Coordinates of each."""
    valid: Array
    """Whether each is valid."""
    tree: shapely.STRtree


@dataclass(frozen=True, slots=True)
class Load:
    """How many boxes may touch a given box at most: a histogram, summed up."""

    corner: Array
    step: Array
    sums: Array
    """(bins + 1, bins + 1): boxes that touch each bin, summed over all bins below and left."""
    total: int

    @classmethod
    def of(cls, bounds: Array) -> Load:
        """Count boxes, (n, 4), by the bins they touch."""
        corner = bounds[:, :2].min(axis=0)
        step = np.maximum((bounds[:, 2:].max(axis=0) - corner) / _BINS, 1e-300)
        low, high = (cls._bins(b, corner, step) for b in (bounds[:, :2], bounds[:, 2:]))
        counts = np.zeros((_BINS + 1, _BINS + 1), np.int64)
        after = high + 1
        for x, y, sign in ((low, low, 1), (after, low, -1), (low, after, -1), (after, after, 1)):
            np.add.at(counts, (x[:, 0], y[:, 1]), sign)
        touched = counts.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
        sums = np.zeros((_BINS + 1, _BINS + 1), np.int64)
        sums[1:, 1:] = touched.cumsum(axis=0).cumsum(axis=1)
        return cls(corner=corner, step=step, sums=sums, total=len(bounds))

    @staticmethod
    def _bins(xy: Array, corner: Array, step: Array) -> Array:
        return np.clip((xy - corner) / step, 0, _BINS - 1).astype(np.intp)

    def bound(self, bounds: Array) -> Array:
        """For each box an upper bound of the number of boxes that touch it."""
        low = self._bins(bounds[:, :2], self.corner, self.step)
        high = self._bins(bounds[:, 2:], self.corner, self.step) + 1
        total = self.sums[high[:, 0], high[:, 1]] - self.sums[low[:, 0], high[:, 1]]
        total += self.sums[low[:, 0], low[:, 1]] - self.sums[high[:, 0], low[:, 1]]
        most: Array = np.minimum(total, self.total)
        return most


class Blocks:
    """The right geometries near a batch, block by block; the last block is kept for the next."""

    def __init__(self, index: RightIndex) -> None:
        self._index = index
        self._last: Block | None = None

    def near(self, rows: Array) -> Iterator[Block]:
        """Blocks of these rows, which ascend."""
        sizes = self._index.sizes[rows].astype(np.int64)
        number = np.maximum(
            (np.cumsum(sizes) - sizes) // _BLOCK_VERTICES, np.arange(len(rows)) // _BLOCK_ROWS
        )
        for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(number)) + 1):
            if len(part):
                yield self._block(rows[part])

    def _block(self, rows: Array) -> Block:
        last = self._last
        if last is None or not np.array_equal(last.rows, rows):
            self._last = None  # free it before the next is made
            shapes = self._index.shapes(rows)
            last = Block(rows, shapes, self._index.sizes[rows], self._index.valid[rows],
                         shapely.STRtree(shapes))  # fmt: skip
            self._last = last
        return last


class Shelf:
    """Right geometries by row, decoded when they are first asked for."""

    def __init__(self, index: RightIndex) -> None:
        self._index = index
        self._held = 0
        self._shapes = np.full(index.rows, None, object)

    def take(self, rows: Array) -> Array:
        """The geometries of some rows, which ascend and can be compared."""
        absent = rows[shapely.is_missing(self._shapes[rows])]
        more = int(self._index.sizes[absent].sum())
        if self._held and self._held + more > _BLOCK_VERTICES:
            self._shapes[:] = None
            self._held, absent = 0, rows
            more = int(self._index.sizes[rows].sum())
        self._shapes[absent] = self._index.shapes(absent)
        self._held += more
        return self._shapes[rows]


def portions(load: Array, limit: int = MAX_PAIRS) -> Iterator[slice]:
    """Slices of items whose loads sum up to at most `limit`, or that are one item."""
    ends = np.cumsum(load)
    start = 0
    while start < len(load):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + limit, "right")), start + 1)
        yield slice(start, stop)
        start = stop


def matches(rule: JoinRule, block: Block, shapes: Array, bounds: Array) -> tuple[Array, Array]:
    """(position in `shapes`, right row) of the pairs of one block that fulfil the predicate.

    `shapes` has no None; `bounds` are its boxes, widened by the distance of `dwithin`.
    """
    left, right = block.tree.query(shapely.box(*bounds.T))
    hit = fulfilled(rule, shapes, left, (block.shapes, right, block.sizes), block.valid[right])
    return left[hit], block.rows[right[hit]]


def fulfilled(
    rule: JoinRule, shapes: Array, left: Array, right: tuple[Array, Array, Array], valid: Array
) -> Array:
    """Whether each pair fulfils the predicate.

    Args:
        rule: The predicate.
        shapes: Left geometries, none of them None.
        left: The position in `shapes` of each pair.
        right: Right geometries, the position of each pair, the geometries' sizes.
        valid: Whether the right geometry of each pair is valid.
    """
    sizes = shapely.get_num_coordinates(shapes)
    sound = shapely.is_valid(shapes)[left] & valid
    hit = np.empty(len(left), bool)
    for part, fixed in ((np.flatnonzero(sound), None), (np.flatnonzero(~sound), rule.predicate)):
        hit[part] = _test(rule, (shapes, left[part], sizes),
                          (right[0], right[1][part], right[2]), fixed)  # fmt: skip
    return hit


def _test(
    rule: JoinRule, left: tuple[Array, Array, Array], right: tuple[Array, Array, Array],
    fixed: str | None,
) -> Array:  # fmt: skip
    """Whether each pair fulfils the predicate.

    A side is its shapes, the position of each pair's shape, and the shapes' sizes. The side with
    larger shapes is prepared. Where a shape is invalid, what GEOS answers depends on that; `fixed`
    is then the predicate, and the side is the one that geopandas prepares, whatever the portion.
    """
    if not len(left[1]):
        return np.zeros(0, bool)
    if fixed is None:
        swap = bool(right[2][right[1]].mean() > left[2][left[1]].mean())
    else:
        swap = fixed == "within"
    name = _MIRRORED[rule.predicate] if swap else rule.predicate
    (shapes, at, sizes), (others, other, _) = (right, left) if swap else (left, right)
    test = getattr(shapely, name)
    more = () if rule.distance is None else (rule.distance,)
    order = np.argsort(at, kind="stable")
    at, other = at[order], other[order]
    starts = np.flatnonzero(np.diff(at, prepend=-1))
    counts = np.diff(np.append(starts, len(at)))
    hit = np.empty(len(at), bool)
    for part in portions(sizes[at[starts]], _PREPARED_VERTICES):
        used = shapes[at[starts[part]]]
        prepared = used[counts[part] >= (_WORTH if fixed is None else 1)]
        first = starts[part.start]
        after = starts[part.stop] if part.stop < len(starts) else len(at)
        shapely.prepare(prepared)
        hit[first:after] = test(shapes[at[first:after]], others[other[first:after]], *more)
        shapely.destroy_prepared(prepared)
    result = np.empty(len(at), bool)
    result[order] = hit
    return result
