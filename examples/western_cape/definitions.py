"""Swellendam, South Africa: farms, roads, rivers, a DEM and an aerial photo in different CRSs.

Rivers have null geometries, farms are partly invalid, and `water.shp` is corrupt as published: it
fails alone, with a clear error. `GEO_ASSETS_SOURCE` is the folder that holds the files.
"""

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.assets.topology_report import topology_report_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.grids import SquareGrid

CRS = "EPSG:32733"


def layer(name: str, file: str, source_crs: str = CRS) -> dg.Definitions:
    """A layer of this area, in its common CRS."""
    return vector_layer_asset(name, source=file, source_crs=source_crs, crs=CRS)


defs = assemble(
    raster_tiles_asset(
        "dem_tiles",
        scenes="dem",
        source="srtm_41_19_{scene}.tif",
        crs="EPSG:4326",
        grid=SquareGrid(crs=CRS, resolution=90.0, cell_px=512),
        resampling="cubic",
    ),
    raster_tiles_asset(
        "photo_tiles",
        scenes="photos",
        source="{scene}_RGB_LATLNG.tif",
        grid=SquareGrid(crs=CRS, resolution=0.5, cell_px=1024),
    ),
    layer("farms", "farms_33S.shp"),
    layer("roads", "roads_33S.shp"),
    layer("urban", "urban_33S.shp"),
    layer("municipalities", "Western_Cape_UTM33S.shp"),
    layer("rivers", "rivers.shp", "EPSG:4326"),
    layer("water", "water.shp", "EPSG:4326"),
    topology_report_asset("farms_topology", layer="farms", gap_width_m=1.0),
)
