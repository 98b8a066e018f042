"""Schema rules: does a GeoParquet file follow its specification, and the declared schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyproj import CRS
from pyproj.exceptions import CRSError

from geo_assets.errors import InputError
from geo_assets.model import Defect, Findings
from geo_assets.rules.column_types import parse_type
from geo_assets.rules.geo_metadata import geo_json
from geo_assets.rules.keys import KeySet

_TYPE = re.compile(
    r"(Point|LineString|Polygon|MultiPoint|MultiLineString|MultiPolygon|GeometryCollection)( Z)?\Z"
)
_ENCODINGS = ("WKB", "point", "linestring", "polygon", "multipoint", "multilinestring",
              "multipolygon")  # fmt: skip
_BOX = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRules:
    """The declared schema."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Column to type text; empty allows any columns."""
    extra_columns: bool = False
    """Undeclared columns are allowed too."""
    key: str | None = None
    """A column that is unique and never null."""


def check_schema(paths: Sequence[Path], rules: SchemaRules) -> Findings:
    """Hold the parts of a layer against the GeoParquet specification and the declared schema.

    Reads footers, and the key column one row group at a time.

    Returns:
        Kinds of `conformance`; `missing_column`, `unexpected_column`, `wrong_type` (once per
        column and file); `null_key`, `duplicate_key` (once per feature).
    """
    findings = Findings(checked=0)
    for path in paths:
        found = [*conformance(path)]
        if not any(defect.kind == "not_parquet" for defect in found):
            found += _columns(path, rules)
        findings = findings + Findings.of(found, checked=0)
    if rules.key is None or "missing_column" in findings.counts or "not_parquet" in findings.counts:
        return findings
    return findings + _check_key(paths, rules.key)


def conformance(path: Path) -> Iterator[Defect]:
    """What in a file's footer is against the GeoParquet specification (1.0 and 1.1).

    Kinds: `not_parquet`, `no_geo_metadata`, `bad_geo_metadata`.
    """
    try:
        geo = geo_json(path)
    except InputError as error:
        yield Defect(kind="not_parquet", detail=f"{path.name}: {error.got}")
        return
    if geo is None:
        yield Defect(kind="no_geo_metadata", detail=f"{path.name} has no geo entry in its footer")
        return
    schema = pq.read_schema(path)
    for detail in _metadata(geo, schema):
        yield Defect(kind="bad_geo_metadata", detail=f"{path.name}: {detail}")


def _metadata(geo: Mapping[str, Any], schema: pa.Schema) -> Iterator[str]:
    version = geo.get("version")
    if not isinstance(version, str) or not version.startswith(("1.0.", "1.1.")):
        yield f"version is {version!r}, not 1.0 or 1.1"
    columns = geo.get("columns")
    if not isinstance(columns, dict) or not columns:
        yield "columns is empty"
        return
    if geo.get("primary_column") not in columns:
        yield f"primary_column {geo.get('primary_column')!r} is not among columns"
    for name, column in columns.items():
        if name not in schema.names:
            yield f"geometry column {name!r} is not in the file"
        elif not isinstance(column, dict):
            yield f"the entry of {name!r} is not an object"
        else:
            for detail in _geometry_column(column, schema, schema.field(name).type):
                yield f"{name}: {detail}"


def _geometry_column(
    column: Mapping[str, Any], schema: pa.Schema, kind: pa.DataType
) -> Iterator[str]:
    encoding = column.get("encoding")
    if encoding not in _ENCODINGS:
        yield f"encoding is {encoding!r}"
    if encoding == "WKB" and not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        yield f"WKB is in a column of type {kind}"
    types = column.get("geometry_types")
    if not isinstance(types, list) or not all(_TYPE.match(str(each)) for each in types):
        yield f"geometry_types is {types!r}"
    elif len(set(types)) != len(types):
        yield "geometry_types names a type twice"
    if column.get("crs") is not None:
        try:
            CRS.from_user_input(column["crs"])
        except CRSError as error:
            yield f"crs is no PROJJSON: {error}"
    bbox = column.get("bbox", [0, 0, 0, 0])
    numbers = isinstance(bbox, list) and all(isinstance(value, int | float) for value in bbox)
    if not numbers or len(bbox) not in (4, 6) or bbox[1] > bbox[len(bbox) // 2 + 1]:
        yield f"bbox is {bbox!r}"
    if column.get("edges", "planar") not in ("planar", "spherical"):
        yield f"edges is {column['edges']!r}"
    if column.get("orientation", "counterclockwise") != "counterclockwise":
        yield f"orientation is {column['orientation']!r}"
    if "covering" in column:
        yield from _covering(column["covering"], schema)


def _covering(covering: Any, schema: pa.Schema) -> Iterator[str]:
    try:
        paths = [covering["bbox"][name] for name in _BOX]
        names = {path[0] for path in paths}
        fields = [schema.field(path[0]).type.field(path[1]).type for path in paths]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        yield f"covering does not lead to a bounding box column: {error}"
        return
    if len(names) != 1 or not all(pa.types.is_floating(kind) for kind in fields):
        yield "covering is no struct of floating point numbers"


def _columns(path: Path, rules: SchemaRules) -> Iterator[Defect]:
    schema = pq.read_schema(path)
    for name, text in rules.columns.items():
        if name not in schema.names:
            yield Defect(kind="missing_column", detail=f"{path.name} has no column {name!r}")
        elif (got := schema.field(name).type) != parse_type(text):
            yield Defect(kind="wrong_type", detail=f"{path.name}: {name} is {got}, not {text}")
    if rules.key is not None and rules.key not in schema.names and rules.key not in rules.columns:
        yield Defect(kind="missing_column", detail=f"{path.name} has no key column {rules.key!r}")
    if rules.columns and not rules.extra_columns:
        known = {*rules.columns, rules.key, *_own(path)}
        for name in schema.names:
            if name not in known:
                yield Defect(kind="unexpected_column", detail=f"{path.name} has a column {name!r}")


def _own(path: Path) -> set[str]:
    """The columns that are there for the geometry."""
    geo = geo_json(path) or {}
    names: set[str] = set()
    for name, column in (geo.get("columns") or {}).items():
        names.add(name)
        try:
            names.add(column["covering"]["bbox"]["xmin"][0])
        except (KeyError, TypeError, IndexError):
            continue
    return names


def _check_key(paths: Sequence[Path], key: str) -> Findings:
    keys, rows = KeySet(), 0
    nulls: list[Defect] = []
    for part in _key_batches(paths, key):
        empty = part.is_null().to_numpy(zero_copy_only=False).nonzero()[0] + rows
        nulls += [Defect(kind="null_key", detail=f"{key} is null in row {row}") for row in empty]
        keys.add(part.drop_null())
        rows += len(part)
    values = (part.drop_null() for part in _key_batches(paths, key))
    twice = [
        Defect(kind="duplicate_key", feature=str(value), detail=f"{key} {value!r} occurs before")
        for value in keys.repeated_values(values)
    ]
    return Findings.of([*nulls, *twice], checked=rows)


def _key_batches(paths: Sequence[Path], key: str) -> Iterator[pa.Array]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=[key]).column(0).combine_chunks()
