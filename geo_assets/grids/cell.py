"""The nouns of a grid: one cell, the canvas that cells lie on, and the extent of a source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top in CRS units, x before y whatever the CRS says of its axes."""

Transform = tuple[float, float, float, float, float, float]
"""Affine coefficients a to f: x = a * column + b * row + c, y = d * column + e * row + f."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a grid: where a tile lies and how many pixels it has.

    A cell owns its left and top edge, not its right and bottom one: no point has two owners.
    """

    id: str
    """Its place in an artifact, `/`-separated: `10/523/381`."""
    column: int
    """Counted eastwards."""
    row: int
    """Counted in the direction the grid says."""
    bounds: Bounds
    """Left, bottom, right, top in the grid's CRS."""
    width: int
    """Pixels in x."""
    height: int
    """Pixels in y."""

    @property
    def resolution(self) -> tuple[float, float]:
        """Pixel size in x and y, both positive, in CRS units."""
        left, bottom, right, top = self.bounds
        return (right - left) / self.width, (top - bottom) / self.height

    @property
    def transform(self) -> Transform:
        """From pixel (column, row, upper left corner) to CRS coordinates; north is up."""
        x, y = self.resolution
        return (x, 0.0, self.bounds[0], 0.0, -y, self.bounds[3])


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """One raster that all cells of a scene lie on.

    GDAL warps windows of the canvas, not one raster per cell: pixel centres are then computed
    by the same arithmetic wherever the work is cut, and tiles are bit for bit windows of the
    whole.
    """

    left: float
    """West edge in CRS units."""
    top: float
    """North edge in CRS units."""
    resolution: tuple[float, float]
    """Pixel size in x and y, both positive, in CRS units."""
    width: int
    """Pixels in x."""
    height: int
    """Pixels in y."""

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> Canvas:
        """The smallest canvas that holds `cells` (at least one, of one grid)."""
        every = list(cells)
        bounds = [cell.bounds for cell in every]
        left, top = min(b[0] for b in bounds), max(b[3] for b in bounds)
        x, y = every[0].resolution
        return cls(
            left=left,
            top=top,
            resolution=(x, y),
            width=round((max(b[2] for b in bounds) - left) / x),
            height=round((top - min(b[1] for b in bounds)) / y),
        )

    def offset(self, cell: Cell) -> tuple[int, int]:
        """Column and row, in pixels of the canvas, of the upper left pixel of `cell`."""
        return (
            round((cell.bounds[0] - self.left) / self.resolution[0]),
            round((self.top - cell.bounds[3]) / self.resolution[1]),
        )

    @property
    def transform(self) -> Transform:
        """From pixel (column, row) to CRS coordinates."""
        return (self.resolution[0], 0.0, self.left, 0.0, -self.resolution[1], self.top)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Where a source raster lies: any affine placement, rotated ones included."""

    crs: str
    """The CRS, as WKT or anything else PROJ reads."""
    transform: Transform
    """From pixel (column, row) to CRS coordinates."""
    width: int
    """Pixels in x."""
    height: int
    """Pixels in y."""

    @classmethod
    def of_bounds(cls, crs: str, bounds: Bounds) -> Extent:
        """The extent of a box without rotation, as a raster of 1024 x 1024 pixels."""
        left, bottom, right, top = bounds
        size = 1024
        transform = ((right - left) / size, 0.0, left, 0.0, (bottom - top) / size, top)
        return cls(crs=crs, transform=transform, width=size, height=size)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Extent:
        """From the JSON form that facts about scenes hold."""
        a, b, c, d, e, f = value["transform"]
        return cls(
            crs=value["crs"],
            transform=(a, b, c, d, e, f),
            width=value["width"],
            height=value["height"],
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {
            "crs": self.crs,
            "transform": list(self.transform),
            "width": self.width,
            "height": self.height,
        }


class Grid(Protocol):
    """A tiling of a CRS."""

    @property
    def crs_wkt(self) -> str:
        """The CRS of cells, as WKT 2."""

    @property
    def cell_size(self) -> int:
        """Pixels along each side of a cell."""

    def cell(self, column: int, row: int) -> Cell:
        """The cell at a place; raises ConfigError where the grid has none."""

    def owner(self, x: float, y: float) -> Cell | None:
        """The one cell that owns a point in the grid's CRS, None outside the grid."""

    def cells_over(self, extent: Extent) -> tuple[Cell, ...]:
        """Every cell that a source may have pixels in, by row, then column."""

    def to_dict(self) -> dict[str, Any]:
        """What makes this grid this grid, as JSON: part of fingerprints."""
