"""Square cells of N pixels in a projected CRS."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pyproj import CRS
from pyproj.exceptions import CRSError

from geo_assets.errors import ConfigError
from geo_assets.grids.cell import Cell, Extent
from geo_assets.grids.cover import Lattice, check_cell_px, touched


@dataclass(frozen=True, slots=True)
class SquareGrid:
    """Square cells in a projected CRS, without an end in any direction.

    Columns count eastwards and rows northwards from `origin`; both may be negative. Pixels
    within a cell run from its upper left corner as always.

    Args:
        crs: A projected CRS: `EPSG:32633`, WKT, PROJJSON.
        resolution: Pixel size in CRS units.
        cell_px: Pixels along each side of a cell, a multiple of 16.
        origin: x and y, in CRS units, of the lower left corner of cell 0, 0.

    Raises:
        ConfigError: A value makes no grid.
    """

    crs: str
    resolution: float
    cell_px: int = 4096
    origin: tuple[float, float] = (0.0, 0.0)
    crs_wkt: str = field(init=False, repr=False, compare=False)
    """The CRS of cells, as WKT 2."""

    def __post_init__(self) -> None:
        where = "SquareGrid"
        try:
            crs = CRS.from_user_input(self.crs)
        except CRSError:
            raise ConfigError("crs is a CRS that PROJ knows", repr(self.crs), where,
                              "Write for example EPSG:32633.") from None  # fmt: skip
        if not crs.is_projected:
            got = f"{crs.name!r}, which is {crs.type_name}"
            raise ConfigError("Square cells need a projected CRS", got, where, _projected_hint(crs))
        if not (math.isfinite(self.resolution) and self.resolution > 0):
            raise ConfigError("resolution is a positive pixel size in CRS units",
                              repr(self.resolution), where)  # fmt: skip
        if len(self.origin) != 2 or not all(math.isfinite(value) for value in self.origin):
            raise ConfigError("origin is x and y in CRS units", repr(self.origin), where)
        check_cell_px(self.cell_px, where)
        object.__setattr__(self, "crs_wkt", crs.to_wkt())

    def __str__(self) -> str:
        pixels = f"pixels of {self.resolution:g} {CRS(self.crs_wkt).axis_info[0].unit_name}"
        return f"{CRS(self.crs_wkt).name}, {pixels}, tiles of {self.cell_px} px"

    @property
    def cell_size(self) -> int:
        """Pixels along each side of a cell."""
        return self.cell_px

    @property
    def span(self) -> float:
        """Side of a cell in CRS units."""
        return self.resolution * self.cell_px

    def cell(self, column: int, row: int) -> Cell:
        """The cell at a place; every pair of integers is one."""
        x, y = self.origin
        return Cell(
            id=f"{column}/{row}",
            column=column,
            row=row,
            bounds=(
                x + column * self.span,
                y + row * self.span,
                x + (column + 1) * self.span,
                y + (row + 1) * self.span,
            ),
            width=self.cell_px,
            height=self.cell_px,
        )

    def owner(self, x: float, y: float) -> Cell | None:
        """The cell that owns a point: its left and top edge are its own."""
        column = math.floor((x - self.origin[0]) / self.span)
        return self.cell(column, math.ceil((y - self.origin[1]) / self.span) - 1)

    def cells_over(self, extent: Extent) -> tuple[Cell, ...]:
        """Every cell that a source may have pixels in, by row from the south, then column."""
        lattice = Lattice(
            crs=self.crs_wkt,
            origin=self.origin,
            span=(self.span, self.span),
            cell_px=self.cell_px,
        )
        return tuple(self.cell(column, row) for column, row in touched(extent, lattice))

    def to_dict(self) -> dict[str, Any]:
        """What makes this grid this grid, as JSON."""
        return {
            "kind": "square",
            "crs": self.crs,
            "resolution": self.resolution,
            "cell_px": self.cell_px,
            "origin": list(self.origin),
        }


def _projected_hint(crs: CRS) -> str:
    area = crs.area_of_use
    if crs.is_geographic and area is not None and area.east - area.west < 12:
        zone = math.floor(((area.west + area.east) / 2 + 180) / 6) + 1
        south = area.south + area.north < 0
        return f"Write for example EPSG:{32700 + zone if south else 32600 + zone} (UTM)."
    return (
        "Write a projected one, for example the UTM zone EPSG:32633 or EPSG:6933 for the world; "
        "for degrees take TileMatrixGrid(id='WorldCRS84Quad')."
    )
