"""The GDAL configuration under which files of others may be opened. Imports nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

GDAL_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        # Drivers that open other files or URLs: read when GDAL registers its drivers, so these
        # must be in the process environment before rasterio is imported.
        "GDAL_SKIP": "VRT,WMS,WCS,WMTS,HTTP,GTI,STACTA,STACIT,EEDA,EEDAI,PLMOSAIC,DAAS",
        # A poisoned .aux.xml beside a clean TIFF makes requests from `overviews()`.
        "GDAL_PAM_ENABLED": "NO",
        # No sidecar is looked for, so none can say anything: .ovr, .msk, .tfw, .aux.
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
        # One row of source blocks of a large scene; the default would be 5 % of the machine.
        "GDAL_CACHEMAX": "128",
        # A file cut short fails at once; GDAL would pad missing blocks with zeros.
        "GTIFF_IGNORE_READ_ERRORS": "NO",
        "GDAL_TIFF_INTERNAL_MASK": "YES",
        "GDAL_NUM_THREADS": "1",
        "GTIFF_POINT_GEO_IGNORE": "NO",
    }
)
"""For the environment of every process that opens user files, set before rasterio is imported."""
