"""`raw/<scenes>` and `core/<name>`: a scene series, fetched and cut into tiles of a grid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.body import materialize
from geo_assets.assets.options import HEAVY, asset_options
from geo_assets.assets.raw import RawRecipe, plan_raw
from geo_assets.checks.raster import scene_checks, tile_checks
from geo_assets.declarations import SceneSeries
from geo_assets.errors import InputError
from geo_assets.grids import Grid
from geo_assets.kernels.finish import finish_tiles_chunk
from geo_assets.kernels.scene import SceneSpec, inspect_scene, predicted_inspect_bytes
from geo_assets.kernels.tiling import plan_chunks
from geo_assets.model import GEOTIFF, Artifact, Chunk, Json, fingerprint
from geo_assets.partitions import scene_partitions
from geo_assets.production import Publication
from geo_assets.resources import GeoEngine, GeoStore
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
    geopandas. Both are partitioned by scene.

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
    raw = _raw_asset(series, owners)
    tiles = _tiles_asset(series, owners)
    return dg.Definitions(
        assets=[raw, tiles], asset_checks=[*scene_checks(series), *tile_checks(series)]
    )


def _raw_asset(series: SceneSeries, owners: Sequence[str]) -> dg.AssetsDefinition:
    @dg.asset(
        **asset_options(("raw", series.scenes), owners, kinds={"tiff"}),
        partitions_def=scene_partitions(series),
        backfill_policy=dg.BackfillPolicy.single_run(),
        output_required=False,
        description=f"Scenes as delivered, from `{series.source}`.",
    )
    async def raw_scenes(
        context: dg.AssetExecutionContext, geo_store: GeoStore, geo_engine: GeoEngine
    ) -> AsyncIterator[Any]:
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

        async for event in materialize(context, plan, store=geo_store, engine=geo_engine):
            yield event

    return raw_scenes


def _tiles_asset(series: SceneSeries, owners: Sequence[str]) -> dg.AssetsDefinition:
    @dg.asset(
        **asset_options(("core", series.name), owners, kinds={"tiff", "parquet"}),
        deps=[dg.AssetKey(["raw", series.scenes])],
        partitions_def=scene_partitions(series),
        backfill_policy=dg.BackfillPolicy.single_run(),
        output_required=False,
        pool=HEAVY,
        description=f"COG tiles of each scene on {series.grid}, with a GeoParquet index.",
    )
    async def scene_tiles(
        context: dg.AssetExecutionContext, geo_store: GeoStore, geo_engine: GeoEngine
    ) -> AsyncIterator[Any]:
        store = geo_store.artifacts()

        async def plan(partition: str | None, folder: Path) -> TilesRecipe:
            del folder
            return await plan_tiles(series, partition, store)

        async for event in materialize(context, plan, store=geo_store, engine=geo_engine):
            yield event

    return scene_tiles


@dataclass(frozen=True, slots=True)
class _SceneInspection:
    """Opens scenes under guards."""

    series: SceneSeries
    media_type: str = GEOTIFF

    def chunk(self, files: Sequence[Path]) -> Chunk:
        """The headers of one scene."""
        spec = SceneSpec(files=tuple(files), crs=self.series.crs, expected_crs=self.series.crs)
        return Chunk(
            id="scene",
            kernel=inspect_scene,
            spec=spec,
            predicted_bytes=predicted_inspect_bytes(),
        )

    def describe(self, facts: Mapping[str, Any]) -> Publication:
        """The scene's place, and its facts for those who cut it."""
        return Publication(
            objects=(),
            properties={"scene": dict(facts), "numbers": {"bands": facts["bands"]}},
            bbox=facts["bbox"],
        )

    def config(self) -> Json:
        """The CRS that is expected."""
        return {"crs": self.series.crs, "bands": list(self.series.bands)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TilesRecipe:
    """One scene on its grid."""

    series: SceneSeries
    scene: Artifact
    store: ArtifactStore
    partition: str | None
    version: str
    inputs: Mapping[str, str]
    asset: tuple[str, ...]

    def chunks(self) -> Sequence[Chunk]:
        """Neighbouring cells together."""
        facts = self.scene.properties["scene"]
        return plan_chunks(
            facts,
            self.series.grid,
            [Path(item.name) for item in self.scene.with_role("data")],
            resampling=self.series.effective_resampling,
            categorical=self.series.categorical,
            nodata=self.series.nodata,
            compress=self.series.compress,
            source_crs=self.series.crs,
        )
