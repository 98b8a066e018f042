"""Which cells a source touches: its pixels are followed into the grid by refinement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geo_assets.errors import ConfigError
from geo_assets.grids.cell import Extent

Floats = NDArray[np.float64]

_START = 8
"""Quads along each side of the source at first."""
_MAX_DEPTH = 14
"""Halvings of these, at most."""
_MAX_BLIND_DEPTH = 5
"""Halvings of quads of which no point can be projected."""
_MAX_CELLS = 100_000
_MAX_QUADS = 4 * _MAX_CELLS
_FLAT = 0.2
"""Quads whose midpoints lie this close to the mean of their corners, in cells, are flat."""
_SMALL = 1.5
"""Quads up to this many cells wide are not refined further."""
_DENSE = 0.1
"""Neighbouring points this close, in cells, need none between them: where such a quad is not
flat, a crack of the projection (the antimeridian) runs through it, and no refinement mends it."""
_MARGIN_PX = 2
"""Pixels of the grid that are added around, for resampling at the edge of the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """What refinement needs to know of a grid."""

    crs: str
    origin: tuple[float, float]
    span: tuple[float, float]
    """Width and height of a cell in CRS units; the sign is the direction of counting."""
    cell_px: int
    shape: tuple[int, int] | None = None
    """Number of columns and rows, counted from the origin; None for a grid without an end."""


def check_cell_px(cell_px: int, where: str) -> None:
    """Refuse a cell size that cannot be tiled.

    Raises:
        ConfigError: Not a multiple of 16 from 16 to 32768.
    """
    whole = isinstance(cell_px, int) and not isinstance(cell_px, bool)
    if not whole or cell_px % 16 or not 16 <= cell_px <= 32768:
        raise ConfigError("cell_px is a multiple of 16 from 16 to 32768", repr(cell_px), where,
                          "Write for example 256, 512 or 4096.")  # fmt: skip


def touched(extent: Extent, lattice: Lattice) -> list[tuple[int, int]]:
    """Columns and rows of the cells that `extent` may have pixels in, by row, then column.

    No cell with a pixel is missing; a cell that is only near may be among them. Sources that
    cross the antimeridian or hold a pole are followed on both sides.

    Raises:
        ConfigError: The cells would be more than 100,000.
    """
    project = _Projection(extent, lattice)
    quads = _first_quads(extent)
    cells: set[tuple[int, int]] = set()
    for depth in range(_MAX_DEPTH + 1):
        if not len(quads):
            break
        _check_count(len(quads), len(cells), extent, lattice)
        points = project.points(quads)
        seen = np.all(np.isfinite(points), axis=2)
        flat = np.all(seen, axis=1) & _is_flat(points)
        _add_boxes(cells, points[flat], project)
        done = flat | project.outside(points)
        ends = ~done & (_is_dense(points) | (depth == _MAX_DEPTH))
        _add_points(cells, points[ends], project)
        more = ~done & ~ends & (np.any(seen, axis=1) | (depth < _MAX_BLIND_DEPTH))
        quads = _split(quads[more])
    return sorted(cells, key=lambda cell: (cell[1], cell[0]))


class _Projection:
    """From pixels of the source to fractional columns and rows of the grid."""

    def __init__(self, extent: Extent, lattice: Lattice) -> None:
        source, target = CRS.from_user_input(extent.crs), CRS.from_user_input(lattice.crs)
        self.extent, self.lattice = extent, lattice
        self.transformer = Transformer.from_crs(source, target, always_xy=True)
        turn = 360 / target.axis_info[0].unit_conversion_factor * np.pi / 180
        self.period = turn / lattice.span[0] if target.is_geographic else 0.0
        self.margin = _MARGIN_PX / lattice.cell_px

    def points(self, quads: Floats) -> Floats:
        """Nine points of each quad, shape (quads, 9, 2), as columns and rows; inf where none."""
        steps = np.array([0.0, 0.5, 1.0])
        x = quads[:, 0, None] + (quads[:, 2] - quads[:, 0])[:, None] * np.tile(steps, 3)
        y = quads[:, 1, None] + (quads[:, 3] - quads[:, 1])[:, None] * np.repeat(steps, 3)
        a, b, c, d, e, f = self.extent.transform
        px, py = self.transformer.transform(a * x + b * y + c, d * x + e * y + f)
        columns = (np.asarray(px) - self.lattice.origin[0]) / self.lattice.span[0]
        rows = (np.asarray(py) - self.lattice.origin[1]) / self.lattice.span[1]
        points = np.stack([columns, rows], axis=-1)
        points[np.abs(points) > 2**40] = np.inf
        return points

    def outside(self, points: Floats) -> NDArray[np.bool_]:
        """Quads that lie beyond one edge of a grid that has edges; columns may wrap."""
        if self.lattice.shape is None:
            return np.zeros(len(points), dtype=bool)
        rows = points[:, :, 1]
        known = np.isfinite(rows)
        above = np.where(known, rows, -np.inf).max(axis=1) < -1
        below = np.where(known, rows, np.inf).min(axis=1) > self.lattice.shape[1] + 1
        beyond: NDArray[np.bool_] = known.any(axis=1) & (above | below)
        return beyond

    def add(self, cells: set[tuple[int, int]], low: Floats, high: Floats) -> None:
        """Add all cells of boxes from `low` to `high`, each of shape (boxes, 2)."""
        shifts = (-self.period, 0.0, self.period) if self.period else (0.0,)
        for shift in shifts:
            first = np.floor(low - self.margin + (shift, 0)).astype(np.int64)
            end = np.floor(high + self.margin + (shift, 0)).astype(np.int64)
            if self.lattice.shape is not None:
                first = np.maximum(first, 0)
                end = np.minimum(end, np.array(self.lattice.shape) - 1)
            for left, top, right, bottom in np.unique(np.hstack([first, end]), axis=0).tolist():
                cells.update((c, r) for c in range(left, right + 1) for r in range(top, bottom + 1))


def _first_quads(extent: Extent) -> Floats:
    x = np.linspace(0, extent.width, _START + 1)
    y = np.linspace(0, extent.height, _START + 1)
    left, top = np.meshgrid(x[:-1], y[:-1])
    right, bottom = np.meshgrid(x[1:], y[1:])
    return np.stack([left, top, right, bottom], axis=-1).reshape(-1, 4)


def _split(quads: Floats) -> Floats:
    left, top, right, bottom = quads.T
    x, y = (left + right) / 2, (top + bottom) / 2
    parts = [(left, top, x, y), (x, top, right, y), (left, y, x, bottom), (x, y, right, bottom)]
    return np.concatenate([np.stack(part, axis=-1) for part in parts])


def _is_flat(points: Floats) -> NDArray[np.bool_]:
    """Small quads whose inner points lie where the corners say; False where not finite."""
    with np.errstate(invalid="ignore"):
        a, b, c, d = points[:, 0], points[:, 2], points[:, 6], points[:, 8]
        means = np.stack([(a + b) / 2, (a + c) / 2, (a + b + c + d) / 4, (b + d) / 2, (c + d) / 2])
        inner = points[:, [1, 3, 4, 5, 7]].transpose(1, 0, 2)
        bend = np.abs(inner - means).max(axis=(0, 2))
        size = (points.max(axis=1) - points.min(axis=1)).max(axis=1)
        flat: NDArray[np.bool_] = (bend <= _FLAT * np.minimum(size, 1)) & (size <= _SMALL)
    return flat


def _is_dense(points: Floats) -> NDArray[np.bool_]:
    """Quads in which most neighbouring points lie close together; a crack parts only some."""
    grid = points.reshape(-1, 3, 3, 2)
    with np.errstate(invalid="ignore"):
        along = np.abs(np.diff(grid, axis=2)).max(axis=3).reshape(-1, 6)
        across = np.abs(np.diff(grid, axis=1)).max(axis=3).reshape(-1, 6)
    steps = np.sort(np.nan_to_num(np.hstack([along, across]), nan=np.inf), axis=1)
    dense: NDArray[np.bool_] = steps[:, 5] <= _DENSE
    return dense


def _add_boxes(cells: set[tuple[int, int]], points: Floats, project: _Projection) -> None:
    if len(points):
        low, high = points.min(axis=1), points.max(axis=1)
        bulge = _FLAT / 2 * np.minimum(high - low, 1)
        project.add(cells, low - bulge, high + bulge)


def _add_points(cells: set[tuple[int, int]], points: Floats, project: _Projection) -> None:
    """Where refinement ends at a crack, the surroundings of each point are kept."""
    single = points.reshape(-1, 2)
    single = single[np.all(np.isfinite(single), axis=1)]
    if len(single):
        project.add(cells, single - _DENSE, single + _DENSE)


def _check_count(quads: int, cells: int, extent: Extent, lattice: Lattice) -> None:
    if quads > _MAX_QUADS or cells > _MAX_CELLS:
        size = f"{extent.width} x {extent.height} pixels"
        got = f"cells of {abs(lattice.span[0]):g} CRS units over {size}"
        raise ConfigError("A scene has at most 100,000 cells", got, "grid.cells_over",
                          "Choose larger cells, or a part of the scene.")  # fmt: skip
