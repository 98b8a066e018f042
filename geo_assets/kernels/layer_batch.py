"""One batch of a layer: every feature is kept in canonical form, or gets a reason why not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geo_assets.kernels.changes import Changes, changes_of
from geo_assets.kernels.geoparquet import GEOMETRY, bbox_array, type_codes
from geo_assets.kernels.layer_columns import ColumnPlan, cast_lossless
from geo_assets.kernels.repair import Repaired, repair
from geo_assets.kernels.reproject import Reprojection, crosses_antimeridian
from geo_assets.kernels.vector_model import SourceBatch
from geo_assets.policies import Repair
from geo_assets.rules.crs import misplaced
from geo_assets.rules.wkb import read_wkb

Geometries = NDArray[np.object_]
DELIVERED = "__delivered"
"""Scratch column with the row number in delivery order; never published."""
_MULTI = {
    shapely.GeometryType.POINT: ("MultiPoint", shapely.multipoints),
    shapely.GeometryType.LINESTRING: ("MultiLineString", shapely.multilinestrings),
    shapely.GeometryType.POLYGON: ("MultiPolygon", shapely.multipolygons),
}
_NAMES = np.array(["Point", "LineString", "LinearRing", "Polygon", "MultiPoint",
                   "MultiLineString", "MultiPolygon", "GeometryCollection"])  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRules:
    """What every batch of a layer is held against."""

    columns: ColumnPlan
    reprojection: Reprojection
    geometry_types: tuple[str, ...]
    promote: bool
    null_geometry: bool
    invalid: str
    repair: Repair
    quarantine_misplaced: bool
    extent: tuple[float, float, float, float] | None
    """West, south, east, north in degrees that features must touch."""
    covering: str
    """Name of the bounding box column."""
    where: str
    """The file, for messages."""

    @property
    def crs(self) -> CRS:
        """The CRS of the source."""
        return self.reprojection.source

    @property
    def scratch_schema(self) -> pa.Schema:
        """Columns of a kept batch: attributes, geometry, bounding box, row number."""
        box = bbox_array(np.zeros((0, 4))).type
        return pa.schema([
            *self.columns.schema,
            pa.field(GEOMETRY, pa.binary()),
            pa.field(self.covering, box),
            pa.field(DELIVERED, pa.int64()),
        ])  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What became of a batch. Arrays over the delivered features unless they say otherwise."""

    batch: pa.RecordBatch
    """The features kept, with the columns of `BatchRules.scratch_schema`."""
    bounds: NDArray[np.float64]
    """Shape (kept, 4), in the target CRS; NaN for null and empty geometry."""
    kinds: NDArray[np.uint8]
    """Shape (kept,), codes of `geoparquet.type_codes`."""
    source_geoms: Geometries
    source_bounds: NDArray[np.float64]
    """Shape (n, 4), in the source CRS."""
    reasons: NDArray[np.object_]
    """Why a feature is not kept, else None."""
    details: NDArray[np.object_]
    misplaced: int
    """Features whose coordinates cannot be in the source CRS, kept or not."""
    crossing: int
    """Features kept that cross the antimeridian."""
    m_dropped: int
    """Features kept that had M values."""
    changes: Changes | None
    """What was repaired of the features kept."""


class _Verdict:
    """Reasons against features; the first one counts."""

    def __init__(self, size: int) -> None:
        self.reasons = np.full(size, None, dtype=object)
        self.details = np.full(size, None, dtype=object)
        self.kept = np.ones(size, dtype=bool)

    def against(self, rows: NDArray[np.bool_], reason: str, detail: str | None = None) -> None:
        new = rows & self.kept
        self.reasons[new] = reason
        self.details[new] = detail
        self.kept &= ~new

    def against_each(
        self, rows: NDArray[np.bool_], reason: str, detail: Callable[[int], str]
    ) -> None:
        """The same with a detail for each feature."""
        for row in np.flatnonzero(rows & self.kept):
            self.reasons[row] = reason
            self.details[row] = detail(int(row))
            self.kept[row] = False


def take_batch(batch: SourceBatch, rules: BatchRules) -> Kept:
    """Hold one batch against the rules."""
    verdict = _Verdict(batch.attributes.num_rows)
    source_geoms = read_wkb(batch.wkb)
    source_bounds = shapely.bounds(source_geoms)
    _check_presence(batch, source_geoms, rules, verdict)
    _check_finite(source_geoms, verdict)
    wrong_place = _check_place(source_bounds, rules, verdict)
    _check_extent(source_bounds, rules, verdict)
    columns = _cast_columns(batch, rules, verdict)
    geoms, repaired = _target_geometry(source_geoms, rules, verdict)
    kept = verdict.kept
    geoms = geoms[kept]
    bounds = shapely.bounds(geoms)
    geographic = rules.reprojection.target.is_geographic
    result = _kept_batch(columns, kept, geoms, bounds, batch.row, rules)
    keys = result.column(rules.columns.key)
    return Kept(
        batch=result,
        bounds=bounds,
        kinds=type_codes(geoms),
        source_geoms=source_geoms,
        source_bounds=source_bounds,
        reasons=verdict.reasons,
        details=verdict.details,
        misplaced=wrong_place,
        crossing=int(crosses_antimeridian(geoms).sum()) if geographic else 0,
        m_dropped=int(shapely.has_m(source_geoms[kept]).sum()),
        changes=None if repaired is None else changes_of(repaired, kept, keys, batch.row),
    )


def _check_presence(
    batch: SourceBatch, geoms: Geometries, rules: BatchRules, verdict: _Verdict
) -> None:
    missing = shapely.is_missing(geoms)
    null = batch.wkb.is_null().to_numpy(zero_copy_only=False)
    verdict.against(missing & ~null, "unreadable_geometry", "not a geometry that GEOS can hold")
    if not rules.null_geometry:
        verdict.against(null, "null_geometry")
    if rules.geometry_types:
        names = _NAMES[shapely.get_type_id(geoms)]
        allowed = {*rules.geometry_types}
        if rules.promote:
            allowed |= {single.name for single, (multi, _) in _MULTI.items() if multi in allowed}
        folded = {name.upper() for name in allowed}
        wrong = ~missing & ~np.isin(np.char.upper(names), list(folded))
        for name in np.unique(names[wrong]):
            verdict.against(wrong & (names == name), "unexpected_type", str(name))


def _check_finite(geoms: Geometries, verdict: _Verdict) -> None:
    coords, owner = shapely.get_coordinates(geoms, return_index=True)
    finite = np.isfinite(coords).all(axis=1)
    if not finite.all():
        bad = np.zeros(len(geoms), dtype=bool)
        bad[owner[~finite]] = True
        verdict.against(bad, "non_finite")


def _check_place(bounds: NDArray[np.float64], rules: BatchRules, verdict: _Verdict) -> int:
    """Number of features that cannot be where they are said to be."""
    kinds = misplaced(bounds, rules.crs)
    wrong = kinds.astype(bool)
    if rules.quarantine_misplaced:
        for kind in np.unique(kinds[wrong].astype(str)):
            verdict.against(wrong & (kinds == kind), kind, f"cannot be in {rules.crs.name}")
    return int(wrong.sum())


def _check_extent(bounds: NDArray[np.float64], rules: BatchRules, verdict: _Verdict) -> None:
    """Features whose bounding box does not touch the declared extent."""
    if rules.extent is None:
        return
    west, south, east, north = rules.extent
    to_degrees = Transformer.from_crs(rules.crs, "OGC:CRS84", always_xy=True)
    corners = [to_degrees.transform(bounds[:, x], bounds[:, y]) for x in (0, 2) for y in (1, 3)]
    lons = np.stack([lon for lon, _ in corners])
    lats = np.stack([lat for _, lat in corners])
    with np.errstate(invalid="ignore"):
        outside = (lons.max(axis=0) < west) | (lons.min(axis=0) > east)
        outside |= (lats.max(axis=0) < south) | (lats.min(axis=0) > north)
    known = np.isfinite(bounds).all(axis=1)
    verdict.against(known & outside, "out_of_bounds", "outside the declared extent")


def _cast_columns(batch: SourceBatch, rules: BatchRules, verdict: _Verdict) -> list[pa.Array]:
    """The result's columns for all features; null where a value could not be cast."""
    arrays = []
    if rules.columns.created_key:
        arrays.append(pa.array(np.arange(batch.row, batch.row + batch.attributes.num_rows)))
    for name, result, kind in rules.columns.columns:
        values = batch.attributes.column(name)
        cast, lost = cast_lossless(values, kind, f"{rules.where}, column {name!r}")
        verdict.against_each(lost, "uncastable", partial(_uncastable, name, values, kind))
        if result == rules.columns.key:
            null = cast.is_null().to_numpy(zero_copy_only=False)
            verdict.against(null, "null_key", f"{name} is null")
        arrays.append(cast)
    return arrays


def _uncastable(name: str, values: pa.Array, kind: pa.DataType, row: int) -> str:
    return f"{name} = {values[row].as_py()!r:.80} is no {kind}"


def _target_geometry(
    source: Geometries, rules: BatchRules, verdict: _Verdict
) -> tuple[Geometries, Repaired | None]:
    """The geometries in the target CRS, valid and of the declared type where so declared."""
    geoms = np.array(source, dtype=object)
    kept = verdict.kept
    geoms[~kept] = None
    geoms, bad = rules.reprojection.apply(geoms)
    verdict.against(bad, "untransformable", f"no place in {rules.reprojection.target.name}")
    if rules.quarantine_misplaced and rules.reprojection.transformer is not None:
        # Some projections put what they cannot show at finite places beyond the edge of the map.
        beyond = misplaced(shapely.bounds(geoms), rules.reprojection.target).astype(bool)
        verdict.against(beyond, "untransformable", f"no place in {rules.reprojection.target.name}")
    geoms[~verdict.kept] = None
    repaired = None
    if rules.invalid == "quarantine":
        invalid = ~shapely.is_valid(geoms) & ~shapely.is_missing(geoms)
        verdict.against_each(
            invalid, "invalid_geometry", lambda row: str(shapely.is_valid_reason(geoms[row]))
        )
    elif rules.invalid == "repair":
        repaired = repair(geoms, rules.repair, rules.reprojection.target)
        geoms = repaired.geoms
        verdict.against(repaired.lost, "collapsed", "nothing is left after repair")
    return _promoted(geoms, rules), repaired


def _promoted(geoms: Geometries, rules: BatchRules) -> Geometries:
    """Single geometries as multi ones where only the multi type is declared."""
    types = {name.upper() for name in rules.geometry_types}
    if not types or not rules.promote:
        return geoms
    ids = shapely.get_type_id(geoms)
    for single, (multi, build) in _MULTI.items():
        if multi.upper() in types and single.name not in types:
            rows = np.flatnonzero((ids == single) & ~shapely.is_empty(geoms))
            if len(rows):
                geoms[rows] = build(geoms[rows], indices=np.arange(len(rows)))
    return geoms


def _kept_batch(
    columns: list[pa.Array],
    kept: NDArray[np.bool_],
    geoms: Geometries,
    bounds: NDArray[np.float64],
    first: int,
    rules: BatchRules,
) -> pa.RecordBatch:
    rows = np.flatnonzero(kept)
    chosen = columns if len(rows) == len(kept) else [
        column.take(pa.array(rows)) for column in columns
    ]  # fmt: skip
    arrays = [
        *chosen,
        pa.array(shapely.to_wkb(geoms, flavor="iso"), type=pa.binary()),
        bbox_array(bounds),
        pa.array(rows + first),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=rules.scratch_schema)
