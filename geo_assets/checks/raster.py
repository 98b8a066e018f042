"""Checks of scene tiles, derived from their declaration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.declarations import SceneSeries
from geo_assets.kernels.tile_checks import TileCheckSpec, check_tiles, predicted_check_bytes
from geo_assets.model import COG, Artifact, Chunk, StoredObject
from geo_assets.partitions import scene_partitions
from geo_assets.store.artifact import ArtifactStore

TILES_A_CHUNK = 64
"""Tiles that one worker looks at in one go."""

_RULES = (
    CheckRule(
        name="grid",
        fact="grid",
        description="Every tile lies exactly on its cell: CRS, transform and size.",
        blocking=True,
    ),
    CheckRule(
        name="nodata",
        fact="nodata",
        description="Every tile tells which of its pixels have no data.",
        blocking=True,
    ),
    CheckRule(
        name="cog",
        fact="cog",
        description="Every tile is laid out as a cloud-optimized GeoTIFF.",
    ),
    CheckRule(
        name="readable",
        fact="readable",
        description="Every block of every band of every tile can be decoded.",
        blocking=True,
    ),
)


def tile_checks(series: SceneSeries) -> list[dg.AssetChecksDefinition]:
    """The checks of `core/<name>`: of every committed tile, by workers."""

    async def look(artifact: Artifact, store: ArtifactStore, folder: Path) -> Sequence[Chunk]:
        tiles = [item for item in artifact.with_role("data") if item.media_type == COG]
        chunks = []
        for number, batch in enumerate(_batches(tiles)):
            files = [await store.local_file(artifact, tile.name, folder) for tile in batch]
            chunks.append(_chunk(series, artifact, batch, files, number))
        return chunks

    key = dg.AssetKey(["core", series.name])
    return [make_checks(key, _RULES, look, scene_partitions(series))]


def _batches(tiles: Sequence[StoredObject]) -> Iterator[Sequence[StoredObject]]:
    for start in range(0, len(tiles), TILES_A_CHUNK):
        yield tiles[start : start + TILES_A_CHUNK]


def _chunk(
    series: SceneSeries,
    artifact: Artifact,
    batch: Sequence[StoredObject],
    files: Sequence[Path],
    number: int,
) -> Chunk:
    places = [(tile.facts["column"], tile.facts["row"]) for tile in batch]
    spec = TileCheckSpec(
        files=tuple(files),
        names=tuple(tile.name for tile in batch),
        cells=tuple(series.grid.cell(column, row) for column, row in places),
        crs=artifact.properties["crs"],
        deep=True,
    )
    return Chunk(
        id=f"tiles-{number}",
        kernel=check_tiles,
        spec=spec,
        predicted_bytes=predicted_check_bytes(),
    )
