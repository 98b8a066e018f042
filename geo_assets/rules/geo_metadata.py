"""What a GeoParquet footer says about its primary geometry column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyproj import CRS
from pyproj.exceptions import CRSError

from geo_assets.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoColumn:
    """The primary geometry column of a GeoParquet file."""

    name: str
    """Name of the column."""
    encoding: str
    """`WKB`, or a native encoding in lower case: `point`, `multipolygon`."""
    crs: CRS | None
    """The CRS; the format's default OGC:CRS84 where the key is absent, None where it is null."""
    geometry_types: tuple[str, ...]
    """Types the file says it holds, such as `Polygon` or `Point Z`; empty for unknown."""
    bbox: tuple[float, ...] | None
    """Bounds of the file: 4 numbers, or 6 with Z."""
    covering: str | None
    """The struct column with each feature's bounding box."""
    edges: str
    """`planar` or `spherical`."""
    rows: int
    """Number of rows in the file."""


def geo_json(path: Path) -> Mapping[str, Any] | None:
    """The `geo` entry of a Parquet footer, or None where there is none.

    Raises:
        InputError: The file is not Parquet, or the entry is not JSON.
    """
    try:
        entries = pq.read_metadata(path).metadata or {}
        text = entries.get(b"geo")
        value = None if text is None else json.loads(text)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError("A GeoParquet file has a readable footer", str(error), path.name) from None
    if value is not None and not isinstance(value, dict):
        raise InputError("The geo entry of a GeoParquet file is a JSON object", "", path.name)
    return value


def read_geo_column(path: Path) -> GeoColumn:
    """Read the footer of a GeoParquet file.

    Raises:
        InputError: The file is not Parquet, or has no usable `geo` entry.
    """
    geo = geo_json(path)
    if geo is None and (native := _native_column(path)) is not None:
        return native
    if geo is None:
        raise InputError("A GeoParquet file has a geo entry in its footer", "plain Parquet",
                         path.name, "Deliver GeoParquet, or a format with geometry.")  # fmt: skip
    try:
        name = geo["primary_column"]
        column = geo["columns"][name]
        covering = (column.get("covering") or {}).get("bbox")
        bbox = column.get("bbox")
        return GeoColumn(
            name=name,
            encoding=column["encoding"],
            crs=_crs(column),
            geometry_types=tuple(column.get("geometry_types") or ()),
            bbox=tuple(float(value) for value in bbox) if bbox else None,
            covering=covering["xmin"][0] if covering else None,
            edges=column.get("edges", "planar"),
            rows=pq.read_metadata(path).num_rows,
        )
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, CRSError) as error:
        raise InputError("The geo entry of a GeoParquet file follows its specification",
                         f"{type(error).__name__}: {error}", path.name) from None  # fmt: skip


def _native_column(path: Path) -> GeoColumn | None:
    """The first column of Parquet's own geometry type, in files without a `geo` entry."""
    with pq.ParquetFile(path) as file:
        for number, column in enumerate(file.schema):
            kind = json.loads(column.logical_type.to_json())
            if kind.get("Type") in ("Geometry", "Geography"):
                name = file.schema.column(number).path
                break
        else:
            return None
        try:
            crs = _native_crs(kind.get("crs") or "OGC:CRS84", file.metadata.metadata or {})
        except CRSError as error:
            raise InputError("A CRS is one that PROJ knows", str(error), path.name) from None
        edges = "planar" if kind["Type"] == "Geometry" else "spherical"
        return GeoColumn(name=name, encoding="WKB", crs=crs, geometry_types=(), bbox=None,
                         covering=None, edges=edges, rows=file.metadata.num_rows)  # fmt: skip


def _native_crs(text: str, entries: Mapping[bytes, bytes]) -> CRS:
    """`srid:5070`, `projjson:<entry of the footer>`, or what PROJ reads."""
    prefix, _, rest = text.partition(":")
    if prefix == "srid":
        return CRS.from_epsg(int(rest))
    if prefix == "projjson":
        return CRS.from_json(entries[rest.encode()].decode())
    return CRS.from_user_input(text)


def _crs(column: Mapping[str, Any]) -> CRS | None:
    """An absent `crs` means OGC:CRS84, a null one means unknown."""
    if "crs" not in column:
        return CRS.from_user_input("OGC:CRS84")
    return None if column["crs"] is None else CRS.from_user_input(column["crs"])
