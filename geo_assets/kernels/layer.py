"""The kernel of `core/<layer>`: canonical CRS, declared schema, validity, GeoParquet 1.1.

Pass 1 reads the delivery in batches and decides about every feature; what is kept goes to
scratch in the target CRS, the rest to quarantine. Pass 2 writes scratch in Hilbert order.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geo_assets.errors import ContractError, InputError
from geo_assets.kernels.changes import CHANGES, ChangeLog
from geo_assets.kernels.datum_shift import Sampler, measure_shift
from geo_assets.kernels.geoparquet import COVERING, GEOMETRY
from geo_assets.kernels.layer_batch import DELIVERED, BatchRules, Kept, take_batch
from geo_assets.kernels.layer_columns import free_name, plan_columns
from geo_assets.kernels.layer_output import Written, write_sorted
from geo_assets.kernels.layer_spec import LayerSpec
from geo_assets.kernels.memory import release_memory
from geo_assets.kernels.quarantine import Quarantine
from geo_assets.kernels.reproject import plan_reprojection
from geo_assets.kernels.reproject_picture import draw_reprojection
from geo_assets.kernels.spill import Spill
from geo_assets.kernels.vector_model import LayerSource
from geo_assets.kernels.vector_source import open_layer
from geo_assets.model import KernelResult
from geo_assets.rules.crs import crs_facts, crs_name, expect_crs, looks_like_degrees, parse_crs
from geo_assets.rules.keys import KeySet
from geo_assets.rules.wkb import read_wkb

MISPLACED_LIMIT = 0.5
"""Share of features with impossible coordinates from which the declared CRS itself is wrong."""


def build_layer(spec: LayerSpec, workdir: Path) -> KernelResult:
    """Bring a delivered layer into its canonical form.

    Guarantees: rows delivered = rows kept + rows quarantined; the same file and spec give the
    same bytes; memory does not grow with the layer, except by 30 bytes for each feature.

    Returns:
        Files with the role `data` (one, or several parts where it would exceed about 2 GB),
        `quarantine` (if anything was rejected), `metadata` (`changes.parquet`, if anything was
        repaired: see `ChangeLog`) and `overview` (`reprojection.svg`, if anything was
        reprojected). Facts: `source`, `crs`, `operation`, `shift` (see `datum_shift`), `rows`,
        `quarantine` (findings), `repair`, `columns`, `key`, `geometry_types`, `bounds`,
        `antimeridian_crossings`, `m_dropped` (features that lost M values).

    Raises:
        InputError: The file cannot be read, or is not what is declared.
        ContractError: The required accuracy cannot be reached, or what was written cannot be
            read back.
    """
    source = open_layer(
        spec.source, scratch=workdir, layer=spec.layer, encoding=spec.encoding,
        xy_columns=spec.xy_columns,
    )  # fmt: skip
    rules = _rules(spec, source)
    folder = workdir / "spill"
    folder.mkdir()
    spill = Spill(folder, rules.scratch_schema, rules.covering)
    quarantine = Quarantine(workdir / "quarantine.parquet", source.schema, rules.crs, spec.key)
    key = rules.columns.schema.field(rules.columns.key)
    log = ChangeLog(workdir / CHANGES, key, rules.reprojection.target)
    tally = _take_all(source, rules, spill, quarantine, log)
    _check_place(tally, rules, quarantine)
    drop, rejected = _reject_duplicates(source, rules, spill, quarantine, tally)
    written = write_sorted(
        spill, drop, workdir, name=spec.name, attributes=rules.columns.schema,
        crs=rules.reprojection.target, covering=rules.covering,
    )  # fmt: skip
    shutil.rmtree(folder)
    if tally.delivered != written.rows + quarantine.rows:
        raise ContractError(
            "Rows delivered are rows kept and rows quarantined",
            f"{tally.delivered} = {written.rows} + {quarantine.rows}",
            spec.name,
        )
    shift = measure_shift(rules.reprojection, tally.places.places)
    beside = [quarantine.close("quarantine.parquet"), log.close(without=rejected)]
    if shift is not None and (shift.moves or not spec.one_of_many):
        beside.append(draw_reprojection(rules.reprojection, shift, workdir))
    files = (*written.files, *(file for file in beside if file is not None))
    facts = _facts(source, rules, tally, written, quarantine)
    facts |= {"repair": log.facts(), "shift": None if shift is None else shift.facts()}
    return KernelResult(files=files, facts=facts)


@dataclass(slots=True)
class _Tally:
    """What pass 1 counts."""

    delivered: int = 0
    misplaced: int = 0
    crossing: int = 0
    bounds: NDArray[np.float64] = field(default_factory=lambda: np.full(4, np.nan))
    """Of all finite features as delivered, in the source CRS."""
    keys: KeySet = field(default_factory=KeySet)
    places: Sampler = field(default_factory=Sampler)
    """Some places of the features kept, in the source CRS."""
    m_dropped: int = 0

    def add(self, kept: Kept, key: str) -> None:
        self.delivered += len(kept.reasons)
        self.misplaced += kept.misplaced
        self.crossing += kept.crossing
        self.keys.add(kept.batch.column(key))
        self.m_dropped += kept.m_dropped
        taken = kept.source_bounds[kept.reasons == None]  # noqa: E711 - element by element
        self.places.add((taken[:, :2] + taken[:, 2:]) / 2)
        boxes = kept.source_bounds[np.isfinite(kept.source_bounds).all(axis=1)]
        if len(boxes):
            self.bounds[:2] = np.fmin(self.bounds[:2], boxes[:, :2].min(axis=0))
            self.bounds[2:] = np.fmax(self.bounds[2:], boxes[:, 2:].max(axis=0))


def _rules(spec: LayerSpec, source: LayerSource) -> BatchRules:
    """Hold what the source says of itself against the declaration, before any feature is read."""
    where = spec.source.name
    declared = None if spec.source_crs is None else parse_crs(spec.source_crs, spec.name)
    crs = expect_crs(source.info.crs, declared, where, missing=source.info.crs_missing)
    target = crs if spec.crs is None else parse_crs(spec.crs, spec.name)
    reprojection = plan_reprojection(
        crs, target, bounds=source.info.bounds or spec.bounds, where=where,
        required_accuracy_m=spec.required_accuracy_m,
    )  # fmt: skip
    names = set(source.schema.names)
    columns = plan_columns(
        source.schema, spec.columns, extra=spec.extra_columns, key=spec.key,
        reserved=frozenset({GEOMETRY, DELIVERED}), where=where,
    )  # fmt: skip
    return BatchRules(
        columns=columns, reprojection=reprojection, geometry_types=spec.geometry_types,
        promote=spec.promote, null_geometry=spec.null_geometry, invalid=spec.invalid,
        repair=spec.repair, quarantine_misplaced=spec.misplaced == "quarantine",
        extent=spec.extent,
        covering=free_name(COVERING, names | set(columns.schema.names)), where=where,
    )  # fmt: skip


def _take_all(
    source: LayerSource,
    rules: BatchRules,
    spill: Spill,
    quarantine: Quarantine,
    log: ChangeLog,
) -> _Tally:
    tally = _Tally()
    for batch in source.read():
        kept = take_batch(batch, rules)
        tally.add(kept, rules.columns.key)
        spill.add(kept.batch, kept.bounds, kept.kinds)
        quarantine.add(batch, kept.source_geoms, kept.reasons, kept.details)
        if kept.changes is not None:
            log.add(kept.changes)
        # Else this batch would live until the next one is finished.
        del batch, kept
    spill.close()
    release_memory()
    return tally


def _check_place(tally: _Tally, rules: BatchRules, quarantine: Quarantine) -> None:
    """Refuse a layer of which most features cannot be where they are said to be."""
    if not rules.quarantine_misplaced or not tally.delivered:
        return
    if tally.misplaced > MISPLACED_LIMIT * tally.delivered:
        counts = ", ".join(f"{n} {kind}" for kind, n in quarantine.findings.counts.items())
        what = f"{tally.misplaced} of {tally.delivered} features elsewhere ({counts})"
    elif looks_like_degrees(tally.bounds.tolist(), rules.crs):
        what = "all coordinates as small as degrees"
    else:
        return
    bounds = ", ".join(f"{value:.6g}" for value in tally.bounds)
    raise InputError(
        f"Coordinates are where {crs_name(rules.crs)} is used",
        f"{what}; bounds {bounds}",
        rules.where,
        "The CRS is wrong, or x and y are exchanged: correct source_crs or the file.",
    )


def _reject_duplicates(
    source: LayerSource, rules: BatchRules, spill: Spill, quarantine: Quarantine, tally: _Tally
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Quarantine every later feature with the key of an earlier one; reads the source again.

    Returns:
        Their positions in the spill, and their row numbers in delivery order.
    """
    nothing = np.zeros(0, dtype=np.int64)
    if rules.columns.created_key:
        return nothing, nothing
    drop = tally.keys.repeated(spill.column(rules.columns.key))
    if not len(drop):
        return nothing, nothing
    rows: NDArray[np.int64] = spill.values(DELIVERED, drop)
    for batch in source.read():
        reasons = np.full(batch.attributes.num_rows, None, dtype=object)
        here = rows[(rows >= batch.row) & (rows < batch.row + len(reasons))] - batch.row
        if len(here):
            reasons[here] = "duplicate_key"
            details = np.full(len(reasons), None, dtype=object)
            quarantine.add(batch, read_wkb(batch.wkb), reasons, details)
    return drop, rows


def _facts(
    source: LayerSource, rules: BatchRules, tally: _Tally, written: Written, quarantine: Quarantine
) -> dict[str, Any]:
    return {
        "source": source.info.facts(),
        "crs": crs_facts(rules.reprojection.target),
        "operation": rules.reprojection.operation.facts(),
        "rows": {"delivered": tally.delivered, "kept": written.rows,
                 "quarantined": quarantine.rows},
        "quarantine": quarantine.findings.as_dict(),
        "columns": {field.name: str(field.type) for field in rules.columns.schema},
        "key": rules.columns.key,
        "geometry_types": list(written.geometry_types),
        "bounds": list(written.bounds) if written.bounds else None,
        "antimeridian_crossings": tally.crossing,
        "m_dropped": tally.m_dropped,
    }  # fmt: skip
