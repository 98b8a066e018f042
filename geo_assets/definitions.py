"""What this project declares. Replace the demo's declarations by your own.

Paths are relative to `GEO_ASSETS_SOURCE`; results go to `GEO_ASSETS_ROOT`.
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.map import map_asset
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.assets.spatial_join import spatial_join_asset
from geo_assets.assets.topology_report import topology_report_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.assets.zonal_statistics import zonal_statistics_asset
from geo_assets.checks.freshness import freshness_check
from geo_assets.checks.references import referential_integrity_check
from geo_assets.grids import TileMatrixGrid

SCENES = dg.DynamicPartitionsDefinition(name="scenes")
# Those that the demo delivers. Without an end there is a new one every day.
DAYS = dg.DailyPartitionsDefinition(start_date="2026-06-01", end_date="2026-06-04")

defs = assemble(
    raster_tiles_asset(
        "scene_tiles",
        source="scenes/{scene}.tif",
        crs="EPSG:32633",
        grid=TileMatrixGrid(id="WebMercatorQuad", level=11, cell_px=1024),
        aligned=True,
    ),
    vector_layer_asset(
        "districts",
        source="layers/districts.gpkg",
        source_crs="EPSG:3035",
        crs="EPSG:32633",
        key="district_id",
        geometry_types=("Polygon", "MultiPolygon"),
    ),
    vector_layer_asset(
        "events",
        source="events/{partition}.parquet",
        source_crs="EPSG:4326",
        crs="EPSG:32633",
        key="id",
        columns={
            "id": "int64",
            "kind": "string",
            "value": "float64",
            "time": "timestamp[us, tz=UTC]",
        },
        geometry_types=("Point",),
        extent=(12.0, 48.0, 18.0, 52.0),
        partitions=DAYS,
    ),
    topology_report_asset("topology_report", layer="districts", key="district_id", gap_width_m=3.0),
    spatial_join_asset(
        "events_by_zone",
        left="events",
        right="districts",
        crs="EPSG:32633",
        predicate="within",
        how="aggregate",
        right_key="district_id",
        right_columns=("name",),
        statistics=(("count", None), ("sum", "value"), ("mean", "value")),
        zone_geometry=True,
        partitions=DAYS,
    ),
    referential_integrity_check(
        "out/events_by_zone",
        column="district_id",
        to="core/districts",
        key="district_id",
        partitions=DAYS,
    ),
    freshness_check("raw/districts", max_age=timedelta(days=365)),
    zonal_statistics_asset(
        "zonal_statistics",
        raster="raw/scenes",
        zones="districts",
        key="district_id",
        statistics=("count", "mean", "min", "max", "stdev"),
        partitions=SCENES,
    ),
    map_asset(
        "map",
        scenes="core/scene_tiles",
        layers=["core/districts"],
        report="out/topology_report",
        attribution="Made-up data",
        partitions=SCENES,
    ),
)
