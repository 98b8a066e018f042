"""Geometries of a WKB column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray


def read_wkb(column: pa.Array | pa.ChunkedArray) -> NDArray[np.object_]:
    """The geometries of a binary column; None for null, and for what GEOS cannot hold."""
    options: dict[str, Any] = (
        {} if isinstance(column, pa.ChunkedArray) else {"zero_copy_only": False}
    )
    values = np.asarray(column.to_numpy(**options), dtype=object)
    # NaN coordinates are findings of ours, not warnings of numpy's.
    with np.errstate(invalid="ignore"):
        geoms: NDArray[np.object_] = shapely.from_wkb(values, on_invalid="ignore")
    return geoms
