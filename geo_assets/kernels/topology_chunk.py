"""One piece of a layer, examined."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geo_assets.errors import InputError
from geo_assets.kernels.spool import Spool, decode, geometry_column
from geo_assets.kernels.topology import FINDINGS, SEGMENTS, VOIDS, TopologyChunk
from geo_assets.model import PARQUET, KernelResult, OutputFile
from geo_assets.rules.coverage import coverage_defects, polygonal, void_areas
from geo_assets.rules.found import Found, Geometries, Metric, Rows
from geo_assets.rules.lines import network_defects
from geo_assets.rules.segments import Segments
from geo_assets.rules.shape import TYPE_NAMES, shape_defects

Mask = NDArray[np.bool_]
Wkb = NDArray[np.object_]

FOUND_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("rows", pa.list_(pa.int64())),
        ("geometry", pa.binary()),
        ("size_m", pa.float64()),
        ("area_m2", pa.float64()),
        ("detail", pa.string()),
    ]
)
_SEGMENT_SCHEMA = pa.schema(
    [("owner", pa.int64()), *((n, pa.float64()) for n in ("x0", "y0", "x1", "y1"))]
)
_VOID_SCHEMA = pa.schema([("geometry", pa.binary())])
_ROUNDED = 1e-6  # relative: a covering column may be of 32-bit floats


def topology_chunk(spec: TopologyChunk, workdir: Path) -> KernelResult:
    """Find the defects of one piece of a layer.

    Returns:
        `findings.parquet`, `segments.parquet` (unpaired, for gaps) and `voids.parquet` (areas
        of invalid features); facts `checked`, `flagged` (features that GEOS calls invalid in the
        coverage, at gap width 0) and `found`.

    Raises:
        InputError: The layer's bounding box column is wrong.
    """
    wkb, rows, owned = _own(spec) if spec.spool is None else _with_halo(spec, spec.spool)
    geometries = decode(wkb)
    unreadable = set(rows[shapely.is_missing(geometries) & (wkb != None)].tolist())  # noqa: E711
    if spec.spool is not None:
        _check_bounds(geometries, Spool(spec.spool).bounds[rows], spec.layer)
    metric = Metric(spec.crs, spec.y_range)
    with np.errstate(invalid="ignore"):
        valid = shapely.is_valid(geometries) & ~shapely.is_empty(geometries)
    found = [
        replace(one, kind="unreadable_geometry", detail="GEOS cannot hold it.")
        if one.kind == "null_geometry" and one.rows[0] in unreadable
        else one
        for one in shape_defects(
            geometries[owned], rows[owned], valid[owned], spec.rules.shape, metric
        )
    ]
    loose, flagged = Segments.none(), 0
    voids = geometries[:0]
    if spec.rules.coverage is not None:
        mask = polygonal(geometries, valid)
        piece = coverage_defects(
            geometries[mask], rows[mask], owned[mask], spec.rules.coverage, metric
        )
        found += piece.found
        loose, flagged = piece.loose, len(piece.flagged)
        voids = void_areas(geometries[owned & ~valid])
    if spec.rules.network is not None:
        mask = valid & (shapely.get_dimensions(geometries) == 1)
        mask &= shapely.get_type_id(geometries) != shapely.GeometryType.GEOMETRYCOLLECTION
        found += network_defects(
            geometries[mask], rows[mask], owned[mask], spec.rules.network, metric
        )
    facts = {"checked": int(owned.sum()), "flagged": flagged, "found": len(found)}
    return _write(workdir, found, loose, voids, facts, _types(geometries[owned]))


def _own(spec: TopologyChunk) -> tuple[Wkb, Rows, Mask]:
    """The features of some row groups; nothing else matters for them."""
    column = geometry_column(spec.layer)
    with pq.ParquetFile(spec.layer, memory_map=True) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(spec.stop)]
        groups = list(range(spec.start, spec.stop))
        table = file.read_row_groups(groups, columns=[column.name], use_threads=False)
    first = sum(sizes[: spec.start])
    wkb = table.column(0).to_numpy()
    return wkb, np.arange(first, first + len(wkb)), np.ones(len(wkb), np.bool_)


def _with_halo(spec: TopologyChunk, folder: Path) -> tuple[Wkb, Rows, Mask]:
    """The features of a stretch of the spatial order and all that can matter for them."""
    spool = Spool(folder)
    own = np.sort(spool.order[spec.start : spec.stop])
    reach = Metric(spec.crs, spec.y_range).units(spec.rules.halo_m or 0.0)
    rows = np.union1d(own, _neighbours(spool.bounds, own, reach))
    return spool.wkb(rows), rows, np.isin(rows, own, assume_unique=True)


def _neighbours(bounds: NDArray[np.float64], own: Rows, reach: float) -> Rows:
    """Rows whose bounding box comes within `reach` of that of an own feature."""
    mine = bounds[own]
    mine = mine[np.isfinite(mine).all(axis=1)] + np.array([-reach, -reach, reach, reach])
    if not len(mine):
        return own
    low, high = mine[:, :2].min(axis=0), mine[:, 2:].max(axis=0)
    near = np.flatnonzero(
        (bounds[:, 0] <= high[0]) & (bounds[:, 2] >= low[0])
        & (bounds[:, 1] <= high[1]) & (bounds[:, 3] >= low[1])
    )  # fmt: skip
    near = np.setdiff1d(near, own, assume_unique=True)
    tree = shapely.STRtree(shapely.box(*mine.T))
    found: Rows = near[np.unique(tree.query(shapely.box(*bounds[near].T))[0])]
    return found


def _check_bounds(geometries: Geometries, stated: NDArray[np.float64], layer: Path) -> None:
    real = shapely.bounds(geometries)
    slack = np.abs(stated) * _ROUNDED + 1e-12
    inside = (real[:, :2] >= (stated - slack)[:, :2]) & (real[:, 2:] <= (stated + slack)[:, 2:])
    wrong = np.isfinite(real).all(axis=1) & ~inside.all(axis=1)
    if wrong.any():
        raise InputError("The bounding box column holds each feature's bounds",
                         f"{int(wrong.sum())} features outside their box", layer.name,
                         "Write the layer again, with its bbox covering made anew.")  # fmt: skip


def _types(geometries: Geometries) -> dict[str, int]:
    numbers, counts = np.unique(shapely.get_type_id(geometries), return_counts=True)
    pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
    return {TYPE_NAMES[number]: count for number, count in pairs if number >= 0}


def _write(
    workdir: Path,
    found: list[Found],
    loose: Segments,
    voids: Geometries,
    facts: dict[str, Any],
    types: dict[str, int],
) -> KernelResult:
    state = json.dumps(facts | {"types": types}, sort_keys=True)
    schema = FOUND_SCHEMA.with_metadata({"topology": state})
    ends = np.column_stack([loose.start, loose.end])
    tables = {
        FINDINGS: found_table(found, schema),
        SEGMENTS: pa.table([pa.array(loose.owner), *(pa.array(v) for v in ends.T.copy())],
                           schema=_SEGMENT_SCHEMA),
        VOIDS: pa.table([pa.array(list(shapely.to_wkb(voids)), pa.binary())], schema=_VOID_SCHEMA),
    }  # fmt: skip
    files = []
    for name, table in tables.items():
        pq.write_table(table, workdir / name, compression="zstd", use_dictionary=False)
        if pq.read_table(workdir / name).num_rows != table.num_rows:
            raise OSError(f"{name} could not be read back")
        files.append(OutputFile.of(workdir / name, name, PARQUET))
    return KernelResult(files=tuple(files), facts=facts)


def found_table(found: Iterable[Found], schema: pa.Schema = FOUND_SCHEMA) -> pa.Table:
    """Findings as an Arrow table."""
    listed = list(found)
    shapes = np.array([one.geometry for one in listed], object)
    columns = [
        [one.kind for one in listed],
        [list(one.rows) for one in listed],
        list(shapely.to_wkb(shapely.force_2d(shapes))) if listed else [],
        [one.size_m for one in listed],
        [one.area_m2 for one in listed],
        [one.detail for one in listed],
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)
