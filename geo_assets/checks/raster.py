"""Checks of scene tiles, derived from their declaration."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import dagster as dg

from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.declarations import SceneSeries
from geo_assets.kernels.tile_checks import (
    TileCheckSpec,
    check_tiles,
    places_of,
    predicted_check_bytes,
)
from geo_assets.model import COG, Artifact, Chunk, StoredObject
from geo_assets.partitions import scene_partitions
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.bounded import each

SIDE = 8
"""Tiles along each side of the square that one worker looks at in one go."""

FILES_AT_ONCE = 8

Place: TypeAlias = tuple[int, int]
"""Tiles eastwards and southwards from the first one."""

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
        name="seams",
        fact="seams",
        description="Neighbouring tiles continue each other: no line of pixels twice or missing.",
        severity=dg.AssetCheckSeverity.WARN,
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

        async def local(tile: StoredObject) -> tuple[str, Path]:
            return tile.name, await store.local_file(artifact, tile.name, folder)

        files = dict(await each(local, tiles, limit=FILES_AT_ONCE))
        return await asyncio.to_thread(_chunks, series, artifact, tiles, files)

    key = dg.AssetKey(["core", series.name])
    return [make_checks(key, _RULES, look, scene_partitions(series))]


def _chunks(
    series: SceneSeries,
    artifact: Artifact,
    tiles: Sequence[StoredObject],
    files: Mapping[str, Path],
) -> list[Chunk]:
    """Squares of neighbouring tiles, each with the tiles right of and below it."""
    cells = [series.grid.cell(tile.facts["column"], tile.facts["row"]) for tile in tiles]
    by_place = dict(zip(places_of(cells), zip(tiles, cells, strict=True), strict=True))
    squares: dict[Place, list[Place]] = {}
    for x, y in sorted(by_place):
        squares.setdefault((x // SIDE, y // SIDE), []).append((x, y))
    chunks = []
    for number, places in enumerate(squares.values()):
        near = {(x + 1, y) for x, y in places} | {(x, y + 1) for x, y in places}
        beside = sorted((near & set(by_place)) - set(places))
        spec = TileCheckSpec(
            files=tuple(files[by_place[place][0].name] for place in places),
            names=tuple(by_place[place][0].name for place in places),
            cells=tuple(by_place[place][1] for place in places),
            beside=tuple(files[by_place[place][0].name] for place in beside),
            beside_names=tuple(by_place[place][0].name for place in beside),
            beside_cells=tuple(by_place[place][1] for place in beside),
            crs=artifact.properties["crs"],
            deep=True,
        )
        chunks.append(
            Chunk(
                id=f"tiles-{number}",
                kernel=check_tiles,
                spec=spec,
                predicted_bytes=predicted_check_bytes(),
            )
        )
    return chunks
