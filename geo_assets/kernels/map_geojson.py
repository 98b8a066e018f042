"""Features in longitude and latitude as GeoJSON, simplified until they fit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from geo_assets.errors import InputError
from geo_assets.kernels.map_layer import MapLayerSpec
from geo_assets.model import KernelResult, OutputFile
from geo_assets.rules.found import Metric
from geo_assets.rules.geo_metadata import GeoColumn, read_geo_column
from geo_assets.rules.wkb import read_wkb

_ROWS = 8192
_COLUMNS = 24
_TEXT = 200
_DECIMALS = 6
"""Of degrees: 0.1 m."""
_STEPS = (0, 16_384, 8192, 4096, 2048, 1024)
"""Tolerances tried, as parts of the layer's longer side; 0 keeps every vertex."""


@dataclass(slots=True)
class _Layer:
    geoms: NDArray[np.object_]
    """In the layer's CRS."""
    properties: list[dict[str, Any]]
    total: int


def draw(spec: MapLayerSpec, workdir: Path) -> KernelResult:
    """Draw a layer as GeoJSON: see `map_layer.map_layer`."""
    column = read_geo_column(spec.paths[0])
    if column.crs is None:
        raise InputError("A layer on a map has a CRS", "none", spec.paths[0].name)
    layer = _read(spec, column)
    box = shapely.total_bounds(layer.geoms) if len(layer.geoms) else np.full(4, np.nan)
    side = float(max(box[2] - box[0], box[3] - box[1])) if np.isfinite(box).all() else 0.0
    lonlat = Transformer.from_crs(column.crs, "OGC:CRS84", always_xy=True)
    small = sum(path.stat().st_size for path in spec.paths) <= spec.max_bytes
    tolerance = 0.0
    for step in _STEPS if small else _STEPS[1:]:
        tolerance = side / step if step else 0.0
        texts = _features(_simplified(layer.geoms, tolerance), layer.properties, lonlat)
        if sum(map(len, texts)) <= spec.max_bytes:
            break
    kept = _fitting(texts, spec.max_bytes)
    marks = _features(_middles(layer.geoms), layer.properties, lonlat) if spec.marks else None
    path = workdir / "layer.json"
    path.write_text(_document(kept, marks), encoding="utf-8")
    metres = tolerance * _metres(column, box) if side else 0.0
    facts = {
        "bbox": _bbox(layer.geoms, lonlat),
        "features": layer.total,
        "drawn": len(kept),
        "tolerance_m": metres,
        "note": _note(layer.total, len(kept), metres),
        "counts": _kinds(layer.properties),
    }
    return KernelResult(files=(OutputFile.of(path, path.name, "application/json"),), facts=facts)


def _read(spec: MapLayerSpec, column: GeoColumn) -> _Layer:
    total = sum(read_geo_column(path).rows for path in spec.paths)
    wanted = _wanted(spec, column, total)
    geoms: list[NDArray[np.object_]] = []
    properties: list[dict[str, Any]] = []
    start = 0
    for batch in _batches(spec.paths, None):
        rows = wanted[(wanted >= start) & (wanted < start + len(batch))] - start
        start += len(batch)
        if not len(rows):
            continue
        part = batch.take(pa.array(rows))
        shapes = shapely.force_2d(read_wkb(part.column(column.name)))
        placed = np.isfinite(shapely.bounds(shapes)).all(axis=1)
        geoms.append(shapes[placed])
        shown = _shown(part, column)
        values = part.select(shown).to_pylist()
        properties += [
            {"_row": int(row) + start - len(batch)}
            | {name: _plain(value) for name, value in values[place].items() if value is not None}
            for place, row in enumerate(rows)
            if placed[place]
        ]
    found = np.concatenate(geoms) if geoms else np.array([], object)
    return _Layer(found, properties, total)


def _wanted(spec: MapLayerSpec, column: GeoColumn, total: int) -> NDArray[np.int64]:
    """Rows to draw, ascending: the largest, evenly spread among equals."""
    if total <= spec.max_features:
        return np.arange(total)
    sizes = []
    for batch in _batches(spec.paths, [column.name]):
        boxes = shapely.bounds(read_wkb(batch.column(0)))
        sizes.append(np.nan_to_num(boxes[:, 2:] - boxes[:, :2]).max(axis=1))
    size = np.concatenate(sizes)
    if not size.any():
        return np.linspace(0, total - 1, spec.max_features).astype(np.int64)
    return np.sort(np.argsort(-size, kind="stable")[: spec.max_features])


def _batches(paths: Sequence[Path], columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(_ROWS, columns=columns)


def _shown(part: pa.RecordBatch, column: GeoColumn) -> list[str]:
    """Columns a reader can make sense of."""
    hidden = {column.name, column.covering, "lon", "lat", "sha256"}
    plain = [
        field.name
        for field in part.schema
        if field.name not in hidden
        and not (pa.types.is_nested(field.type) or pa.types.is_binary(field.type)
                 or pa.types.is_large_binary(field.type))
    ]  # fmt: skip
    return plain[:_COLUMNS]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool | int):
        return value
    text = str(value)
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"


def _simplified(geoms: NDArray[np.object_], tolerance: float) -> NDArray[np.object_]:
    if not tolerance:
        return geoms
    slim = shapely.simplify(geoms, tolerance, preserve_topology=False)
    gone = shapely.is_empty(slim)
    slim[gone] = shapely.envelope(geoms[gone])  # a speck stays visible
    return np.asarray(slim)


def _middles(geoms: NDArray[np.object_]) -> NDArray[np.object_]:
    boxes = shapely.bounds(geoms)
    return np.asarray(shapely.points((boxes[:, :2] + boxes[:, 2:]) / 2))


def _lonlat(geoms: NDArray[np.object_], lonlat: Transformer) -> NDArray[np.object_]:
    def turned(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(lonlat.transform(xy[:, 0], xy[:, 1])).round(_DECIMALS)

    return np.asarray(shapely.transform(geoms, turned))


def _features(
    geoms: NDArray[np.object_], properties: list[dict[str, Any]], lonlat: Transformer
) -> list[str]:
    placed = _lonlat(geoms, lonlat)
    known = np.isfinite(shapely.bounds(placed)).all(axis=1) if len(placed) else []
    return [
        f'{{"type":"Feature","geometry":{shapely.to_geojson(geom)},"properties":'
        f"{json.dumps(values, ensure_ascii=False)}}}"
        for geom, values, fine in zip(placed, properties, known, strict=True)
        if fine
    ]


def _fitting(texts: list[str], limit: int) -> list[str]:
    """As many features as fit, evenly thinned."""
    size = sum(map(len, texts))
    if size <= limit:
        return texts
    keep = max(1, int(len(texts) * limit / size))
    places = np.unique(np.linspace(0, len(texts) - 1, keep).astype(int))
    return [texts[place] for place in places]


def _document(shapes: list[str], marks: list[str] | None) -> str:
    def collection(features: list[str]) -> str:
        return f'{{"type":"FeatureCollection","features":[{",".join(features)}]}}'

    parts = [f'"shapes":{collection(shapes)}']
    if marks is not None:
        parts.append(f'"marks":{collection(marks)}')
    return f"{{{','.join(parts)}}}\n"


def _bbox(geoms: NDArray[np.object_], lonlat: Transformer) -> list[float] | None:
    if not len(geoms):
        return None
    boxes = shapely.box(*shapely.bounds(geoms).T)
    bounds = shapely.bounds(_lonlat(boxes, lonlat))
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    if not len(bounds):
        return None
    return [*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()]


def _metres(column: GeoColumn, box: NDArray[np.float64]) -> float:
    """Metres in a unit of the CRS, at most."""
    assert column.crs is not None
    return 1.0 / Metric(column.crs.to_wkt(), (float(box[1]), float(box[3]))).small_units(1.0)


def _note(total: int, drawn: int, tolerance_m: float) -> str:
    text = f"{total:,} features" if drawn == total else f"{drawn:,} of {total:,} features"
    if tolerance_m:
        return f"{text}, outlines simplified to {tolerance_m:.2g} m"
    return text


def _kinds(properties: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for values in properties:
        if isinstance(kind := values.get("kind"), str):
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items())) if len(counts) <= 12 else {}
