"""Two years of an ESA WorldCover tile, 36,000 x 36,000 pixels each, on the web's grid.

`GEO_ASSETS_SOURCE` is the folder that holds the GeoTIFFs.
"""

from geo_assets.assembly import assemble
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.grids import TileMatrixGrid

defs = assemble(
    raster_tiles_asset(
        "landcover_tiles",
        scenes="landcover",
        source="ESA_WorldCover_10m_{scene}_Map.tif",
        crs="EPSG:4326",
        # 9.6 m a pixel at the equator: that of level 14 of the same tile matrix set.
        grid=TileMatrixGrid(id="WebMercatorQuad", level=10, cell_px=4096),
        categorical=True,
    ),
)
