"""Validity of the geometry of GeoParquet files: kind, feature and place of every defect.

The geometry is read a few thousand features at a time. Only of what is not plainly simple GEOS is
asked, and only defects cost more than its test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from geo_assets.model import MAX_SAMPLES, Defect, Findings
from geo_assets.rules.batches import read_batches
from geo_assets.rules.found import Geometries
from geo_assets.rules.geo_metadata import read_geo_column
from geo_assets.rules.plain import plain_polygons
from geo_assets.rules.topology import TYPE_NAMES
from geo_assets.rules.validity import reason_kind, vertex
from geo_assets.rules.wkb import read_wkb

_ROWS = 8192
"""Rows that are held as geometry at once."""
_NAMES = np.array([*TYPE_NAMES, ""])


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometryRules:
    """What geometry must be."""

    geometry_types: tuple[str, ...] = ()
    """Types allowed, without dimension; empty allows all."""
    null_geometry: bool = False
    """Features without geometry are allowed."""


def check_geometry(
    paths: Sequence[Path],
    rules: GeometryRules | None = None,
    *,
    key: str | None = None,
    row_groups: range | None = None,
) -> Findings:
    """Check every geometry of the parts of a layer.

    Args:
        paths: GeoParquet files with WKB geometry, in order.
        rules: What geometry must be.
        key: Column that names a feature in samples; None takes its position in the layer.
        row_groups: With one path: only these row groups, so that several workers share a file.

    Returns:
        Kinds: GEOS's reason in snake_case (`self_intersection`, `ring_self_intersection`,
        `hole_lies_outside_shell`, ...), `null_geometry`, `empty_geometry`, `non_finite`,
        `unreadable_geometry` and `unexpected_type`.
    """
    findings = Findings(checked=0)
    declared = rules or GeometryRules()
    for batch in _read(paths, key, row_groups, declared):
        findings = findings + _findings(batch, declared)
    return findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The features of a batch that are not plainly in order."""

    checked: int
    """Features of the batch, those in order included."""
    geoms: Geometries
    null: NDArray[np.bool_]
    keys: pa.Array | None
    rows: NDArray[np.int64]
    """Their positions in the layer."""
    to_lonlat: Transformer | None

    def name(self, row: int) -> str:
        key = self.rows[row] if self.keys is None else self.keys[row].as_py()
        return str(key)


def _read(
    paths: Sequence[Path], key: str | None, row_groups: range | None, rules: GeometryRules
) -> Iterator[_Batch]:
    first = 0
    for path in paths:
        column = read_geo_column(path)
        names = [column.name, *([key] if key else [])]
        to_lonlat = lonlat_transformer(column.crs)
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                if row_groups is not None and group not in row_groups:
                    first += file.metadata.row_group(group).num_rows
                    continue
                for batch in read_batches(file, _ROWS, names, [group]):
                    doubtful = np.flatnonzero(~_plain(batch.column(column.name), rules))
                    few = batch.take(pa.array(doubtful))
                    wkb = few.column(column.name)
                    yield _Batch(
                        checked=batch.num_rows,
                        geoms=read_wkb(wkb),
                        null=wkb.is_null().to_numpy(zero_copy_only=False),
                        keys=few.column(key) if key else None,
                        rows=first + doubtful,
                        to_lonlat=to_lonlat,
                    )
                    first += batch.num_rows


def _plain(wkb: pa.Array, rules: GeometryRules) -> NDArray[np.bool_]:
    """Features that are certainly valid and of an allowed type."""
    plain = plain_polygons(wkb)
    allowed = rules.geometry_types
    fit = np.where(plain.multi, "MultiPolygon" in allowed, "Polygon" in allowed)
    fine: NDArray[np.bool_] = plain.certain & (fit | (not allowed))
    return fine


def _findings(batch: _Batch, rules: GeometryRules) -> Findings:
    counts: dict[str, int] = {}
    samples: list[Defect] = []

    def found(rows: NDArray[np.int64], kinds: Sequence[str], places: Any, details: Any) -> None:
        for kind in kinds:
            counts[kind] = counts.get(kind, 0) + 1
        room = MAX_SAMPLES - len(samples)
        lonlat = _lonlat(places[:room], batch.to_lonlat)
        samples.extend(
            Defect(kind=kind, feature=batch.name(int(row)), detail=detail,
                   lon=place and place[0], lat=place and place[1])
            for row, kind, place, detail in zip(rows, kinds, lonlat, details, strict=False)
        )  # fmt: skip

    for kind, mask, detail in _simple(batch, rules):
        rows = np.flatnonzero(mask)
        found(
            rows,
            [kind] * len(rows),
            _anchors(batch.geoms[rows[:MAX_SAMPLES]]),
            [detail] * len(rows),
        )
    rows = np.flatnonzero(~shapely.is_valid(batch.geoms) & ~_absent(batch.geoms))
    reasons = shapely.is_valid_reason(batch.geoms[rows])
    parsed = [reason_kind(str(reason)) for reason in reasons]
    finite = ["non_finite" if kind == "invalid_coordinate" else kind for kind, _ in parsed]
    anchors = _anchors(batch.geoms[rows[:MAX_SAMPLES]])
    places = [place or anchor for (_, place), anchor in zip(parsed, anchors, strict=False)]
    found(rows, finite, places, [f"GEOS: {reason}" for reason in reasons])
    return Findings(checked=batch.checked, counts=counts, samples=tuple(samples))


def _simple(batch: _Batch, rules: GeometryRules) -> Iterator[tuple[str, NDArray[np.bool_], str]]:
    """Rules that are one mask over the batch: kind, features concerned, detail."""
    geoms = batch.geoms
    missing = shapely.is_missing(geoms)
    if not rules.null_geometry:
        yield "null_geometry", batch.null, "there is no geometry"
    yield "unreadable_geometry", missing & ~batch.null, "not a geometry that GEOS can hold"
    yield "empty_geometry", shapely.is_empty(geoms), "the geometry has no coordinates"
    if rules.geometry_types:
        names = _NAMES[shapely.get_type_id(geoms)]
        declared = ", ".join(rules.geometry_types)
        wrong = ~missing & ~np.isin(names, rules.geometry_types)
        yield "unexpected_type", wrong, f"declared is {declared}"


def _absent(geoms: Geometries) -> NDArray[np.bool_]:
    absent: NDArray[np.bool_] = shapely.is_missing(geoms) | shapely.is_empty(geoms)
    return absent


def _anchors(geoms: Geometries) -> list[tuple[float, float] | None]:
    return [vertex(geom) for geom in geoms]


def lonlat_transformer(crs: CRS | None) -> Transformer | None:
    """From a layer's CRS to longitude and latitude; None where the CRS is unknown."""
    return None if crs is None else Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)


def _lonlat(
    places: Sequence[tuple[float, float] | None], to_lonlat: Transformer | None
) -> list[tuple[float, float] | None]:
    if to_lonlat is None or not places:
        return [None] * len(places)
    known = np.array([(np.nan, np.nan) if place is None else place for place in places])
    lon, lat = to_lonlat.transform(known[:, 0], known[:, 1])
    return [
        (round(float(x), 7), round(float(y), 7)) if np.isfinite(x) and np.isfinite(y) else None
        for x, y in zip(lon, lat, strict=True)
    ]
