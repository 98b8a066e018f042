"""GeoParquet 1.1 files written as a stream: WKB, bbox covering, zstd, chosen row groups.

The metadata is geopandas' own: it writes an empty layer of the same CRS, and of what it wrote
only the bounds, the geometry types and the name of the covering column are filled in.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from geo_assets.errors import ContractError
from geo_assets.rules.batches import read_batches

GEOMETRY = "geometry"
COVERING = "bbox"
COMPRESSION_LEVEL = 3
_VERIFY_ROWS = 16_384
_BOX = ("xmin", "ymin", "xmax", "ymax")
_BOX_TYPE = pa.struct([(name, pa.float64()) for name in _BOX])


def geo_schema(
    attributes: pa.Schema,
    crs: CRS | None,
    *,
    geometry_types: Sequence[str] = (),
    bounds: Sequence[float] | None = None,
    covering: str | None = COVERING,
) -> pa.Schema:
    """The Arrow schema of a GeoParquet file, with its metadata.

    Args:
        attributes: The columns before the geometry.
        crs: The CRS; None writes null, which means unknown.
        geometry_types: What the file holds, such as `Polygon` or `Point Z`.
        bounds: x min, y min, x max, y max; left out where None or not finite.
        covering: Name of the bounding box column; None for a file without.
    """
    template, field = _template(None if crs is None else crs.to_json())
    column = json.loads(template)
    entry = column["columns"][GEOMETRY]
    entry["geometry_types"] = sorted(geometry_types)
    entry.pop("bbox", None)
    if bounds is not None and np.isfinite(bounds).all():
        entry["bbox"] = [float(value) for value in bounds]
    if covering is None:
        del entry["covering"]
    else:
        entry["covering"]["bbox"] = {name: [covering, name] for name in _BOX}
    fields = [*attributes, field, *([] if covering is None else [pa.field(covering, _BOX_TYPE)])]
    return pa.schema(fields, metadata={b"geo": json.dumps(column).encode()})


@lru_cache(maxsize=16)
def _template(crs_json: str | None) -> tuple[bytes, pa.Field]:
    """The `geo` entry and the geometry field of an empty layer that geopandas writes."""
    crs = None if crs_json is None else CRS.from_json(crs_json)
    empty = gpd.GeoDataFrame({GEOMETRY: gpd.GeoSeries([], crs=crs)}, geometry=GEOMETRY, crs=crs)
    buffer = io.BytesIO()
    empty.to_parquet(buffer, write_covering_bbox=True, schema_version="1.1.0", index=False)
    schema = pq.read_schema(io.BytesIO(buffer.getvalue()))
    return schema.metadata[b"geo"], schema.field(GEOMETRY)


def bbox_array(bounds: NDArray[np.float64]) -> pa.StructArray:
    """The covering column of bounds with shape (n, 4); NaN (null, empty) becomes a null box."""
    missing = ~np.isfinite(bounds).all(axis=1)
    parts = [pa.array(np.ascontiguousarray(bounds[:, i]), mask=missing) for i in range(4)]
    return pa.StructArray.from_arrays(parts, fields=list(_BOX_TYPE), mask=pa.array(missing))


def type_codes(geoms: NDArray[np.object_]) -> NDArray[np.uint8]:
    """A code for each geometry's type and dimension; `NO_TYPE` for null."""
    codes = shapely.get_type_id(geoms) * 2 + shapely.has_z(geoms)
    return np.where(codes < 0, NO_TYPE, codes).astype(np.uint8)


def type_names(codes: Iterable[int]) -> tuple[str, ...]:
    """GeoParquet's names for codes of `type_codes`: `Polygon`, `Point Z`; sorted."""
    return tuple(sorted(
        _TYPE_NAMES[code // 2] + (" Z" if code % 2 else "") for code in codes if code != NO_TYPE
    ))  # fmt: skip


NO_TYPE = 255
_TYPE_NAMES = ("Point", "LineString", "LinearRing", "Polygon", "MultiPoint", "MultiLineString",
               "MultiPolygon", "GeometryCollection")  # fmt: skip


class LayerWriter:
    """One GeoParquet file; each table given to `write` becomes one row group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self._schema = schema
        self.rows = 0
        attributes = [field.name for field in schema if field.name != GEOMETRY]
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            # A dictionary of geometries only costs; bounding boxes rarely repeat either.
            use_dictionary=[name for name in attributes if schema.field(name).type != _BOX_TYPE],
            write_statistics=True,
            write_page_checksum=True,  # parts of the file may be fetched and verified alone
        )

    def write(self, table: pa.Table) -> None:
        """Append `table` as one row group."""
        if table.num_rows:
            self._writer.write_table(table.cast(self._schema), row_group_size=table.num_rows)
            self.rows += table.num_rows

    def close(self) -> None:
        """Finish the file and read it back, every page of it.

        Raises:
            ContractError: What was written is not what is read.
        """
        self._writer.close()
        verify(self.path, self._schema, self.rows)


def verify(path: Path, schema: pa.Schema, rows: int) -> None:
    """Open a GeoParquet file and read all of it, a batch at a time.

    Raises:
        ContractError: It cannot be read, or its rows, columns or metadata are not as stated.
    """
    got: dict[str, Any] = {}
    try:
        with pq.ParquetFile(path) as file:
            read = sum(batch.num_rows for batch in read_batches(file, _VERIFY_ROWS))
            got = {"rows": read, "columns": file.schema_arrow.names}
            geo = (file.schema_arrow.metadata or {}).get(b"geo")
    except (OSError, pa.ArrowException) as error:
        raise ContractError("A written file can be read", str(error), path.name) from None
    want = {"rows": rows, "columns": schema.names}
    if got != want or geo != (schema.metadata or {}).get(b"geo"):
        raise ContractError(f"A written file holds {want}", f"{got}", path.name)
