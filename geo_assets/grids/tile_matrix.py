"""Cells that are the tiles of one level of an OGC TileMatrixSet."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyproj import CRS

from geo_assets.errors import ConfigError
from geo_assets.grids.cell import Cell, Extent
from geo_assets.grids.cover import Lattice, check_cell_px, touched

if TYPE_CHECKING:
    from morecantile.models import TileMatrix, TileMatrixSet


@dataclass(frozen=True, slots=True)
class TileMatrixGrid:
    """The tiles of one level of a TileMatrixSet, each of `cell_px` pixels.

    Columns count eastwards and rows southwards from the upper left corner, as in XYZ tiles.

    Args:
        id: A TileMatrixSet that morecantile knows: `WebMercatorQuad`, `WorldCRS84Quad`.
        level: The TileMatrix, by number.
        cell_px: Pixels along each side of a tile, a multiple of 16; None takes the set's own
            (256). The pixel size is the tile's span divided by this.

    Raises:
        ConfigError: A value makes no grid.
    """

    id: str
    level: int
    cell_px: int | None = None
    crs_wkt: str = field(init=False, repr=False, compare=False)
    """The CRS of cells, as WKT 2."""
    origin: tuple[float, float] = field(init=False, repr=False, compare=False)
    """x and y of the upper left corner of the set, in CRS units."""
    span: tuple[float, float] = field(init=False, repr=False, compare=False)
    """Width and height of a tile in CRS units."""
    shape: tuple[int, int] = field(init=False, repr=False, compare=False)
    """Number of columns and rows."""
    default_px: int = field(init=False, repr=False, compare=False)
    """Pixels of a tile as the set itself says."""

    def __post_init__(self) -> None:
        import morecantile

        known = morecantile.tms.list()
        where = "TileMatrixGrid"
        if self.id not in known:
            near = difflib.get_close_matches(str(self.id), known, n=3, cutoff=0.3)
            hint = f"Near: {', '.join(near)}." if near else f"Known: {', '.join(known)}."
            raise ConfigError("id is a TileMatrixSet that morecantile knows", repr(self.id), where,
                              hint)  # fmt: skip
        tms = morecantile.tms.get(self.id)
        matrix = next((m for m in tms.tileMatrices if m.id == str(self.level)), None)
        if matrix is None:
            levels = [int(m.id) for m in tms.tileMatrices]
            raise ConfigError(f"level is one of {min(levels)} to {max(levels)} in {self.id}",
                              repr(self.level), where)  # fmt: skip
        if matrix.variableMatrixWidths or matrix.tileWidth != matrix.tileHeight:
            raise ConfigError("A grid has equal square tiles over a whole level",
                              f"{self.id}, whose tiles vary", where,
                              "Take WebMercatorQuad, WorldCRS84Quad or a SquareGrid.")  # fmt: skip
        if self.cell_px is not None:
            check_cell_px(self.cell_px, where)
        self._resolve(tms, matrix)

    def _resolve(self, tms: TileMatrixSet, matrix: TileMatrix) -> None:
        from morecantile import Tile

        left, _, _, top = tms.xy_bounds(Tile(0, 0, self.level))
        size = matrix.cellSize * matrix.tileWidth
        if self.id in _WORLD_HALF:  # the spans of these are the world halved exactly
            size = 2 * _WORLD_HALF[self.id] / 2**self.level
            left, top = -_WORLD_HALF[self.id], _WORLD_HALF[self.id]
        crs = CRS.from_user_input(tms.crs.to_wkt())
        if crs.to_authority() == ("OGC", "CRS84"):
            crs = CRS.from_epsg(4326)  # GeoTIFF has no other way to say it, and x is first here
        for name, value in (
            ("crs_wkt", crs.to_wkt()),
            ("origin", (float(left), float(top))),
            ("span", (float(size), float(size))),
            ("shape", (matrix.matrixWidth, matrix.matrixHeight)),
            ("default_px", matrix.tileWidth),
        ):
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return f"{self.id}, level {self.level}, tiles of {self.cell_size} px"

    @property
    def cell_size(self) -> int:
        """Pixels along each side of a cell."""
        return self.cell_px or self.default_px

    def cell(self, column: int, row: int) -> Cell:
        """The tile at a place.

        Raises:
            ConfigError: The level has no such tile.
        """
        columns, rows = self.shape
        if not (0 <= column < columns and 0 <= row < rows):
            raise ConfigError(f"Level {self.level} of {self.id} has {columns} x {rows} tiles",
                              f"column {column}, row {row}", "TileMatrixGrid")  # fmt: skip
        (x, y), (width, height) = self.origin, self.span
        return Cell(
            id=f"{self.level}/{column}/{row}",
            column=column,
            row=row,
            bounds=(
                x + column * width,
                y - (row + 1) * height,
                x + (column + 1) * width,
                y - row * height,
            ),
            width=self.cell_size,
            height=self.cell_size,
        )

    def owner(self, x: float, y: float) -> Cell | None:
        """The tile that owns a point: its left and top edge are its own."""
        column = math.floor((x - self.origin[0]) / self.span[0])
        row = math.floor((self.origin[1] - y) / self.span[1])
        inside = 0 <= column < self.shape[0] and 0 <= row < self.shape[1]
        return self.cell(column, row) if inside else None

    def cells_over(self, extent: Extent) -> tuple[Cell, ...]:
        """Every tile that a source may have pixels in, by row from the north, then column."""
        lattice = Lattice(
            crs=self.crs_wkt,
            origin=self.origin,
            span=(self.span[0], -self.span[1]),
            cell_px=self.cell_size,
            shape=self.shape,
        )
        return tuple(self.cell(column, row) for column, row in touched(extent, lattice))

    def to_dict(self) -> dict[str, Any]:
        """What makes this grid this grid, as JSON."""
        return {
            "kind": "tile_matrix",
            "id": self.id,
            "level": self.level,
            "cell_px": self.cell_size,
        }


_WORLD_HALF = {"WebMercatorQuad": 20037508.342789244}
"""Half the width of sets whose published cell sizes carry rounding of their own."""
