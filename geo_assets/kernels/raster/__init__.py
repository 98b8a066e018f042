"""GDAL at work, in worker processes only: the modules here import rasterio.

The doors are `geo_assets.kernels.scene`, `tiling`, `tile_index` and `preview`, which cost nothing
to import.
"""
