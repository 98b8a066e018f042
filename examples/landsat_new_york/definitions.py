"""Eight Landsat 8 dates over New York, one file per band, and the city's community districts.

The grids of the dates differ by a few metres, and 18 of the 71 districts are invalid as delivered.
`GEO_ASSETS_SOURCE` is the folder that holds `L8NY18/` and `nycd.gpkg`.
"""

from geo_assets.assembly import assemble
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.assets.topology_report import topology_report_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.grids import SquareGrid

BANDS = ("B2", "B3", "B4", "B5", "B6", "B7")

defs = assemble(
    raster_tiles_asset(
        "scene_tiles",
        source="L8NY18/{scene}/*_{band}.TIF",
        bands=BANDS,
        crs="EPSG:32618",
        grid=SquareGrid(crs="EPSG:32618", resolution=3000.0, cell_px=128),
        nodata=0,
    ),
    vector_layer_asset(
        "districts",
        source="nycd.gpkg",
        crs="EPSG:32618",
        source_crs="EPSG:32618",
        geometry_types=("Polygon", "MultiPolygon"),
    ),
    topology_report_asset("topology_report", layer="districts", gap_width_m=5.0),
)
