"""`raw/<scenes>` and `core/<name>`: a scene series, fetched and cut into tiles of a grid."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.body import Plan
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.raw import RawRecipe, plan_raw
from geo_assets.automation.scenes import scene_sensor
from geo_assets.checks.raster import tile_checks
from geo_assets.declarations import SceneSeries
from geo_assets.errors import InputError
from geo_assets.grids import Grid
from geo_assets.kernels.preview import (
    PreviewSpec,
    draw_raster,
    grid_svg,
    predicted_preview_bytes,
)
from geo_assets.kernels.scene import SceneSpec, inspect_scene, predicted_inspect_bytes
from geo_assets.kernels.tile_index import (
    TileIndexSpec,
    index_tiles,
    tile_record,
    write_records,
)
from geo_assets.kernels.tiling import plan_chunks
from geo_assets.metadata import picture
from geo_assets.model import GEOTIFF, Artifact, Chunk, Json, fingerprint
from geo_assets.partitions import scene_partitions
from geo_assets.production import Bench, OnceByKey, Publication
from geo_assets.resources import GeoStore
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft

TILES_FORMAT = 1
"""Raised when the same scene and declaration give other tiles than before."""


def raster_tiles_asset(
    name: str = "scene_tiles",
    *,
    source: str,
    grid: Grid,
    scenes: str | None = None,
    crs: str | None = None,
    bands: Sequence[str] = (),
    resampling: str = "bilinear",
    categorical: bool = False,
    nodata: float | None = None,
    compress: str = "deflate",
    owners: Sequence[str] = (),
) -> dg.Definitions:
    """Declare a scene series: a raw asset, a tile asset and their checks.

    `raw/<scenes>` fetches a scene, opens it under guards and keeps it. `core/<name>` reprojects
    it to the grid and cuts it into COG tiles; its index `tiles.parquet` opens in GDAL and
    geopandas. Both are partitioned by scene. A sensor, off until switched on, watches the source.

    Args:
        name: Name of the tile asset.
        source: Pattern of the source objects: `scenes/{scene}.tif`, or with one file per band
            `{scene}/*_{band}.TIF`. Relative to `GEO_ASSETS_SOURCE`, or a URI of its own.
        grid: The grid that tiles are cut to.
        scenes: Name of the raw asset; by default the tile asset's with `_tiles` made `s`.
        crs: The CRS that every scene must have; None accepts the file's own.
        bands: With one file per band, the values of `{band}` in output order.
        resampling: GDAL's method by name; `nearest` is forced for categorical data.
        categorical: Values are classes.
        nodata: Nodata value, where the files do not say it.
        compress: deflate, zstd, lzw or none.
        owners: Dagster owners: `team:geo` or an e-mail address.

    Raises:
        ConfigError: The declaration is wrong.
    """
    series = SceneSeries(
        name=name,
        scenes=scenes or f"{name.removesuffix('_tiles')}s",
        source=source,
        grid=grid,
        crs=crs,
        bands=tuple(bands),
        resampling=resampling,
        categorical=categorical,
        nodata=nodata,
        compress=compress,
    )
    raw = recipe_asset(
        ("raw", series.scenes),
        partial(_raw_planner, series),
        description=f"Scenes as delivered, from `{series.source}`.",
        kinds={"tiff"},
        partitions=scene_partitions(series),
        owners=owners,
        heavy=False,
    )
    tiles = recipe_asset(
        ("core", series.name),
        partial(_tiles_planner, series),
        description=f"COG tiles of each scene on `{series.grid}`, with a GeoParquet index.",
        kinds={"tiff", "parquet"},
        deps=[raw],
        partitions=scene_partitions(series),
        owners=owners,
    )
    return dg.Definitions(
        assets=[raw, tiles], asset_checks=tile_checks(series), sensors=[scene_sensor(series)]
    )


def _raw_planner(series: SceneSeries, geo_store: GeoStore) -> Plan:
    sources, store = geo_store.sources(), geo_store.artifacts()

    async def plan(partition: str | None, folder: Path) -> RawRecipe:
        return await plan_raw(
            asset=("raw", series.scenes),
            partition=partition,
            pattern=series.source,
            bands=series.bands,
            inspection=_SceneInspection(series),
            sources=sources,
            store=store,
            folder=folder,
        )

    return plan


def _tiles_planner(series: SceneSeries, geo_store: GeoStore) -> Plan:
    store = geo_store.artifacts()

    async def plan(partition: str | None, folder: Path) -> TilesRecipe:
        del folder
        return await plan_tiles(series, partition, store)

    return plan


@dataclass(frozen=True, slots=True)
class _SceneInspection:
    """Opens scenes under guards."""

    series: SceneSeries

    @property
    def media_type(self) -> str:
        """Of scenes that are delivered as GeoTIFF."""
        return GEOTIFF

    def chunk(self, files: Sequence[Path]) -> Chunk:
        """The headers of one scene."""
        spec = SceneSpec(files=tuple(files), crs=self.series.crs, expected_crs=self.series.crs)
        predicted = predicted_inspect_bytes()
        return Chunk(id="scene", kernel=inspect_scene, spec=spec, predicted_bytes=predicted)

    def picture(self, files: Sequence[Path]) -> Chunk:
        """A look at the scene."""
        spec = PreviewSpec(
            files=tuple(files),
            title=self.series.scenes,
            stacked=len(files) > 1,
            crs=self.series.crs,
            nodata=self.series.nodata,
        )
        predicted = predicted_preview_bytes()
        return Chunk(id="preview", kernel=draw_raster, spec=spec, predicted_bytes=predicted)

    def describe(self, facts: Mapping[str, Any]) -> Publication:
        """The scene's place, and its facts for those who cut it."""
        first = facts["files"][0]
        return Publication(
            objects=(),
            properties={
                "scene": dict(facts),
                "numbers": {
                    "bands": facts["bands"],
                    "width": first["width"],
                    "height": first["height"],
                },
                "texts": {
                    "crs": facts["crs_name"],
                    "dtype": ", ".join(sorted(set(first["dtypes"]))),
                },
            },
            bbox=facts["bbox"],
        )

    def config(self) -> Json:
        """What is expected of a scene."""
        return {"crs": self.series.crs, "bands": list(self.series.bands)}


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
            pictures=_coverage(await self.chunks(bench), receipts, self.scene.label),
        )


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


def _coverage(
    chunks: Sequence[Chunk], receipts: Sequence[ChunkReceipt], title: str
) -> dict[str, str]:
    """The grid, coloured by what became of each cell."""
    cells = {cell.id: cell for chunk in chunks for cell in chunk.spec.cells}
    states: dict[str, str] = {}
    for receipt in receipts:
        made = "resumed" if receipt.resumed else "made"
        states |= {tile.facts["cell"]: made for tile in receipt.objects}
        states |= dict.fromkeys(receipt.facts["empty"], "empty")
    svg, alt = grid_svg(cells, states, title)
    return {"coverage": picture(svg.encode(), "image/svg+xml", alt)}
