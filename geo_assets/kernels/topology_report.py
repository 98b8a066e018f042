"""The report: what all pieces found, once each, with ids and places, as a GeoParquet layer."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj import CRS

from geo_assets.errors import InputError
from geo_assets.kernels.geoparquet import (
    LayerWriter,
    bbox_array,
    geo_schema,
    type_codes,
    type_names,
)
from geo_assets.kernels.spool import read_keys
from geo_assets.kernels.topology import REPORT, ReportSpec
from geo_assets.model import MAX_SAMPLES, PARQUET, Defect, Findings, KernelResult, OutputFile
from geo_assets.rules.found import Found, Geometries, Metric
from geo_assets.rules.gaps import gaps
from geo_assets.rules.segments import Segments

COLUMNS = pa.schema(
    [
        pa.field("kind", pa.string()),
        pa.field("ids", pa.string()),
        pa.field("lon", pa.float64()),
        pa.field("lat", pa.float64()),
        pa.field("size_m", pa.float64()),
        pa.field("area_m2", pa.float64()),
        pa.field("detail", pa.string()),
    ]
)
_ONCE = ("overlap", "duplicate", "gap")  # both features' chunks may report a pair
_ROWS = 65_536


def merge(spec: ReportSpec, workdir: Path) -> KernelResult:
    """`geo_assets.kernels.topology.merge_report`."""
    metric = Metric(spec.crs, spec.y_range)
    states = [_state(path) for path in spec.findings]
    found = [one for path in spec.findings for one in _read(path)]
    if spec.rules.coverage is not None:
        loose, voids = _segments(spec.segments), _voids(spec.voids)
        found += gaps(loose, voids, spec.rules.coverage, metric)
        found = _explained(_once(found), metric, spec.rules.coverage.tolerance_m)
    found += _mixed(states, declared=bool(spec.rules.shape.geometry_types))
    found.sort(key=lambda one: (one.kind, one.rows, shapely.to_wkb(one.geometry) or b""))
    names = _names(spec, found)
    places = _places(found, metric)
    _write(workdir / REPORT, found, names, places, metric.crs)
    checked = sum(state["checked"] for state in states)
    findings = _findings(found, names, places, checked)
    facts = {
        "findings": findings.as_dict(),
        "checked": checked,
        "flagged": sum(state["flagged"] for state in states),
        "bbox": _bbox(places),
    }
    file = OutputFile.of(workdir / REPORT, REPORT, PARQUET, facts={"rows": len(found)})
    return KernelResult(files=(file,), facts=facts)


def _state(path: Path) -> dict[str, Any]:
    metadata = pq.read_schema(path).metadata or {}
    state: dict[str, Any] = json.loads(metadata[b"topology"])
    return state


def _read(path: Path) -> Iterator[Found]:
    table = pq.read_table(path)
    shapes = shapely.from_wkb(table.column("geometry").to_numpy())
    for row, shape in zip(table.drop_columns(["geometry"]).to_pylist(), shapes, strict=True):
        yield Found(**(row | {"rows": tuple(row["rows"])}), geometry=shape)


def _segments(paths: tuple[Path, ...]) -> Segments:
    table = pa.concat_tables(pq.read_table(path) for path in paths)
    owner, x0, y0, x1, y1 = (column.to_numpy() for column in table.columns)
    # The order of segments decides on the last bit of a crossing: it must not depend on chunks.
    order = np.lexsort((y1, x1, y0, x0, owner))
    start, end = np.column_stack([x0, y0])[order], np.column_stack([x1, y1])[order]
    return Segments(start=start, end=end, owner=owner[order])


def _voids(paths: tuple[Path, ...]) -> Geometries:
    table = pa.concat_tables(pq.read_table(path) for path in paths)
    voids: Geometries = shapely.from_wkb(table.column("geometry").to_numpy())
    return voids


def _once(found: list[Found]) -> list[Found]:
    """Pairs once; the edges of one pair, seen from both sides, as one finding."""
    pairs: dict[tuple[str, tuple[int, ...]], Found] = {}
    edges: dict[tuple[int, ...], list[Found]] = defaultdict(list)
    rest = []
    for one in found:
        if one.kind == "unmatched_edge":
            edges[one.rows].append(one)
        elif one.kind in _ONCE and one.kind != "gap":
            pairs.setdefault((one.kind, one.rows), one)
        else:
            rest.append(one)
    return [*rest, *pairs.values(), *(_joined(several) for several in edges.values())]


def _joined(several: list[Found]) -> Found:
    parts = shapely.get_parts(np.array([one.geometry for one in several], object))
    unique = sorted(set(shapely.to_wkb(shapely.normalize(parts)).tolist()))
    lines = shapely.from_wkb(np.array(unique, object))
    return replace(several[0], geometry=shapely.multilinestrings(lines))


def _explained(found: list[Found], metric: Metric, tolerance_m: float) -> list[Found]:
    """Without the edges that end in a gap or an overlap of the same features; with lengths."""
    areas = [one for one in found if one.kind in ("overlap", "gap")]
    tree = shapely.STRtree([one.geometry for one in areas])
    reach = 2 * metric.units(tolerance_m)
    kept = []
    for one in found:
        if one.kind != "unmatched_edge":
            kept.append(one)
            continue
        lines = shapely.get_parts(one.geometry)
        if len(one.rows) > 1 and areas:
            line, area = tree.query(lines, predicate="dwithin", distance=reach)
            same = [set(one.rows) <= set(areas[at].rows) for at in area]
            lines = np.delete(lines, np.unique(line[np.array(same, bool)]))
        if len(lines):
            shape = shapely.multilinestrings(lines)
            length = float(shapely.length(metric.metres(lines)).sum())
            kept.append(replace(one, geometry=shape, size_m=length))
    return kept


def _mixed(states: list[dict[str, Any]], *, declared: bool) -> list[Found]:
    """A layer whose features are of several kinds, where no type is declared."""
    counts: dict[str, int] = defaultdict(int)
    for state in states:
        for name, number in state["types"].items():
            counts[name.removeprefix("Multi")] += number
    if declared or len(counts) < 2:
        return []
    text = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
    return [Found(kind="mixed_types", rows=(), geometry=None, detail=f"The layer holds {text}.")]


def _names(spec: ReportSpec, found: list[Found]) -> list[str]:
    """Each finding's ids, joined by `+`."""
    wanted = np.unique([row for one in found for row in one.rows]).astype(np.int64)
    text: dict[int, str] = {}
    start = 0
    for keys in read_keys(spec.layer, spec.key):
        here = wanted[(wanted >= start) & (wanted < start + len(keys))]
        chosen = keys.take(pa.array(here - start)).to_pylist()
        pairs = zip(here.tolist(), chosen, strict=True)
        text |= {row: f"row {row}" if key is None else str(key) for row, key in pairs}
        start += len(keys)
    if len(wanted) and start <= wanted[-1]:
        got = f"{start} rows, a finding about row {wanted[-1]}"
        raise InputError("The report is about the layer that was examined", got, spec.layer.name)
    return ["+".join(text[row] for row in one.rows) for one in found]


def _places(found: list[Found], metric: Metric) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Longitude and latitude of each finding, NaN where it has no place."""
    points = shapely.point_on_surface(np.array([one.geometry for one in found], object))
    xy = np.column_stack([shapely.get_x(points), shapely.get_y(points)]).reshape(-1, 2)
    return metric.lonlat(xy)


def _write(
    path: Path,
    found: list[Found],
    names: list[str],
    places: np.ndarray[Any, np.dtype[np.float64]],
    crs: CRS,
) -> None:
    shapes = np.array([one.geometry for one in found], object)
    bounds = shapely.bounds(shapes) if len(found) else np.empty((0, 4))
    known = np.isfinite(bounds).all(axis=1)
    total = (
        [*bounds[known, :2].min(axis=0), *bounds[known, 2:].max(axis=0)] if known.any() else None
    )
    types = type_names(np.unique(type_codes(shapes)).tolist())
    schema = geo_schema(COLUMNS, crs, geometry_types=types, bounds=total)
    columns = [
        pa.array([one.kind for one in found], pa.string()),
        pa.array(names, pa.string()),
        *(pa.array(column, pa.float64(), from_pandas=True) for column in places.T.copy()),
        pa.array([one.size_m for one in found], pa.float64()),
        pa.array([one.area_m2 for one in found], pa.float64()),
        pa.array([one.detail for one in found], pa.string()),
        pa.array(list(shapely.to_wkb(shapes)) if len(found) else [], pa.binary()),
        bbox_array(bounds),
    ]
    writer = LayerWriter(path, schema)
    table = pa.table(columns, names=schema.names)
    for start in range(0, table.num_rows, _ROWS):
        writer.write(table.slice(start, _ROWS))
    writer.close()


def _findings(
    found: list[Found],
    names: list[str],
    places: np.ndarray[Any, np.dtype[np.float64]],
    checked: int,
) -> Findings:
    chosen = _samples(found)
    defects = [
        Defect(kind=one.kind, feature=name or None, detail=one.detail, size_m=one.size_m,
               lon=None if np.isnan(place[0]) else float(place[0]),
               lat=None if np.isnan(place[1]) else float(place[1]))
        for one, name, place in ((found[at], names[at], places[at]) for at in chosen)
    ]  # fmt: skip
    counts = Counter(one.kind for one in found)
    return Findings(checked=checked, counts=dict(counts), samples=tuple(defects))


def _samples(found: list[Found]) -> list[int]:
    """Some of each kind, so that on the map none hides behind a frequent one."""
    seen: Counter[str] = Counter()
    rank = []
    for one in found:
        rank.append(seen[one.kind])
        seen[one.kind] += 1
    return sorted(sorted(range(len(found)), key=rank.__getitem__)[:MAX_SAMPLES])


def _bbox(places: np.ndarray[Any, np.dtype[np.float64]]) -> list[float] | None:
    """Longitudes and latitudes of all places: west, south, east, north."""
    known = places[np.isfinite(places).all(axis=1)]
    return [*known.min(axis=0).tolist(), *known.max(axis=0).tolist()] if len(known) else None
