"""The tile index as GeoParquet, written by geopandas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import pyarrow.parquet as pq
import shapely

from geo_assets.errors import ContractError
from geo_assets.kernels.tile_index import INDEX_NAME, TileIndexSpec
from geo_assets.model import PARQUET, KernelResult, OutputFile

_NUMBERS = ("min", "max", "mean", "valid")
_ROW_GROUP = 50_000


def index(spec: TileIndexSpec, workdir: Path) -> KernelResult:
    """Write and read back the index; see `geo_assets.kernels.tile_index.index_tiles`."""
    with spec.records.open(encoding="utf-8") as file:
        tiles = [json.loads(line) for line in file]
    tiles.sort(key=lambda tile: (tile["row"], tile["column"]))
    path = workdir / INDEX_NAME
    _frame(tiles, spec.crs).to_parquet(
        path,
        index=False,
        compression="zstd",
        schema_version="1.1.0",
        write_covering_bbox=True,
        row_group_size=_ROW_GROUP,
    )
    _check(path, tiles)
    facts = {
        "tiles": len(tiles),
        "bytes": sum(tile["size"] for tile in tiles),
        "valid_share": sum(t["valid_share"] for t in tiles) / len(tiles) if tiles else 0.0,
    }
    output = OutputFile.of(path, INDEX_NAME, PARQUET, roles=("index",), facts=facts)
    return KernelResult(files=(output,), facts=facts)


def _frame(tiles: list[dict[str, Any]], crs: str) -> geopandas.GeoDataFrame:
    names = ("location", "cell", "column", "row", "size", "sha256", "valid_share")
    columns: dict[str, Any] = {name: [tile[name] for tile in tiles] for name in names}
    for name in _NUMBERS:
        columns[name] = [[band[name] for band in tile["stats"]] for tile in tiles]
    boxes = [shapely.box(*tile["bounds"]) for tile in tiles]
    return geopandas.GeoDataFrame(columns, geometry=boxes, crs=crs)


def _check(path: Path, tiles: list[dict[str, Any]]) -> None:
    table = pq.read_table(path, columns=["location", "size"])
    got = list(zip(*(table[name].to_pylist() for name in ("location", "size")), strict=True))
    if got != [(tile["location"], tile["size"]) for tile in tiles]:
        raise ContractError("An index read back lists the tiles that were written",
                            f"{len(got)} rows for {len(tiles)} tiles", path.name)  # fmt: skip
