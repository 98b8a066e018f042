"""The door to the index of a scene's tiles: GeoParquet that GDAL and geopandas both open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_assets.model import KernelResult, OutputFile, StoredObject

INDEX_NAME = "tiles.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class TileIndexSpec:
    """The tiles of a version, to be indexed."""

    records: Path
    """A file that `write_records` wrote."""
    crs: str
    """The CRS of the grid, as WKT."""


def tile_record(tile: OutputFile | StoredObject) -> dict[str, Any]:
    """What the index says of one tile, from the facts that `cut_tiles` gave of it."""
    return {
        "location": tile.name,
        "cell": tile.facts["cell"],
        "column": tile.facts["column"],
        "row": tile.facts["row"],
        "bounds": list(tile.facts["bounds"]),
        "size": tile.size,
        "sha256": tile.sha256,
        "valid_share": tile.facts["valid_share"],
        "stats": tile.facts["stats"],
    }


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write records to a file, one JSON object a line: thousands of tiles fit no pipe."""
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, allow_nan=False) + "\n")


def index_tiles(spec: TileIndexSpec, workdir: Path) -> KernelResult:
    """Write `tiles.parquet`: one row for each tile, by row and column of the grid.

    It is GeoParquet 1.1 in the CRS of the grid with a bbox covering, and a raster tile index of
    GDAL (`gdalinfo GTI:tiles.parquet`, GDAL 3.9 or newer with its Parquet driver): `location` is
    relative to the index, the geometry is the cell. Further columns: `cell`, `column`, `row`,
    `size` in bytes, `sha256`, `valid_share` (0 to 1), and lists with one value for each band:
    `min`, `max`, `mean`, `valid`.

    Args:
        spec: The tiles.
        workdir: Where the index is written.

    Returns:
        The index with the role `index`; its facts: `tiles`, `bytes`, `valid_share` of the whole.

    Raises:
        ContractError: The file read back is not what was written.
    """
    from geo_assets.kernels.raster.index import index

    return index(spec, workdir)
