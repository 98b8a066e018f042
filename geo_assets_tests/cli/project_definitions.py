"""A small project for the command line: a coverage, daily events, scenes."""

from __future__ import annotations

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.assets.topology_report import topology_report_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.grids import TileMatrixGrid

defs = assemble(
    raster_tiles_asset(
        "scene_tiles",
        source="scenes/{scene}.tif",
        crs="EPSG:32633",
        grid=TileMatrixGrid(id="WebMercatorQuad", level=11, cell_px=1024),
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
        geometry_types=("Point",),
        partitions=dg.DailyPartitionsDefinition(start_date="2026-06-01"),
    ),
    topology_report_asset("topology_report", layer="districts", key="district_id", gap_width_m=3.0),
)
