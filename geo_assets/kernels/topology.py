"""The door to topology of layers of any size: plan, examine piece by piece, merge into one report.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_assets.model import KernelResult
from geo_assets.rules.topology import TopologyRules

FINDINGS, SEGMENTS, VOIDS = "findings.parquet", "segments.parquet", "voids.parquet"
"""What a chunk writes."""
REPORT = "defects.parquet"
"""What the merge writes."""

CHUNK_BYTES = 12 << 20
_MEMORY_PER_BYTE = 14  # GEOS geometries, coordinates and segments of a byte of WKB
_MEMORY_FIXED = 110 << 20
_PLAN_PER_ROW = 120
_MERGE_PER_SEGMENT = 1200


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

    Raises:
        InputError: It is not GeoParquet, its geometry is not WKB, or its CRS is unknown.
    """
    from geo_assets.kernels.topology_plan import plan

    return plan(spec, workdir)


def topology_chunk(spec: TopologyChunk, workdir: Path) -> KernelResult:
    """Find the defects of one piece of a layer.

    Returns:
        `findings.parquet`, `segments.parquet` (unpaired, for gaps) and `voids.parquet` (areas
        of invalid features); facts `checked`, `flagged` (features that GEOS calls invalid in the
        coverage, at gap width 0) and `found`.

    Raises:
        InputError: The layer's bounding box column is wrong.
    """
    from geo_assets.kernels.topology_chunk import examine

    return examine(spec, workdir)


def merge_report(spec: ReportSpec, workdir: Path) -> KernelResult:
    """Merge the findings of all chunks of a layer, and find its gaps.

    Memory grows with the number of findings and of unpaired segments, not with the layer.

    Returns:
        `defects.parquet`: a GeoParquet layer in the layer's CRS with kind, ids ("12+17" where
        several features are concerned), lon, lat, size_m, area_m2 and detail, in the order of
        kind and features. Facts: `findings` (a `Findings` with samples of every kind), `checked`,
        `flagged` and `bbox` (of all places, longitude and latitude; None where there is none).

    Raises:
        InputError: The layer has no such key column, or is another than the one examined.
    """
    from geo_assets.kernels.topology_report import merge

    return merge(spec, workdir)


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
    """Memory that a kernel of this module needs on top of a resting worker, about.

    Reads footers: not for the event loop.
    """
    if isinstance(spec, TopologyChunk):
        return _MEMORY_FIXED + _MEMORY_PER_BYTE * spec.wkb_bytes
    import pyarrow.parquet as pq

    if isinstance(spec, TopologyPlan):
        footer = pq.read_metadata(spec.layer)
        groups = (footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
        held = 2 * int(max(groups, default=0))  # a row group is decoded whole
        return _MEMORY_FIXED + held + _PLAN_PER_ROW * int(footer.num_rows)
    segments = sum(int(pq.read_metadata(path).num_rows) for path in spec.segments)
    return _MEMORY_FIXED + _MERGE_PER_SEGMENT * segments
