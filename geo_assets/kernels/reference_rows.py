"""Looking up the keys of one table among those of another, one row group at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyproj import CRS, Transformer

from geo_assets.kernels.references import ReferenceSpec
from geo_assets.model import MAX_SAMPLES, Defect, Findings
from geo_assets.rules.geo_metadata import GeoColumn, geo_json, read_geo_column


def unknown_references(spec: ReferenceSpec) -> Findings:
    """The findings of `geo_assets.kernels.references.check_references`."""
    absent = [
        Defect(kind="missing_column", detail=f"{path.name} has no column {column!r}")
        for paths, column in ((spec.paths, spec.column), (spec.to_paths, spec.to_key))
        for path in paths
        if column not in pq.read_schema(path).names
    ]
    if absent:
        return Findings.of(absent, checked=0)
    keys = _keys(spec.to_paths, spec.to_key)
    findings = Findings(checked=0)
    for path in spec.paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                findings += _of_group(file, group, path, spec, keys)
    return findings


def _keys(paths: Sequence[Path], column: str) -> pa.Array:
    """Every key once."""
    parts = [pq.read_table(path, columns=[column])[column] for path in paths]
    chunks = [chunk for part in parts for chunk in _plain(part).chunks]
    return pc.unique(pa.chunked_array(chunks)) if chunks else pa.array([], pa.string())


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Integers of any width as one type, and everything else as text: keys compare by value."""
    wide = pa.int64() if pa.types.is_integer(column.type) else pa.string()
    return column.cast(wide)


def _of_group(
    file: pq.ParquetFile, group: int, path: Path, spec: ReferenceSpec, keys: pa.Array
) -> Findings:
    values = _plain(file.read_row_group(group, columns=[spec.column])[spec.column])
    if values.type != keys.type:
        values, keys = values.cast(pa.string()), keys.cast(pa.string())
    empty = pc.is_null(values)
    unknown = pc.and_not(pc.invert(pc.is_in(values, value_set=keys)), empty)
    bad = unknown if spec.nulls else pc.or_(unknown, empty)
    rows = pc.indices_nonzero(bad).to_pylist()[:MAX_SAMPLES]
    places = list(_places(file, group, path, rows))
    samples = []
    for row, (lon, lat) in zip(rows, places, strict=True):
        value = values[row].as_py()
        kind = "null_reference" if value is None else "unknown_reference"
        detail = (f"{spec.column} is null." if value is None
                  else f"{spec.column} {value!r} is no {spec.to_key} there.")  # fmt: skip
        feature = None if value is None else str(value)
        samples.append(Defect(kind=kind, feature=feature, lon=lon, lat=lat, detail=detail))
    counts = {"unknown_reference": pc.sum(unknown).as_py() or 0,
              "null_reference": 0 if spec.nulls else values.null_count}  # fmt: skip
    found = {kind: number for kind, number in counts.items() if number}
    return Findings(checked=len(values), counts=found, samples=tuple(samples))


def _places(
    file: pq.ParquetFile, group: int, path: Path, rows: Sequence[int]
) -> Iterator[tuple[float | None, float | None]]:
    """Longitude and latitude of the centres of some rows' bounding boxes."""
    column = _geo_column(path) if rows else None
    if column is None or column.covering is None or column.crs is None:
        yield from ((None, None) for _ in rows)
        return
    to_degrees = _transformer(column.crs.to_wkt())
    boxes = file.read_row_group(group, columns=[column.covering])[column.covering]
    for row in rows:
        box: dict[str, Any] | None = boxes[row].as_py()
        if box is None or None in box.values():
            yield None, None
            continue
        x, y = (box["xmin"] + box["xmax"]) / 2, (box["ymin"] + box["ymax"]) / 2
        lon, lat = to_degrees.transform(x, y)
        yield (lon, lat) if math.isfinite(lon) and math.isfinite(lat) else (None, None)


def _geo_column(path: Path) -> GeoColumn | None:
    return read_geo_column(path) if geo_json(path) is not None else None


@lru_cache(maxsize=4)
def _transformer(wkt: str) -> Transformer:
    return Transformer.from_crs(CRS.from_wkt(wkt), "OGC:CRS84", always_xy=True)
