"""Partitions with two dimensions: events by day and region, districts by day, dated scenes.

`python examples/regions/data.py data/regions` makes the sources; `GEO_ASSETS_SOURCE` is that
folder. What reads what: the join of a day and region reads its own events and the districts of its
day, the statistics of a scene read the districts of the date in its name.

`geo-assets run -d examples/regions/definitions.py --partitions '2026-06-01|north..2026-06-02|south'
group:raw` makes a rectangle as one run. So do the schedules; a backfill from Dagster's UI is one
run for each day or for each region, whichever is fewer.
"""

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.assets.spatial_join import spatial_join_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.assets.zonal_statistics import zonal_statistics_asset
from geo_assets.grids import TileMatrixGrid

CRS = "EPSG:32633"
DAYS = dg.DailyPartitionsDefinition(start_date="2026-06-01")
REGIONS = dg.StaticPartitionsDefinition(["north", "middle", "south"])
DAYS_AND_REGIONS = dg.MultiPartitionsDefinition({"date": DAYS, "region": REGIONS})
SCENES = dg.DynamicPartitionsDefinition(name="scenes")

defs = assemble(
    vector_layer_asset(
        "events",
        source="events/{date}/{region}.parquet",
        source_crs="EPSG:4326",
        crs=CRS,
        key="id",
        geometry_types=("Point",),
        partitions=DAYS_AND_REGIONS,
    ),
    vector_layer_asset(
        "districts",
        source="districts/{partition}.gpkg",
        source_crs="EPSG:3035",
        crs=CRS,
        key="district_id",
        partitions=DAYS,
    ),
    spatial_join_asset(
        "events_by_district",
        left="events",
        right="districts",
        crs=CRS,
        predicate="within",
        how="aggregate",
        right_key="district_id",
        right_columns=("name",),
        statistics=(("count", None), ("mean", "value")),
        partitions=DAYS_AND_REGIONS,
        right_partitions=DAYS,
    ),
    raster_tiles_asset(
        "scene_tiles",
        source="scenes/{scene}.tif",
        crs=CRS,
        grid=TileMatrixGrid(id="WebMercatorQuad", level=12, cell_px=512),
    ),
    zonal_statistics_asset(
        "district_statistics",
        raster="raw/scenes",
        zones="districts",
        key="district_id",
        statistics=("count", "mean"),
        partitions=SCENES,
        zones_partitions=DAYS,
    ),
)
