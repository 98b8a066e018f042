"""The environment of a worker process: what no input may make GDAL, PROJ or BLAS do.

Environment variables reach both copies of GDAL that one process can hold (the wheels of rasterio
and pyogrio each bring their own), and they are in place before either is imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from geo_assets.kernels.raster.options import GDAL_OPTIONS

SAFE_ENVIRONMENT: Mapping[str, str] = {
    # no input opens another file or URL, and the block cache is bounded
    **GDAL_OPTIONS,
    "PROJ_NETWORK": "OFF",
    # one thread: the pool is the parallelism
    "GDAL_MAX_DATASET_POOL_SIZE": "32",
    "VSI_CACHE": "FALSE",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "ARROW_IO_THREADS": "1",
    # Arrow's jemalloc shall not start a thread in the nursery, which forks
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # freed memory goes back to the system early, so that resting sizes stay comparable
    "MALLOC_ARENA_MAX": "2",
    # same input, same bytes: sets of strings iterate in the same order in every worker
    "PYTHONHASHSEED": "0",
}
"""Variables that every process that opens a user's file runs under."""

OGR_SKIP = (
    "OGR_VRT,GDALG,OGCAPI,WFS,OAPIF,CSW,Elasticsearch,Carto,AmigoCloud,PLSCENES,NGW,"
    "ADBC,GPSBabel,MapML,PGDUMP,PDF"
)
"""Vector drivers that pyogrio's GDAL goes without: they reach other files, programs or hosts.

Set after rasterio's GDAL has registered its drivers, because that one would complain about each
driver it never had.
"""

_SECRET = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|PRIVATE_KEY|ACCESS_KEY|API_KEY", re.IGNORECASE)


def apply(environ: MutableMapping[str, str] = os.environ) -> None:
    """Make this very process safe; to be called before it imports rasterio or pyogrio."""
    environ.update(SAFE_ENVIRONMENT)


def worker_environment(environ: Mapping[str, str], temporary: Path) -> dict[str, str]:
    """`environ` for a worker: secrets left out, GDAL made safe, temporary files in `temporary`.

    A worker reads local files only, so it has no use for a credential, and a hostile file that
    takes one over finds none.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not _SECRET.search(name) and not name.startswith(("AWS_", "DAGSTER_", "VSI_", "CPL_"))
    }
    folder = str(temporary)
    return {**kept, **SAFE_ENVIRONMENT, "TMPDIR": folder, "CPL_TMPDIR": folder}
