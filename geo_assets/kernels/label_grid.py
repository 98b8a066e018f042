"""Exact point-in-polygon for many points by a grid of labels.

The plane is cut into cells. A cell that no polygon edge enters lies wholly inside or wholly
outside of every polygon, so its points need one table look-up. Any other cell keeps, per polygon,
the edges that enter it and whether one reference point of the cell is inside: a point of the cell
is inside too when the segment between them crosses an even number of these edges. The sign of
every orientation used is certain by Shewchuk's forward error bound; a point for which one is not
certain (it lies on, or within some 1e-15 of, an edge) is handed back as unsure, for GEOS to decide.
So the answer is exact for every point, whatever the size or shape of the polygons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

Ends: TypeAlias = tuple[Array, Array, Array, Array]
"""x and y of one end of some edges, x and y of the other. Each is an array of its own: numbers that
lie side by side are worked on several times as fast as columns of a table."""

ARRAYS = ("labels", "mixed_cells", "cell_groups", "group_polygon", "group_inside", "group_edges",
          "entries", "vertices")  # fmt: skip
"""The arrays of a grid, each a file of its own so that workers can map them."""

EMPTY = -1
"""Label of a cell outside of every polygon."""
FIRST_MIXED = -2
"""Labels from here downwards number the cells that need a look at their edges."""

_ERROR = 4.0e-16
"""Just above (3 + 16 u) u with u = 2**-53: Shewchuk's bound for a 2 x 2 determinant."""
_BLOCK = 1 << 16
"""Points looked up at once: their temporaries stay in the cache."""
MAX_WORK = 1 << 22
"""Groups and edges looked at in one block at most, unless a single point needs more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Where the cells lie: `nx` x `ny` of them, row by row from the lower left corner."""

    x0: float
    y0: float
    dx: float
    """Width of a cell, in CRS units."""
    dy: float
    """Height of a cell, in CRS units."""
    nx: int
    ny: int
    fx: float = 0.4837219
    """Place of the reference point in its cell, as a fraction of the width."""
    fy: float = 0.5219364
    """Place of the reference point in its cell, as a fraction of the height."""

    def columns(self, x: Array) -> Array:
        """Column of each x, not clipped. Monotone in x, which the grid's guarantee rests on."""
        return np.floor((x - self.x0) * (1.0 / self.dx))

    def rows(self, y: Array) -> Array:
        """Row of each y, not clipped. Monotone in y."""
        return np.floor((y - self.y0) * (1.0 / self.dy))

    def reference_x(self) -> Array:
        """Reference points: x of each column."""
        return self.x0 + (np.arange(self.nx) + self.fx) * self.dx

    def reference_y(self) -> Array:
        """Reference points: y of each row."""
        return self.y0 + (np.arange(self.ny) + self.fy) * self.dy

    def locate(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Positions of the points that lie in the grid, and the cell of each.

        Non-finite coordinates are outside.
        """
        column, row = self.columns(x), self.rows(y)
        inside = (column >= 0) & (column < self.nx) & (row >= 0) & (row < self.ny)
        at = np.flatnonzero(inside)
        if len(at) < len(x):
            column, row = column[at], row[at]
        return at, (row * self.nx + column).astype(np.intp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Pairs of points and polygons, as positions; points ascend within each pair of arrays."""

    start: int
    """First point that this is about."""
    stop: int
    """Point after the last that this is about."""
    point: Array
    polygon: Array
    """The point is in the interior of the polygon, for certain."""
    unsure_point: Array
    unsure_polygon: Array
    """Too close to an edge of the polygon to tell."""
    looked_up: int
    """Points that one look at the table decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelGrid:
    """Polygons prepared for point location; the arrays may be memory-mapped."""

    cells: Cells
    labels: Array
    """(ny * nx,) int32: polygon of a pure cell, `EMPTY`, or `FIRST_MIXED - i` for mixed cell i."""
    mixed_cells: Array
    """(mixed,): the cell of each mixed cell; ascending."""
    cell_groups: Array
    """(mixed + 1,): where the groups of each mixed cell start."""
    group_polygon: Array
    """(groups,): the polygon; ascending within a cell."""
    group_inside: Array
    """(groups,) bool: the reference point of the cell is inside the polygon."""
    group_edges: Array
    """(groups + 1,): where the entries of each group start."""
    entries: Array
    """(entries,) int32: the first vertex of each edge; the next one is its other end."""
    vertices: Array
    """(2, vertices) float64: x, y."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write each array to `folder` and give what `load` needs besides."""
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name))
        return asdict(self.cells)

    @classmethod
    def load(cls, folder: Path, cells: dict[str, Any]) -> LabelGrid:
        """Map a saved grid: its pages are shared by all workers of the machine."""
        arrays = {
            name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in ARRAYS
        }
        return cls(cells=Cells(**cells), **arrays)

    def locate(self, x: Array, y: Array) -> Iterator[Located]:
        """Every pair of a point and a polygon that holds it, for one block of points at a time.

        Memory: a block's temporaries, and blocks shrink where many polygons share a cell.
        """
        start = 0
        while start < len(x):
            stop = min(start + _BLOCK, len(x))
            at, cell = self.cells.locate(x[start:stop], y[start:stop])
            label = self.labels[cell]
            mixed = np.flatnonzero(label <= FIRST_MIXED)
            spot, number = at[mixed], FIRST_MIXED - label[mixed].astype(np.intp)
            work = np.cumsum(self.work(number))
            if len(work) and work[-1] > MAX_WORK and stop - start > 1:
                # Cut before the point that is too much, but after the first point at least.
                stop = start + max(int(spot[np.searchsorted(work, MAX_WORK)]), 1)
                at = at[: np.searchsorted(at, stop - start)]
                label = label[: len(at)]
                mixed = np.flatnonzero(label <= FIRST_MIXED)
                spot, number = spot[: len(mixed)], number[: len(mixed)]
            yield self._block(x, y, start, stop, (at, label, mixed, spot, number))
            start = stop

    def work(self, mixed: Array) -> Array:
        """How many groups and edges each mixed cell makes one look at."""
        first, after = self.cell_groups[mixed], self.cell_groups[mixed + 1]
        load: Array = after - first + self.group_edges[after] - self.group_edges[first]
        return load

    def _block(
        self, x: Array, y: Array, start: int, stop: int, found: tuple[Array, ...]
    ) -> Located:
        at, label, mixed, spot, number = found
        pure = np.flatnonzero(label >= 0)
        item, group, inside, unsure = self._resolve(x[start + spot], y[start + spot], number)
        sure = inside & ~unsure
        point = np.concatenate([at[pure], spot[item[sure]]])
        polygon = np.concatenate([label[pure], self.group_polygon[group[sure]]])
        order = np.argsort(point, kind="stable")  # two sorted runs: a merge
        return Located(
            start=start,
            stop=stop,
            point=point[order] + start,
            polygon=polygon[order],
            unsure_point=spot[item[unsure]] + start,
            unsure_polygon=self.group_polygon[group[unsure]],
            looked_up=stop - start - len(mixed),
        )

    def _resolve(self, px: Array, py: Array, mixed: Array) -> tuple[Array, Array, Array, Array]:
        """(point, group, inside, unsure) for each group of each point's mixed cell."""
        item, group = expand(self.cell_groups, mixed)
        pair, slot = expand(self.group_edges, group)
        cell = self.mixed_cells[mixed]
        rx = self.cells.reference_x()[cell % self.cells.nx]
        ry = self.cells.reference_y()[cell // self.cells.nx]
        point = item.take(pair)
        crossed, unsure = _crossings(
            edge_ends(self.vertices, self.entries.take(slot)),
            *(place.take(point) for place in (px, py, rx, ry)),
        )
        odd = (np.bincount(pair[crossed], minlength=len(item)) & 1).astype(bool)
        doubt = np.zeros(len(item), bool)
        doubt[pair[unsure]] = True
        return item, group, self.group_inside[group] ^ odd, doubt


def expand(starts: Array, keys: Array) -> tuple[Array, Array]:
    """(position in `keys`, slot) for every slot of every key; `starts` bounds each key's slots."""
    first = starts[keys]
    counts = starts[keys + 1] - first
    return spread(first, counts)


def distinct(numbers: Array) -> Array:
    """The different numbers, ascending. `numpy.unique` hashes, which takes far longer."""
    numbers = np.sort(numbers, kind="stable")  # runs that ascend are merged
    return numbers[np.flatnonzero(np.diff(numbers, prepend=-1))]


def edge_ends(vertices: Array, start: Array) -> Ends:
    """The ends of the edges that go from these vertices, (2, vertices), to the next ones."""
    x, y = vertices
    start = start.astype(np.intp, copy=False)
    after = start + 1
    return x.take(start), y.take(start), x.take(after), y.take(after)


def chosen(ends: Ends, at: Array) -> Ends:
    """Those of some edges."""
    ax, ay, bx, by = ends
    return ax.take(at), ay.take(at), bx.take(at), by.take(at)


def spread(first: Array, counts: Array) -> tuple[Array, Array]:
    """(owner, value): the `counts[i]` whole numbers from `first[i]` on, for every i."""
    owner = np.repeat(np.arange(len(first)), counts)
    value = np.arange(len(owner)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    return owner, value


def _crossings(edge: Ends, px: Array, py: Array, rx: Array, ry: Array) -> tuple[Array, Array]:
    """Which edges the segment p-r crosses for certain, and for which it cannot be told."""
    ax, ay, bx, by = edge[0] - px, edge[1] - py, edge[2] - px, edge[3] - py
    dx, dy = rx - px, ry - py
    side_a, vague_a = sign(ax, ay, dx, dy)
    side_b, vague_b = sign(bx, by, dx, dy)
    apart = (side_a != side_b) | vague_a | vague_b
    at = np.flatnonzero(apart)
    side_p, vague_p = sign(ax[at], ay[at], bx[at], by[at])
    (x1, y1, x2, y2), x, y = chosen(edge, at), rx[at], ry[at]
    side_r, vague_r = sign(x1 - x, y1 - y, x2 - x, y2 - y)
    vague = vague_a[at] | vague_b[at] | vague_p | vague_r
    return at[(side_p != side_r) & ~vague], at[vague]


def sign(ax: Array, ay: Array, bx: Array, by: Array) -> tuple[Array, Array]:
    """Is a x b positive, and is that uncertain; a and b are differences of two coordinates each."""
    left, right = ax * by, ay * bx
    determinant = left - right
    return determinant > 0, np.abs(determinant) <= (np.abs(left) + np.abs(right)) * _ERROR
