"""`raw/<scenes>` and `core/<name>`: a scene series, fetched and cut into tiles of a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.body import Plan
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.raw import RawRecipe, plan_raw
from geo_assets.assets.tiles import TilesRecipe, plan_tiles
from geo_assets.automation.scenes import scene_sensor
from geo_assets.checks.alignment import alignment_check
from geo_assets.checks.drift import nodata_share_check, value_drift_check, value_range_check
from geo_assets.checks.geoparquet import GEOPARQUET
from geo_assets.checks.raster import tile_checks
from geo_assets.checks.stored import stored_checks
from geo_assets.declarations import SceneSeries
from geo_assets.grids import Grid
from geo_assets.kernels.preview import (
    PreviewSpec,
    draw_raster,
    predicted_preview_bytes,
)
from geo_assets.kernels.scene import SceneSpec, inspect_scene, predicted_inspect_bytes
from geo_assets.model import GEOTIFF, Chunk, Json
from geo_assets.partitions import scene_partitions
from geo_assets.production import Publication
from geo_assets.resources import GeoStore
from geo_assets.upstream import Upstream


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
    aligned: bool = False,
    value_range: tuple[float, float] | None = None,
    min_valid_share: float | None = None,
    value_change: float | None = 0.5,
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
        aligned: Check that the scenes of all dates are delivered on the same pixel grid.
        value_range: Check that all pixels with data are between these two values.
        min_valid_share: Warn where fewer of a scene's pixels on the grid have data: 0.9.
        value_change: Warn where the mean of a band, as a share of the range it had, or the share
            of pixels with data moves by more than this from one version to the next; None does
            not look.
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
    partitions = scene_partitions(series)
    scenes_of = Upstream(asset=("raw", series.scenes), own=partitions, partitions=partitions)
    raw = recipe_asset(
        ("raw", series.scenes),
        partial(_raw_planner, series),
        description=f"Scenes as delivered, from `{series.source}`.",
        kinds={"tiff"},
        partitions=partitions,
        owners=owners,
        heavy=False,
    )
    tiles = recipe_asset(
        ("core", series.name),
        partial(_tiles_planner, series),
        description=f"COG tiles of each scene ({series.grid}), with a GeoParquet index.",
        kinds={"tiff", "parquet"},
        deps=[scenes_of.dep()],
        partitions=partitions,
        owners=owners,
    )
    where = f"raster_tiles_asset(name={name!r})"
    of_tiles = [GEOPARQUET]
    of_tiles += [] if value_change is None else [value_drift_check(value_change, where)]
    of_tiles += [] if min_valid_share is None else [nodata_share_check(min_valid_share, where)]
    of_tiles += [] if value_range is None else [value_range_check(value_range, where)]
    checks = [
        *tile_checks(series),
        stored_checks(("raw", series.scenes), raw.partitions_def),
        stored_checks(("core", series.name), tiles.partitions_def, *of_tiles),
    ]
    if aligned:
        checks.append(alignment_check(("raw", series.scenes), raw.partitions_def))
    return dg.Definitions(assets=[raw, tiles], asset_checks=checks, sensors=[scene_sensor(series)])


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
