"""How one scene becomes the tiles of a grid."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from geo_assets.assets.tile_pictures import coverage, difference
from geo_assets.declarations import SceneSeries
from geo_assets.errors import InputError
from geo_assets.kernels.tile_index import (
    TileIndexSpec,
    index_tiles,
    tile_record,
    write_records,
)
from geo_assets.kernels.tiling import plan_chunks
from geo_assets.model import Artifact, Chunk, fingerprint
from geo_assets.production import Bench, OnceByKey, Publication
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft

TILES_FORMAT = 1
"""Raised when the same scene and declaration give other tiles than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TilesRecipe:
    """One scene on its grid."""

    series: SceneSeries
    scene: Artifact
    store: ArtifactStore
    asset: tuple[str, ...]
    partition: str | None
    version: str
    inputs: Mapping[str, str]
    downloads: OnceByKey = field(default_factory=OnceByKey)

    async def chunks(self, bench: Bench) -> Sequence[Chunk]:
        """Neighbouring cells together."""
        del bench
        series = self.series
        # Projecting the grid's cells takes longer than the loop may be held up.
        return await asyncio.to_thread(
            plan_chunks,
            self.scene.properties["scene"],
            series.grid,
            [Path(item.name) for item in self.scene.with_role("data")],
            resampling=series.effective_resampling,
            categorical=series.categorical,
            nodata=series.nodata,
            compress=series.compress,
            source_crs=series.crs,
        )

    async def fetch(self, chunk: Chunk, folder: Path) -> Chunk:
        """Bring the scene here, whole and once: every block is then read from the local disk."""

        async def download() -> tuple[Path, ...]:
            names = [item.name for item in self.scene.with_role("data")]
            return tuple([await self.store.local_file(self.scene, name, folder) for name in names])

        files = await self.downloads.get("scene", download)
        return chunk.with_spec(replace(chunk.spec, files=files))

    async def finish(
        self, draft: Draft, receipts: Sequence[ChunkReceipt], bench: Bench
    ) -> Publication:
        """Index the tiles."""
        tiles = [stored for receipt in receipts for stored in receipt.objects]
        empty = [cell for receipt in receipts for cell in receipt.facts["empty"]]
        if not tiles:
            raise InputError("A scene has data somewhere on its grid",
                             f"{len(empty)} cells, all without data", self.scene.label,
                             "Check nodata and the scene.")  # fmt: skip
        records = bench.folder / "tiles.jsonl"
        await asyncio.to_thread(write_records, records, [tile_record(tile) for tile in tiles])
        spec = TileIndexSpec(records=records, crs=self.series.grid.crs_wkt)
        index = await bench.run(
            Chunk(id="index", kernel=index_tiles, spec=spec, predicted_bytes=_INDEX_BYTES)
        )
        stored = [await draft.stage(file) for file in index.files]
        scene = self.scene.properties
        pictures, numbers = await self._pictures(draft, receipts, bench)
        return Publication(
            objects=(*stored, *tiles),
            properties={
                "crs": self.series.grid.crs_wkt,
                "grid": self.series.grid.to_dict(),
                "tiles": len(tiles),
                "empty": len(empty),
                "thumbnail": scene.get("thumbnail", ""),
                "numbers": {
                    "tiles": len(tiles),
                    "cells_empty": len(empty),
                    "valid_share": index.files[0].facts["valid_share"],
                },
                "texts": {
                    "grid": str(self.series.grid),
                    "resampling": self.series.effective_resampling,
                },
            },
            bbox=scene["scene"]["bbox"],
            pictures=pictures,
            numbers=numbers,
        )

    async def _pictures(
        self, draft: Draft, receipts: Sequence[ChunkReceipt], bench: Bench
    ) -> tuple[dict[str, str], dict[str, int | float]]:
        """Drawn in a thread: a large grid takes longer than the loop may be held up."""
        chunks = await self.chunks(bench)
        shown = {"coverage": await asyncio.to_thread(coverage, chunks, receipts, self.scene.label)}
        before = draft.current
        if before is None or before.properties.get("grid") != self.series.grid.to_dict():
            return shown, {}
        tiles = [tile for receipt in receipts for tile in receipt.objects]
        shown["difference"], numbers = await asyncio.to_thread(difference, before, tiles)
        return shown, numbers


_INDEX_BYTES = 256 << 20
"""Some 100,000 tiles as a GeoDataFrame."""


async def plan_tiles(
    series: SceneSeries, partition: str | None, store: ArtifactStore
) -> TilesRecipe:
    """The recipe for the newest delivery of a scene.

    Raises:
        InputError: The scene was not fetched yet.
    """
    scene = await store.newest(("raw", series.scenes), partition)
    if scene is None:
        raise InputError("A scene is fetched before it is cut", "no version",
                         f"raw/{series.scenes}[{partition}]",
                         f"Materialize raw/{series.scenes} first.")  # fmt: skip
    return TilesRecipe(
        series=series,
        scene=scene,
        store=store,
        asset=("core", series.name),
        partition=partition,
        version=fingerprint("tiles", TILES_FORMAT, scene.version, series.config()),
        inputs={scene.label: scene.version},
    )
