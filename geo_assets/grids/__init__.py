"""Grids: how the tiles of a scene lie in a CRS. Plain frozen values, no GDAL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geo_assets.errors import ConfigError
from geo_assets.grids.cell import Canvas, Cell, Extent, Grid
from geo_assets.grids.square import SquareGrid
from geo_assets.grids.tile_matrix import TileMatrixGrid

__all__ = [
    "Canvas",
    "Cell",
    "Extent",
    "Grid",
    "SquareGrid",
    "TileMatrixGrid",
    "grid_from_dict",
]


def grid_from_dict(value: Mapping[str, Any]) -> Grid:
    """The inverse of a grid's `to_dict`.

    Raises:
        ConfigError: The kind is unknown, or the values make no grid.
    """
    fields = dict(value)
    kind = fields.pop("kind", None)
    if kind == "tile_matrix":
        return TileMatrixGrid(**fields)
    if kind == "square":
        fields["origin"] = tuple(fields["origin"])
        return SquareGrid(**fields)
    raise ConfigError("A grid is of the kind tile_matrix or square", repr(kind), "grid_from_dict")
