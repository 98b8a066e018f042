"""One piece of a layer, examined."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geo_assets.errors import InputError
from geo_assets.kernels.spool import Spool, geometry_column
from geo_assets.kernels.topology import FINDINGS, SEGMENTS, VOIDS, TopologyChunk
from geo_assets.model import PARQUET, KernelResult, OutputFile
from geo_assets.rules.coverage import coverage_defects, polygonal, void_areas
from geo_assets.rules.found import Found, Geometries, Metric, Rows
from geo_assets.rules.lines import network_defects
from geo_assets.rules.plain import plain_polygons
from geo_assets.rules.segments import Segments
from geo_assets.rules.shape import blameless, shape_defects
from geo_assets.rules.topology import TYPE_NAMES, ShapeRules
from geo_assets.rules.validity import is_sound
from geo_assets.rules.wkb import read_wkb

Mask = NDArray[np.bool_]

_NOTHING = pa.array([], pa.large_binary())
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


def examine(spec: TopologyChunk, workdir: Path) -> KernelResult:
    """`geo_assets.kernels.topology.topology_chunk`."""
    metric, rules = Metric(spec.crs, spec.y_range), spec.rules
    piece = _piece(spec, metric)
    found = list(_shapes(piece, rules.shape, metric))
    loose, flagged = Segments.none(), 0
    voids = piece.geometries[:0]
    geometries, rows, owned, valid = piece.geometries, piece.rows, piece.owned, piece.valid
    if rules.coverage is not None:
        mask = polygonal(geometries, valid)
        coverage = coverage_defects(
            geometries[mask], rows[mask], owned[mask], rules.coverage, metric
        )
        found += coverage.found
        loose, flagged = coverage.loose, len(coverage.flagged)
        voids = void_areas(geometries[owned & ~valid])
    if rules.network is not None:
        mask = valid & (shapely.get_dimensions(geometries) == 1)
        mask &= shapely.get_type_id(geometries) != shapely.GeometryType.GEOMETRYCOLLECTION
        found += network_defects(geometries[mask], rows[mask], owned[mask], rules.network, metric)
    facts = {"checked": piece.checked, "flagged": flagged, "found": len(found)}
    return _write(workdir, found, loose, voids, facts | {"types": piece.types})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """The features of a chunk that must be looked at as geometries."""

    geometries: Geometries
    rows: Rows
    """Their positions in the layer, ascending."""
    owned: Mask
    """Which are reported on; the others are context."""
    valid: Mask
    """Which are present, not empty and valid."""
    blameless: Mask
    """Which are known to break no rule for single features."""
    unreadable: Mask
    """Which have WKB that GEOS cannot hold."""
    checked: int
    """Features of the chunk's own, those included that need no look."""
    types: dict[str, int]
    """How many of its own are of which type."""


def _piece(spec: TopologyChunk, metric: Metric) -> _Piece:
    wkb, rows, owned = _own(spec) if spec.spool is None else _with_halo(spec, spec.spool, metric)
    plain = plain_polygons(wkb)
    clean = blameless(plain, spec.rules.shape, metric)
    types = {"Polygon": int((clean & owned & ~plain.multi).sum()),
             "MultiPolygon": int((clean & owned & plain.multi).sum())}  # fmt: skip
    # Alone, what is clean needs no further look; beside others it does.
    look = np.flatnonzero(~clean) if spec.rules.halo_m is None else np.arange(len(rows))
    few = wkb.take(pa.array(look))
    geometries = read_wkb(few)
    if spec.spool is not None:
        bounds = plain.bounds
        bounds[look] = shapely.bounds(geometries)
        _check_bounds(bounds, Spool(spec.spool).bounds[rows], spec.layer)
    mine = geometries[owned[look] & ~clean[look]]
    return _Piece(
        geometries=geometries,
        rows=rows[look],
        owned=owned[look],
        valid=is_sound(geometries, plain.certain[look]),
        blameless=clean[look],
        unreadable=shapely.is_missing(geometries) & _present(few),
        checked=int(owned.sum()),
        types=_count(types, mine),
    )


def _shapes(piece: _Piece, rules: ShapeRules, metric: Metric) -> Iterator[Found]:
    """Findings about single features."""
    ask = piece.owned & ~piece.blameless
    unreadable = set(piece.rows[ask & piece.unreadable].tolist())
    for one in shape_defects(
        piece.geometries[ask], piece.rows[ask], piece.valid[ask], rules, metric
    ):
        if one.kind == "null_geometry" and one.rows[0] in unreadable:
            yield replace(one, kind="unreadable_geometry", detail="GEOS cannot hold it.")
        else:
            yield one


def _own(spec: TopologyChunk) -> tuple[pa.Array, Rows, Mask]:
    """The features of some row groups; nothing else matters for them."""
    column = geometry_column(spec.layer)
    with pq.ParquetFile(spec.layer, memory_map=True) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(spec.stop)]
        groups = list(range(spec.start, spec.stop))
        table = file.read_row_groups(groups, columns=[column.name], use_threads=False)
    first = sum(sizes[: spec.start])
    chunks = table.column(0).chunks
    wkb = chunks[0] if len(chunks) == 1 else pa.concat_arrays([_NOTHING, *_large(chunks)])
    return wkb, np.arange(first, first + len(wkb)), np.ones(len(wkb), np.bool_)


def _large(chunks: Iterable[pa.Array]) -> list[pa.Array]:
    return [chunk.cast(_NOTHING.type) for chunk in chunks]


def _with_halo(spec: TopologyChunk, folder: Path, metric: Metric) -> tuple[pa.Array, Rows, Mask]:
    """The features of a stretch of the spatial order and all that can matter for them."""
    spool = Spool(folder)
    rows = own = np.sort(spool.order[spec.start : spec.stop])
    if spec.rules.halo_m is not None:
        near = _neighbours(spool.bounds, own, metric.units(spec.rules.halo_m))
        rows = np.union1d(own, near)
    return spool.column(rows), rows, np.isin(rows, own, assume_unique=True)


def _present(wkb: pa.Array) -> Mask:
    present: Mask = wkb.is_valid().to_numpy(zero_copy_only=False)
    return present


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


def _check_bounds(real: NDArray[np.float64], stated: NDArray[np.float64], layer: Path) -> None:
    slack = np.abs(stated) * _ROUNDED + 1e-12
    inside = (real[:, :2] >= (stated - slack)[:, :2]) & (real[:, 2:] <= (stated + slack)[:, 2:])
    wrong = np.isfinite(real).all(axis=1) & ~inside.all(axis=1)
    if wrong.any():
        raise InputError("The bounding box column holds each feature's bounds",
                         f"{int(wrong.sum())} features outside their box", layer.name,
                         "Write the layer again, with its bbox covering made anew.")  # fmt: skip


def _count(types: dict[str, int], geometries: Geometries) -> dict[str, int]:
    """Features by type: those counted already, and those of some geometries."""
    total = Counter(types)
    for number in shapely.get_type_id(geometries).tolist():
        if number >= 0:
            total[TYPE_NAMES[number]] += 1
    return {name: count for name, count in total.items() if count}


def _write(
    workdir: Path,
    found: list[Found],
    loose: Segments,
    voids: Geometries,
    facts: dict[str, Any],
) -> KernelResult:
    state = json.dumps(facts, sort_keys=True)
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
