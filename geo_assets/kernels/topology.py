"""Topology of layers of any size: plan, examine piece by piece, merge into one report.

```
plan_topology(TopologyPlan)    one worker: bounds, spatial order, chunks with halos
topology_chunk(TopologyChunk)  any number of workers: findings of the chunk's own features
merge_report(ReportSpec)       one worker: the report, a GeoParquet layer of defects
```
Every feature is owned by exactly one chunk; around its own features a chunk reads all that can
matter for them (the halo). What only shows across chunks (gaps of any length) is found by the
merge from the unpaired segments that the chunks hand on. So the report does not depend on how
the layer was cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from geo_assets.errors import ConfigError
from geo_assets.kernels.spool import geometry_column, spatial_chunks, write_spool
from geo_assets.model import KernelResult
from geo_assets.rules.coverage import CoverageRules
from geo_assets.rules.lines import NetworkRules
from geo_assets.rules.shape import ShapeRules

FINDINGS, SEGMENTS, VOIDS = "findings.parquet", "segments.parquet", "voids.parquet"
"""What a chunk writes."""

CHUNK_BYTES = 12 << 20
_MEMORY_PER_BYTE = 14  # GEOS geometries, coordinates and segments of a byte of WKB
_MEMORY_FIXED = 110 << 20
_PLAN_PER_ROW = 120
_MERGE_PER_SEGMENT = 1200


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyRules:
    """Which rules a layer is held against."""

    shape: ShapeRules = field(default_factory=ShapeRules)
    """Rules for single features; always applied."""
    coverage: CoverageRules | None = None
    """Set for polygons that must form a coverage."""
    network: NetworkRules | None = None
    """Set for lines that must form a network."""

    def __post_init__(self) -> None:
        if self.coverage is not None and self.network is not None:
            raise ConfigError("A layer is a coverage of polygons or a network of lines",
                              "rules for both")  # fmt: skip

    @property
    def halo_m(self) -> float | None:
        """How far neighbours matter, in metres; None where features are looked at alone."""
        rules = self.coverage or self.network
        return None if rules is None else rules.halo_m


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyPlan:
    """Spec of `plan_topology`."""

    layer: Path
    """A local GeoParquet file with WKB geometry."""
    rules: TopologyRules
    chunk_bytes: int = CHUNK_BYTES
    """WKB bytes of a chunk's own features, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyChunk:
    """Spec of `topology_chunk`: one piece of a layer."""

    layer: Path
    rules: TopologyRules
    crs: str
    """The layer's CRS as WKT."""
    y_range: tuple[float, float]
    """Lowest and highest y of the layer."""
    start: int
    """First feature of the piece: in the spatial order, or a row group where there is no spool."""
    stop: int
    """One past the last."""
    spool: Path | None = None
    """The plan's folder; None reads row groups of the layer."""
    wkb_bytes: int
    """WKB bytes of its own features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSpec:
    """Spec of `merge_report`."""

    layer: Path
    rules: TopologyRules
    crs: str
    y_range: tuple[float, float]
    key: str | None
    """Column that names a feature; None names it by row number."""
    findings: tuple[Path, ...]
    """The `findings.parquet` of every chunk, in chunk order."""
    segments: tuple[Path, ...]
    voids: tuple[Path, ...]


def plan_topology(spec: TopologyPlan, workdir: Path) -> KernelResult:
    """Cut a layer into chunks.

    Returns:
        No files; facts for `topology_chunks` and `report_spec`. The spool stays in `workdir`,
        which must live until the last chunk is done.
    """
    column = geometry_column(spec.layer)
    assert column.crs is not None
    facts: dict[str, Any] = {"crs": column.crs.to_wkt(), "rows": column.rows}
    groups = _row_groups(spec.layer, column.name)
    alone = spec.rules.halo_m is None
    if alone and (not len(groups) or groups.max() <= 4 * spec.chunk_bytes):
        chunks = _runs(groups, spec.chunk_bytes) or [(0, 0, 0)]
        return KernelResult(facts=facts | {"spool": None, "chunks": chunks, "y_range": [0.0, 0.0]})
    bounds = write_spool(spec.layer, workdir)
    known = np.isfinite(bounds).all(axis=1)
    low = float(bounds[known, 1].min()) if known.any() else 0.0
    high = float(bounds[known, 3].max()) if known.any() else 0.0
    chunks = spatial_chunks(workdir, spec.chunk_bytes) or [(0, 0, 0)]
    return KernelResult(
        facts=facts | {"spool": str(workdir), "chunks": chunks, "y_range": [low, high]}
    )


def topology_chunks(spec: TopologyPlan, facts: Mapping[str, Any]) -> list[TopologyChunk]:
    """The pieces of a planned layer."""
    return [
        TopologyChunk(
            layer=spec.layer, rules=spec.rules, crs=facts["crs"],
            y_range=(facts["y_range"][0], facts["y_range"][1]),
            start=start, stop=stop, wkb_bytes=size,
            spool=Path(facts["spool"]) if facts["spool"] else None,
        )
        for start, stop, size in facts["chunks"]
    ]  # fmt: skip


def report_spec(
    spec: TopologyPlan, facts: Mapping[str, Any], key: str | None, folders: Sequence[Path]
) -> ReportSpec:
    """The merge of chunks whose files lie in `folders`, in chunk order."""
    return ReportSpec(
        layer=spec.layer, rules=spec.rules, crs=facts["crs"], key=key,
        y_range=(facts["y_range"][0], facts["y_range"][1]),
        findings=tuple(folder / FINDINGS for folder in folders),
        segments=tuple(folder / SEGMENTS for folder in folders),
        voids=tuple(folder / VOIDS for folder in folders),
    )  # fmt: skip


def predicted_bytes(spec: TopologyPlan | TopologyChunk | ReportSpec) -> int:
    """Memory that a kernel of this module needs on top of a resting worker, about."""
    if isinstance(spec, TopologyChunk):
        return _MEMORY_FIXED + _MEMORY_PER_BYTE * spec.wkb_bytes
    if isinstance(spec, TopologyPlan):
        groups = _row_groups(spec.layer, geometry_column(spec.layer).name)
        held = 2 * int(groups.max(initial=0))  # a row group is decoded whole
        return _MEMORY_FIXED + held + _PLAN_PER_ROW * int(pq.read_metadata(spec.layer).num_rows)
    segments = sum(int(pq.read_metadata(path).num_rows) for path in spec.segments)
    return _MEMORY_FIXED + _MERGE_PER_SEGMENT * segments


def _row_groups(layer: Path, column: str) -> NDArray[np.int64]:
    """Uncompressed geometry bytes of each row group."""
    footer = pq.read_metadata(layer)
    sizes = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        chunks = (group.column(i) for i in range(group.num_columns))
        sizes.append(sum(c.total_uncompressed_size for c in chunks if c.path_in_schema == column))
    return np.array(sizes, np.int64)


def _runs(groups: NDArray[np.int64], chunk_bytes: int) -> list[tuple[int, int, int]]:
    """Runs of whole row groups of about `chunk_bytes` at most, at least one group each."""
    runs: list[tuple[int, int, int]] = []
    for number, size in enumerate(groups.tolist()):
        if runs and runs[-1][2] + size <= chunk_bytes:
            runs[-1] = (runs[-1][0], number + 1, runs[-1][2] + size)
        else:
            runs.append((number, number + 1, size))
    return runs
