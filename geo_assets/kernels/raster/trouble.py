"""What GDAL raises through rasterio."""

from __future__ import annotations

from rasterio._err import CPLE_BaseError  # no public name: close() lets it through as it is
from rasterio.errors import RasterioError

GDAL_ERRORS: tuple[type[Exception], ...] = (RasterioError, CPLE_BaseError, OSError)
"""Any failure of reading or writing a raster."""
