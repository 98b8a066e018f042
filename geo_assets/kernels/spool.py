"""A layer's geometry as one Arrow file with random access by row, shared by the chunks of a job.

A Parquet file is read by row group; chunks that follow space want rows from all over it. The
spool is written once, uncompressed, and memory-mapped: a chunk touches the pages of its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geo_assets.errors import InputError
from geo_assets.kernels.hilbert import hilbert_codes
from geo_assets.rules.geo_metadata import GeoColumn, read_geo_column
from geo_assets.rules.wkb import read_wkb

Geometries = NDArray[np.object_]
Bounds = NDArray[np.float64]
"""Shape (n, 4): x min, y min, x max, y max; NaN where there is no geometry."""

BATCH_ROWS = 16_384
_SHARES = 4  # among two or four workers all then get as many chunks: none waits for another
_BOX = ("xmin", "ymin", "xmax", "ymax")
_SCHEMA = pa.schema([pa.field("geometry", pa.large_binary())])


def geometry_column(layer: Path) -> GeoColumn:
    """The footer's account of a layer that these kernels can read.

    Raises:
        InputError: It is not GeoParquet, its geometry is not WKB, or its CRS is unknown.
    """
    column = read_geo_column(layer)
    if column.encoding != "WKB":
        raise InputError("Geometry is encoded as WKB", repr(column.encoding), layer.name,
                         "Pass the layer through vector_layer_asset first.")  # fmt: skip
    if column.crs is None:
        raise InputError("A layer says what its CRS is", "no CRS", layer.name,
                         "Pass the layer through vector_layer_asset first.")  # fmt: skip
    return column


def write_spool(
    layer: Path, folder: Path, change: Callable[[Geometries], Geometries] | None = None
) -> Bounds:
    """Write `geometry.arrow`, `bounds.npy` and `sizes.npy` into `folder`.

    Args:
        layer: A GeoParquet file with WKB.
        folder: Where the spool goes.
        change: Applied to every batch of geometries; without it the WKB is copied unread, and the
            bounds come from the covering column where the file has one.

    Returns:
        The bounds of every row.
    """
    column = geometry_column(layer)
    bounds: list[Bounds] = []
    sizes: list[NDArray[np.int64]] = []
    with (
        pa.OSFile(str(folder / "geometry.arrow"), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA) as out,
    ):
        for wkb, box in _batches(layer, column):
            if change is None and box is not None:
                bounds.append(box)
            else:
                shapes = read_wkb(wkb)
                if change is not None:
                    shapes = change(shapes)
                    wkb = pa.array(shapely.to_wkb(shapes), pa.large_binary())  # noqa: PLW2901
                bounds.append(_bounds(shapes))
            sizes.append(pc.fill_null(pc.binary_length(wkb), 0).to_numpy().astype(np.int64))
            out.write_batch(pa.record_batch([wkb.cast(pa.large_binary())], schema=_SCHEMA))
    joined = np.concatenate([np.empty((0, 4)), *bounds])
    np.save(folder / "bounds.npy", joined)
    np.save(folder / "sizes.npy", np.concatenate([np.empty(0, np.int64), *sizes]))
    return joined


def spatial_chunks(folder: Path, chunk_bytes: int) -> list[tuple[int, int, int]]:
    """Cut a spool into compact groups of rows along the Hilbert curve; writes `order.npy`.

    Returns:
        (start, stop, WKB bytes) of each chunk in the order; features without a place come last.
    """
    bounds, sizes = np.load(folder / "bounds.npy"), np.load(folder / "sizes.npy")
    x, y = (bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2
    order = np.argsort(hilbert_codes(x, y, _core(x, y)), kind="stable")
    np.save(folder / "order.npy", order)
    number = -(-int(sizes.sum()) // chunk_bytes)
    if number > _SHARES:
        number += -number % _SHARES
    return cut(sizes[order], -(-int(sizes.sum()) // max(1, number)) or 1)


def cut(sizes: NDArray[np.int64], chunk_bytes: int) -> list[tuple[int, int, int]]:
    """(start, stop, size) of runs of about equal size, each about `chunk_bytes` at most."""
    total = np.cumsum(sizes)
    if not len(total):
        return []
    number = min(len(sizes), max(1, -(-int(total[-1]) // chunk_bytes)))
    ends = np.searchsorted(total, total[-1] * np.arange(1, number) / number, side="left") + 1
    edges = np.unique(np.r_[0, ends, len(sizes)])
    spans = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [(start, stop, int(sizes[start:stop].sum())) for start, stop in spans]


class Spool:
    """Random access to a written spool."""

    def __init__(self, folder: Path) -> None:
        self.bounds: Bounds = np.load(folder / "bounds.npy", mmap_mode="r")
        self.order: NDArray[np.int64] = np.load(folder / "order.npy", mmap_mode="r")
        self._reader = pa.ipc.open_file(pa.memory_map(str(folder / "geometry.arrow")))
        self.rows = len(self.bounds)

    def wkb(self, rows: NDArray[np.int64]) -> NDArray[np.object_]:
        """WKB of ascending rows, None for null geometry."""
        found: NDArray[np.object_] = self.column(rows).to_numpy(zero_copy_only=False)
        return found

    def column(self, rows: NDArray[np.int64]) -> pa.Array:
        """The same as a binary column, copied out of the file."""
        batch_of = np.searchsorted(self._starts(), rows, side="right") - 1
        found = [pa.array([], _SCHEMA.field(0).type)]
        for number in np.unique(batch_of):
            wanted = pa.array(rows[batch_of == number] - self._starts()[number])
            found.append(self._reader.get_batch(int(number)).column(0).take(wanted))
        return pa.concat_arrays(found)

    def _starts(self) -> NDArray[np.int64]:
        if not hasattr(self, "_start_of"):
            counts = [
                self._reader.get_batch(i).num_rows for i in range(self._reader.num_record_batches)
            ]
            self._start_of = np.cumsum([0, *counts])[:-1]
        return self._start_of


def read_keys(layer: Path, key: str | None) -> Iterator[pa.Array]:
    """The key column in batches; row numbers where there is no key.

    Raises:
        InputError: The layer has no such column.
    """
    with pq.ParquetFile(layer, memory_map=True) as file:
        if key is None:
            start = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                yield pa.array(np.arange(start, start + rows))
                start += rows
            return
        if key not in file.schema_arrow.names:
            raise InputError("The key column is in the layer", repr(key), layer.name,
                             f"It has {', '.join(file.schema_arrow.names)}.")  # fmt: skip
        for batch in file.iter_batches(BATCH_ROWS, columns=[key], use_threads=False):
            yield batch.column(0)


def _batches(layer: Path, column: GeoColumn) -> Iterator[tuple[pa.Array, Bounds | None]]:
    columns = [column.name] if column.covering is None else [column.name, column.covering]
    with pq.ParquetFile(layer, memory_map=True) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
            box = None if column.covering is None else batch.column(column.covering)
            wkb = batch.column(column.name)
            if box is None:
                yield wkb, None
                continue
            edges = [pc.cast(pc.struct_field(box, name), pa.float64()) for name in _BOX]
            yield wkb, np.column_stack([edge.to_numpy(zero_copy_only=False) for edge in edges])


def _bounds(shapes: Geometries) -> Bounds:
    bounds: Bounds = shapely.bounds(shapes)
    bounds[~np.isfinite(bounds).all(axis=1)] = np.nan
    return bounds


def _core(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Where nearly all features are: one feature in the wrong place must not coarsen the curve."""
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return 0.0, 0.0, 1.0, 1.0
    (west, east), (south, north) = (np.percentile(v[known], [0.5, 99.5]) for v in (x, y))
    wide, high = (east - west) * 0.02, (north - south) * 0.02
    return float(west - wide), float(south - high), float(east + wide), float(north + high)
