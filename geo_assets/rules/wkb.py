"""Geometries of a WKB column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray


def read_wkb(column: pa.Array | pa.ChunkedArray) -> NDArray[np.object_]:
    """The geometries of a binary column; None for null, and for what GEOS cannot hold."""
    whole = isinstance(column, pa.ChunkedArray)
    values = column.to_numpy() if whole else column.to_numpy(zero_copy_only=False)
    # NaN coordinates are findings of ours, not warnings of numpy's.
    with np.errstate(invalid="ignore"):
        geoms: NDArray[np.object_] = shapely.from_wkb(values, on_invalid="ignore")
    return geoms


def wkb_bytes(
    column: pa.Array,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The memory of a binary column: its bytes, and where each value starts and how long it is."""
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        column = column.cast(pa.large_binary())
    wide = "<i4" if pa.types.is_binary(column.type) else "<i8"
    _, places, data = column.buffers()
    if places is None or data is None:
        none = np.zeros(len(column), np.int64)
        return np.empty(0, np.uint8), none, none
    edges = np.frombuffer(places, wide)[column.offset : column.offset + len(column) + 1]
    start = edges.astype(np.int64)
    return np.frombuffer(data, np.uint8), start[:-1], np.diff(start)
