"""Layers read from GeoParquet: WKB and the native encodings, one part of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geo_assets.errors import InputError
from geo_assets.kernels.vector_model import LayerInfo, LayerSource, SourceBatch, batch_rows
from geo_assets.rules.batches import read_batches
from geo_assets.rules.geo_metadata import GeoColumn, geo_json, read_geo_column

_BUFFER_BYTES = 1 << 20
_NATIVE = {
    "point": shapely.GeometryType.POINT,
    "linestring": shapely.GeometryType.LINESTRING,
    "polygon": shapely.GeometryType.POLYGON,
    "multipoint": shapely.GeometryType.MULTIPOINT,
    "multilinestring": shapely.GeometryType.MULTILINESTRING,
    "multipolygon": shapely.GeometryType.MULTIPOLYGON,
}


def open_parquet(path: Path, *, xy_columns: tuple[str, str] | None = None) -> LayerSource:
    """Open a GeoParquet file, or plain Parquet with an x and a y column.

    The bounding box column that the metadata names is derived and left out. A native
    (GeoArrow) encoding becomes WKB. Spherical edges are read as planar, which `notes` says.

    Raises:
        InputError: It is not Parquet, or has neither a `geo` entry nor the two columns.
    """
    if xy_columns is not None and geo_json(path) is None:
        return _open_plain(path, xy_columns)
    column = read_geo_column(path)
    native = column.encoding.lower()
    if column.encoding != "WKB" and native not in _NATIVE:
        raise InputError("GeoParquet geometry is WKB or a native encoding", column.encoding,
                         path.name)  # fmt: skip
    fields = _fields(path, drop={column.name, column.covering})
    if column.name not in pq.read_schema(path).names:
        raise InputError("The primary geometry column is in the file", repr(column.name), path.name)
    notes = ("spherical edges are read as planar",) if column.edges == "spherical" else ()
    bbox = column.bbox
    info = LayerInfo(
        driver="Parquet",
        layer=path.stem,
        layers=(path.stem,),
        crs=column.crs,
        crs_missing="" if column.crs else "crs is null in the geo entry",
        features=column.rows,
        geometry_types=column.geometry_types,
        bounds=None if bbox is None else (bbox[0], bbox[1], bbox[-(len(bbox) // 2)],
                                          bbox[1 - len(bbox) // 2]),
        notes=notes,
    )  # fmt: skip
    return LayerSource(path=path, info=info, schema=fields,
                       read=lambda: _read(path, fields, column))  # fmt: skip


def _fields(path: Path, drop: set[str | None]) -> pa.Schema:
    kept = [
        pa.field(field.name, field.type) for field in pq.read_schema(path) if field.name not in drop
    ]
    return pa.schema(kept)


def _read(path: Path, fields: pa.Schema, column: GeoColumn) -> Iterator[SourceBatch]:
    row = 0
    try:
        # With a buffer size pages are read as they come, not a whole column chunk at once.
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES) as file:
            rows = batch_rows(path.stat().st_size * 2, column.rows)
            names = [*fields.names, column.name]
            for batch in read_batches(file, rows, names):
                geometry = batch.column(column.name)
                yield SourceBatch(
                    row=row,
                    attributes=_attributes(batch, fields),
                    wkb=_wkb(geometry, column.encoding),
                )
                row += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            "A Parquet file can be read to its end",
            str(error),
            path.name,
            "The file is damaged or incomplete: deliver it again.",
        ) from None


def _attributes(batch: pa.RecordBatch, fields: pa.Schema) -> pa.RecordBatch:
    if not fields.names:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * batch.num_rows, pa.struct([])))
    return pa.RecordBatch.from_arrays([batch.column(name) for name in fields.names], schema=fields)


def _wkb(geometry: pa.Array, encoding: str) -> pa.Array:
    if isinstance(geometry, pa.ExtensionArray):
        geometry = geometry.storage
    if encoding == "WKB":
        return geometry.cast(pa.binary())
    geoms = _from_native(geometry, _NATIVE[encoding.lower()])
    return pa.array(shapely.to_wkb(geoms), type=pa.binary())


def _from_native(array: pa.Array, kind: shapely.GeometryType) -> NDArray[np.object_]:
    """Geometries of a GeoArrow array: nested lists around (x, y[, z]) structs."""
    present = array.is_valid().to_numpy(zero_copy_only=False)
    inner = array.drop_null()
    offsets = []
    while pa.types.is_list(inner.type) or pa.types.is_large_list(inner.type):
        starts = inner.offsets.to_numpy()
        offsets.append(starts - starts[0])
        inner = inner.flatten()
    if pa.types.is_struct(inner.type):
        coords = np.column_stack([part.to_numpy(zero_copy_only=False) for part in inner.flatten()])
    else:
        width = inner.type.list_size
        coords = inner.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    geoms = np.full(len(array), None, dtype=object)
    # shapely wants the offsets innermost first.
    geoms[present] = shapely.from_ragged_array(kind, coords, tuple(reversed(offsets)) or None)
    return geoms


def _open_plain(path: Path, xy_columns: tuple[str, str]) -> LayerSource:
    """Points from two columns of plain Parquet; both columns stay."""
    fields = _fields(path, drop=set())
    absent = [name for name in xy_columns if name not in fields.names]
    if absent:
        raise InputError(f"The file has the column {absent[0]!r}",
                         f"columns {', '.join(fields.names)}", path.name)  # fmt: skip
    rows = pq.read_metadata(path).num_rows
    info = LayerInfo(driver="Parquet", layer=path.stem, layers=(path.stem,), crs=None,
                     crs_missing="plain Parquet has none", features=rows,
                     geometry_types=("Point",), bounds=None)  # fmt: skip

    def read() -> Iterator[SourceBatch]:
        row = 0
        with pq.ParquetFile(path) as file:
            for batch in read_batches(file, batch_rows(path.stat().st_size, rows)):
                x, y = (batch.column(name).cast(pa.float64()) for name in xy_columns)
                x_values, y_values = (part.to_numpy(zero_copy_only=False) for part in (x, y))
                known = ~(np.isnan(x_values) & np.isnan(y_values))
                geoms = np.full(batch.num_rows, None, dtype=object)
                geoms[known] = shapely.points(x_values[known], y_values[known])
                yield SourceBatch(
                    row=row,
                    attributes=_attributes(batch, fields),
                    wkb=pa.array(shapely.to_wkb(geoms), type=pa.binary()),
                )
                row += batch.num_rows

    return LayerSource(path=path, info=info, schema=fields, read=read)
