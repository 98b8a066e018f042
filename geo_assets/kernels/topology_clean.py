"""Repair of a coverage: gaps and overlaps up to a declared width are closed, and accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geo_assets.kernels.changes import CHANGES, ChangeLog, Changes
from geo_assets.kernels.geoparquet import LayerWriter, bbox_array, geo_schema, type_codes
from geo_assets.kernels.geoparquet import type_names as names_of_types
from geo_assets.kernels.layer_spec import CleanSpec
from geo_assets.kernels.parquet_footer import footer_facts
from geo_assets.kernels.quarantine import lonlat_of, lonlat_transformer
from geo_assets.kernels.repair import areas_m2
from geo_assets.kernels.spool import geometry_column
from geo_assets.model import PARQUET, Defect, Findings, KernelResult, OutputFile
from geo_assets.rules.coverage import (
    coverage_defects,
    polygonal,
    void_areas,
)
from geo_assets.rules.duplicates import duplicate_pairs
from geo_assets.rules.found import Geometries, Metric, Rows, wider_than
from geo_assets.rules.gaps import gaps
from geo_assets.rules.geo_metadata import GeoColumn
from geo_assets.rules.topology import CoverageRules
from geo_assets.rules.wkb import read_wkb

CLEANED = "cleaned.parquet"
"""The cleaned layer."""

_TOLD = {
    "wide_overlap": "overlaps another feature by more than the width",
    "beside_invalid": "touches an invalid feature",
    "has_z": "has Z, which GEOS would mix up",
    "would_vanish": "nothing of it would be left",
    "other_type": "would become a geometry type that is not declared",
    "would_intrude": "would grow into a feature that is left alone",
}
"""Why a feature is left as it is."""

Left = dict[int, str]
"""Features left alone by their position in the layer, each with the reason."""


def clean_coverage(spec: CleanSpec, workdir: Path) -> KernelResult:
    """Close gaps and overlaps of a coverage with GEOS's coverage_clean.

    Only features that take part in a defect up to the declared width are handed to GEOS, with
    their neighbours. Features that cannot be cleaned without doing harm are left as they are (see
    `CoverageRepair`), and so are invalid ones, duplicates and everything else. A feature whose
    shape stays the same keeps its bytes.

    Returns:
        `cleaned.parquet`: the layer, same rows, columns and CRS. `changes.parquet` (see
        `ChangeLog`), if anything changed, with the earlier changes first. Facts: `repair` (the
        account of both), `left_alone` (findings), `geometry_types`, `bounds`.
    """
    column = geometry_column(spec.layer)
    assert column.crs is not None
    table = pq.read_table(spec.layer, use_threads=False)
    before: Geometries = read_wkb(table.column(column.name))
    bounds = shapely.bounds(before)
    finite = np.isfinite(bounds).all(axis=1)
    low, high = (bounds[finite, 1].min(), bounds[finite, 3].max()) if finite.any() else (0.0, 0.0)
    metric = Metric(column.crs.to_wkt(), (float(low), float(high)))
    after, left = _closed(before, spec, metric)
    changed = np.flatnonzero(~shapely.equals_identical(before, after) & finite)
    cleaned = _write(spec.layer, table, column, after, changed, workdir / CLEANED)
    log = ChangeLog(workdir / CHANGES, table.schema.field(spec.key), column.crs)
    if spec.earlier is not None:
        log.copy(spec.earlier)
    keys = table.column(spec.key)
    log.add(_changes(before[changed], after[changed], keys.take(pa.array(changed)), metric))
    changes = log.close(without=np.empty(0, np.int64))
    findings = _left_alone(left, before, keys, column)
    facts = {"repair": log.facts(), "left_alone": findings.as_dict(), **cleaned.facts}
    return KernelResult(files=(cleaned, *(() if changes is None else (changes,))), facts=facts)


def _closed(before: Geometries, spec: CleanSpec, metric: Metric) -> tuple[Geometries, Left]:
    """All features, cleaned where that does no harm, and those that were left alone."""
    chosen, left = _chosen(before, spec, metric)
    after = before.copy()
    while len(chosen):
        made = shapely.coverage_clean(
            before[chosen],
            gap_width=metric.small_units(spec.how.width_m),
            snapping_distance=metric.small_units(spec.how.tolerance_m),
            merge_strategy=spec.how.strategy,
        )
        made = _of_declared_type(made, spec.geometry_types)
        same = shapely.equals(before[chosen], made)
        made[same] = before[chosen[same]]
        harm = _harm(before, chosen, made, spec, metric)
        if not harm:
            after[chosen] = made
            break
        left |= harm
        chosen = np.setdiff1d(chosen, np.array(sorted(harm), np.int64))
    return after, left


def _of_declared_type(made: Geometries, types: tuple[str, ...]) -> Geometries:
    """Polygons as multi ones where only those are declared."""
    out = made.copy()
    if "Polygon" not in types:
        single = np.flatnonzero(
            (shapely.get_type_id(made) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(made)
        )
        out[single] = shapely.multipolygons(made[single], indices=np.arange(len(single)))
    return out


def _harm(
    before: Geometries, chosen: Rows, made: Geometries, spec: CleanSpec, metric: Metric
) -> Left:
    """Of the chosen features those that must not become what GEOS made of them."""
    harm: Left = {}
    for at in _intruding(before, chosen, made, spec, metric):
        harm[int(chosen[at])] = "would_intrude"
    many = shapely.get_type_id(made) == shapely.GeometryType.MULTIPOLYGON
    if "MultiPolygon" not in spec.geometry_types:
        harm |= {int(row): "other_type" for row in chosen[many]}
    return harm | {int(row): "would_vanish" for row in chosen[shapely.is_empty(made)]}


def _intruding(
    before: Geometries, chosen: Rows, made: Geometries, spec: CleanSpec, metric: Metric
) -> Rows:
    """Positions in `chosen` of features that would cover more of one that is left as it is."""
    moved = np.flatnonzero(~shapely.equals_identical(before[chosen], made))
    gained = shapely.difference(made[moved], before[chosen[moved]])
    rest = before.copy()
    rest[chosen] = None
    with np.errstate(invalid="ignore"):
        rest[~polygonal(rest, shapely.is_valid(rest))] = None
    at, other = shapely.STRtree(rest).query(gained, predicate="intersects")
    parts, index = shapely.get_parts(
        shapely.intersection(gained[at], rest[other]), return_index=True
    )
    areal = (shapely.get_dimensions(parts) == 2) & ~shapely.is_empty(parts)
    parts, index = parts[areal], index[areal]
    wide = wider_than(metric.metres(parts), spec.how.tolerance_m) if len(parts) else index > 0
    rows: Rows = np.unique(moved[at[index[wide]]])
    return rows


def _chosen(geometries: Geometries, spec: CleanSpec, metric: Metric) -> tuple[Rows, Left]:
    """Features near a defect that may be closed, and those that are not to be touched."""
    width, tolerance = spec.how.width_m, spec.how.tolerance_m
    with np.errstate(invalid="ignore"):
        valid = shapely.is_valid(geometries)
    rows = np.flatnonzero(polygonal(geometries, valid))
    pairs = duplicate_pairs(geometries[rows], metric.small_units(tolerance))
    rows = np.delete(rows, pairs[:, 1])
    rules = CoverageRules(gap_width_m=width, tolerance_m=tolerance)
    everything = np.ones(len(rows), np.bool_)
    piece = coverage_defects(geometries[rows], rows, everything, rules, metric)
    found = [*piece.found, *gaps(piece.loose, geometries[:0], rules, metric)]
    near = {row for one in found for row in one.rows}
    avoid = {int(row): "has_z" for row in rows[shapely.has_z(geometries[rows])]}
    # What an invalid feature leaves open is its own place, however narrow: nobody may fill it.
    voids = shapely.STRtree(void_areas(geometries[~valid]))
    beside = np.unique(voids.query(geometries[rows], predicate="intersects")[0])
    avoid |= {int(row): "beside_invalid" for row in rows[beside]}
    avoid |= {
        row: "wide_overlap"
        for one in found
        for row in one.rows
        if one.kind == "overlap" and (one.size_m or 0.0) > width
    }
    left = {row: why for row, why in avoid.items() if row in near}
    near -= avoid.keys()
    if not near:
        return np.empty(0, np.int64), left
    free = np.setdiff1d(rows, np.array(sorted(avoid), np.int64))
    tree = shapely.STRtree(geometries[free])
    touched = tree.query(geometries[np.array(sorted(near))], predicate="intersects")[1]
    return free[np.unique(touched)], left


def _changes(
    before: Geometries, after: Geometries, keys: pa.ChunkedArray, metric: Metric
) -> Changes:
    places = shapely.symmetric_difference(before, after)
    every = np.ones(len(before), np.bool_)
    return Changes(
        rows=np.full(len(before), -1),
        keys=keys.combine_chunks(),
        how=np.full(len(before), "coverage", object),
        before_m2=areas_m2(before, every, metric),
        after_m2=areas_m2(after, every, metric),
        changed_m2=areas_m2(places, every, metric),
        places=places,
        features=after,
    )


def _left_alone(
    left: Left, before: Geometries, keys: pa.ChunkedArray, column: GeoColumn
) -> Findings:
    """The features left alone, each with its reason and its place."""
    assert column.crs is not None
    rows = np.array(sorted(left), np.int64)
    places = lonlat_of(before[rows], lonlat_transformer(column.crs))
    names = keys.take(pa.array(rows)).to_pylist()
    return Findings.of(
        (
            Defect(kind=left[int(row)], feature=str(name), lon=place and place[0],
                   lat=place and place[1], detail=f"Left as it is: {_TOLD[left[int(row)]]}.")
            for row, name, place in zip(rows, names, places, strict=True)
        ),
        checked=len(before),
    )  # fmt: skip


def _write(
    source: Path,
    table: pa.Table,
    column: GeoColumn,
    after: Geometries,
    changed: NDArray[np.int64],
    path: Path,
) -> OutputFile:
    """The layer with other geometry, its columns and row groups as before."""
    wkb = table.column(column.name).to_numpy().copy()
    wkb[changed] = shapely.to_wkb(after[changed], flavor="iso")
    bounds = shapely.bounds(after)
    known = np.isfinite(bounds).all(axis=1)
    box = [*bounds[known, :2].min(axis=0), *bounds[known, 2:].max(axis=0)] if known.any() else None
    types = names_of_types(np.unique(type_codes(after)).tolist())
    own = (column.name, column.covering)
    attributes = pa.schema([field for field in table.schema if field.name not in own])
    covering = column.covering or "bbox"
    schema = geo_schema(attributes, column.crs, geometry_types=types, bounds=box,
                        covering=covering)  # fmt: skip
    columns = {name: table.column(name) for name in attributes.names}
    columns |= {
        "geometry": pa.array(list(wkb), schema.field("geometry").type),
        covering: bbox_array(bounds),
    }
    whole = pa.table(columns, schema=schema)
    writer = LayerWriter(path, schema)
    for start, rows in _row_groups(source):
        writer.write(whole.slice(start, rows))
    writer.close()
    facts = {"geometry_types": list(types),
             "bounds": None if box is None else list(map(float, box)),
             **footer_facts(path)}  # fmt: skip
    return OutputFile.of(path, CLEANED, PARQUET, facts=facts)


def _row_groups(path: Path) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each row group."""
    footer, start = pq.read_metadata(path), 0
    for number in range(footer.num_row_groups):
        rows = footer.row_group(number).num_rows
        yield start, rows
        start += rows
