"""Repair of a coverage: gaps and overlaps up to a declared width are closed, and accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geo_assets.errors import ConfigError
from geo_assets.kernels.geoparquet import (
    GEOMETRY,
    LayerWriter,
    bbox_array,
    geo_schema,
    type_codes,
    type_names,
)
from geo_assets.kernels.spool import decode, geometry_column
from geo_assets.model import PARQUET, KernelResult, OutputFile
from geo_assets.rules.coverage import (
    CoverageRules,
    coverage_defects,
    duplicate_pairs,
    polygonal,
    void_areas,
)
from geo_assets.rules.found import Geometries, Metric, Rows
from geo_assets.rules.gaps import gaps

CLEANED, CHANGES = "cleaned.parquet", "changes.parquet"
"""The layer, and what changed in it."""

_ROWS = 16_384
_STRATEGIES = ("longest_border", "max_area", "min_area", "min_index")
_MEMORY_FIXED = 100 << 20
_MEMORY_PER_BYTE = 60

_CHANGES = pa.schema(
    [
        pa.field("area_before_m2", pa.float64()),
        pa.field("area_after_m2", pa.float64()),
        pa.field("changed_m2", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanSpec:
    """Spec of `clean_coverage`."""

    layer: Path
    """A local GeoParquet file with WKB geometry."""
    key: str
    """Column that names a feature."""
    width_m: float
    """Gaps and overlaps up to this width are closed, wider ones stay; metres."""
    tolerance_m: float = 0.001
    """Vertices this near are made one; metres."""
    strategy: str = "longest_border"
    """Which feature an overlap goes to: longest_border, max_area, min_area or min_index."""

    def __post_init__(self) -> None:
        if self.strategy not in _STRATEGIES:
            raise ConfigError(f"strategy is one of {', '.join(_STRATEGIES)}", repr(self.strategy))
        if not (np.isfinite(self.width_m) and self.width_m >= self.tolerance_m >= 0):
            got = f"width_m {self.width_m!r}, tolerance_m {self.tolerance_m!r}"
            raise ConfigError("width_m is a number of metres, at least tolerance_m", got)


def predicted_bytes(spec: CleanSpec) -> int:
    """Memory that `clean_coverage` needs: it holds the layer whole."""
    footer = pq.read_metadata(spec.layer)
    groups = (footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
    return _MEMORY_FIXED + _MEMORY_PER_BYTE * int(sum(groups))


def clean_coverage(spec: CleanSpec, workdir: Path) -> KernelResult:
    """Close gaps and overlaps of a coverage with GEOS's coverage_clean.

    Only features that take part in a defect up to the declared width are handed to GEOS, with
    their neighbours; features that overlap another by more, or touch an invalid one, are
    left as they are, and so are invalid ones, duplicates and everything else. A feature whose
    shape stays the same keeps its bytes.

    Returns:
        `cleaned.parquet`: the layer, same rows, columns and CRS. `changes.parquet`: key,
        area_before_m2, area_after_m2 and changed_m2 (the area that was gained or lost) of every
        feature that changed. Facts: `changed`, `changed_m2`, `kept` (features left alone because
        they overlap another by more than the width, or touch an invalid one).
    """
    column = geometry_column(spec.layer)
    assert column.crs is not None
    table = pq.read_table(spec.layer, use_threads=False)
    before: Geometries = decode(table.column(column.name).to_numpy())
    bounds = shapely.bounds(before)
    finite = np.isfinite(bounds).all(axis=1)
    y_range = (
        (float(bounds[finite, 1].min()), float(bounds[finite, 3].max()))
        if finite.any()
        else (0.0, 0.0)
    )
    metric = Metric(column.crs.to_wkt(), y_range)
    chosen, kept = _chosen(before, spec, metric)
    after = before.copy()
    if len(chosen):
        after[chosen] = shapely.coverage_clean(
            before[chosen],
            gap_width=metric.small_units(spec.width_m),
            snapping_distance=metric.small_units(spec.tolerance_m),
            merge_strategy=spec.strategy,
        )
        same = chosen[shapely.equals(before[chosen], after[chosen])]
        after[same] = before[same]
    changed = np.flatnonzero(~shapely.equals_identical(before, after) & finite)
    layer = _write_layer(table, column.name, after, changed, column.crs, workdir / CLEANED)
    changes = _account(before[changed], after[changed], metric)
    keys = pa.table({spec.key: table.column(spec.key).take(pa.array(changed))})
    for name, values in changes.items():
        keys = keys.append_column(name, pa.array(values))
    pq.write_table(keys, workdir / CHANGES, compression="zstd")
    facts = {
        "changed": len(changed),
        "changed_m2": float(changes["changed_m2"].sum()),
        "kept": kept,
    }
    files = (layer, OutputFile.of(workdir / CHANGES, CHANGES, PARQUET, roles=("metadata",)))
    return KernelResult(files=files, facts=facts)


def _chosen(geometries: Geometries, spec: CleanSpec, metric: Metric) -> tuple[Rows, int]:
    """Features near a defect that may be closed, and how many are too far off to be touched."""
    with np.errstate(invalid="ignore"):
        valid = shapely.is_valid(geometries)
    rows = np.flatnonzero(polygonal(geometries, valid))
    pairs = duplicate_pairs(geometries[rows], metric.small_units(spec.tolerance_m))
    rows = np.delete(rows, pairs[:, 1])
    rules = CoverageRules(gap_width_m=spec.width_m, tolerance_m=spec.tolerance_m)
    everything = np.ones(len(rows), np.bool_)
    piece = coverage_defects(geometries[rows], rows, everything, rules, metric)
    found = [*piece.found, *gaps(piece.loose, geometries[:0], rules, metric)]
    wide = {
        row
        for one in found
        for row in one.rows
        if one.kind == "overlap" and (one.size_m or 0.0) > spec.width_m
    }
    # What an invalid feature leaves open is its own place, however narrow: nobody may fill it.
    voids = void_areas(geometries[~valid])
    wide |= set(rows[shapely.STRtree(voids).query(geometries[rows], predicate="intersects")[0]])
    near = {row for one in found for row in one.rows} - wide
    if not near:
        return np.empty(0, np.int64), len(wide)
    free = np.setdiff1d(rows, np.array(sorted(wide), np.int64))
    tree = shapely.STRtree(geometries[free])
    touched = tree.query(geometries[np.array(sorted(near))], predicate="intersects")[1]
    return free[np.unique(touched)], len(wide)


def _write_layer(
    table: pa.Table,
    name: str,
    after: Geometries,
    changed: NDArray[np.int64],
    crs: Any,
    path: Path,
) -> OutputFile:
    wkb = table.column(name).to_numpy().copy()
    wkb[changed] = shapely.to_wkb(after[changed])
    attributes = [n for n in table.column_names if n not in (name, "bbox")]
    bounds = shapely.bounds(after)
    known = np.isfinite(bounds).all(axis=1)
    total = (
        [*bounds[known, :2].min(axis=0), *bounds[known, 2:].max(axis=0)] if known.any() else None
    )
    types = type_names(np.unique(type_codes(after)).tolist())
    fields = pa.schema([table.schema.field(n) for n in attributes])
    schema = geo_schema(fields, crs, geometry_types=types, bounds=total)
    columns = {n: table.column(n) for n in attributes}
    columns |= {
        GEOMETRY: pa.array(list(wkb), schema.field(GEOMETRY).type),
        "bbox": bbox_array(bounds),
    }
    whole = pa.table(columns, schema=schema)
    writer = LayerWriter(path, schema)
    for start in range(0, whole.num_rows, _ROWS):
        writer.write(whole.slice(start, _ROWS))
    writer.close()
    return OutputFile.of(path, CLEANED, PARQUET)


def _account(
    before: Geometries, after: Geometries, metric: Metric
) -> Mapping[str, NDArray[np.float64]]:
    moved = shapely.symmetric_difference(before, after)
    return {
        name: shapely.area(metric.metres(shapes))
        for name, shapes in zip(_CHANGES.names, (before, after, moved), strict=True)
    }
