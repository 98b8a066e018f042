"""How a layer is cut into the pieces that are examined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from geo_assets.kernels.spool import geometry_column, spatial_chunks, write_spool
from geo_assets.kernels.topology import TopologyPlan
from geo_assets.model import KernelResult


def plan(spec: TopologyPlan, workdir: Path) -> KernelResult:
    """`geo_assets.kernels.topology.plan_topology`."""
    column = geometry_column(spec.layer)
    assert column.crs is not None
    facts: dict[str, Any] = {"crs": column.crs.to_wkt(), "rows": column.rows}
    groups = _row_groups(spec.layer, column.name)
    alone = spec.rules.halo_m is None
    if alone and (max(groups, default=0) <= 4 * spec.chunk_bytes):
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


def _row_groups(layer: Path, column: str) -> list[int]:
    """Uncompressed geometry bytes of each row group."""
    footer = pq.read_metadata(layer)
    sizes = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        chunks = (group.column(i) for i in range(group.num_columns))
        sizes.append(sum(c.total_uncompressed_size for c in chunks if c.path_in_schema == column))
    return sizes


def _runs(groups: list[int], chunk_bytes: int) -> list[tuple[int, int, int]]:
    """Runs of whole row groups of about `chunk_bytes` at most, at least one group each."""
    runs: list[tuple[int, int, int]] = []
    for number, size in enumerate(groups):
        if runs and runs[-1][2] + size <= chunk_bytes:
            runs[-1] = (runs[-1][0], number + 1, runs[-1][2] + size)
        else:
            runs.append((number, number + 1, size))
    return runs
