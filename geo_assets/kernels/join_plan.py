"""How a join is cut into chunks, and what each needs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from geo_assets.kernels.join_layer import Layer
from geo_assets.kernels.join_spec import (
    JoinChunkSpec,
    JoinIndexSpec,
    JoinMergeSpec,
    JoinRule,
    JoinSide,
)

MAX_EDGES = 1 << 23
"""A right side with more edges than this gets no grid: building one would take over 1 GiB."""
MAX_PAIRS = 1 << 21
"""Candidate pairs looked at together at most."""

CHUNK_ROWS = 1 << 20
CHUNK_BYTES = 256 << 20
"""A chunk has about so many rows, or bytes where rows are large, and layers have a few chunks."""
_BATCH_BYTES = 48 << 20
_BATCH_ROWS = 1 << 18
"""A batch holds at most so many rows, and about as many bytes as `_BATCH_BYTES`."""


def batch_rows(layer: Layer) -> int:
    """Rows that are read at once: from the sizes in the footer, so the same everywhere."""
    return int(min(max(_BATCH_BYTES / max(layer.bytes_per_row, 1.0), 1024), _BATCH_ROWS))


def plan_join(
    left: JoinSide, right: JoinSide, rule: JoinRule, index: Path, *, first: int = 0
) -> tuple[JoinChunkSpec, ...]:
    """The chunks of a join, in the order of the left rows.

    Chunks are runs of left rows of about equal number, whatever lies where, so that a dense city
    is spread over as many workers as there are. They follow from the file alone, never from the
    machine, and keep to its row groups where these are small.

    Args:
        left: The left layer.
        right: The right layer.
        rule: What is joined.
        index: Folder that `join_index_kernel` wrote to.
        first: Number of the first chunk, for a left side of several files.
    """
    layer = Layer.open(left)
    few = max(layer.rows // 4, CHUNK_ROWS // 8)
    target = max(1, min(CHUNK_ROWS, few, int(CHUNK_BYTES / max(layer.bytes_per_row, 1.0))))
    cuts = [0]
    for start, stop in pairwise(layer.groups):
        if stop - cuts[-1] > target and start > cuts[-1]:
            cuts.append(start)
        # A part of a row group is read from the group's start on: few parts only.
        parts = min((stop - start) // target, 8)
        cuts += [start + (stop - start) * i // parts for i in range(1, parts)] if parts > 1 else []
    if layer.rows > cuts[-1]:
        cuts.append(layer.rows)
    rows = list(pairwise(layer.groups))
    kept = [rows[i] for i in sorted(layer.kept)]
    spans = [
        (a, b) for a, b in pairwise(cuts) if any(a < stop and b > start for start, stop in kept)
    ]
    spans = spans or [(0, 0)]
    return tuple(
        JoinChunkSpec(
            left=left, right=right, rule=rule, index=index, start=start, stop=stop, number=first + i
        )
        for i, (start, stop) in enumerate(spans)
    )


def index_bytes(spec: JoinIndexSpec) -> int:
    """Memory that `join_index_kernel` needs, from the footer alone."""
    layer = Layer.open(spec.right)
    geometry = int(layer.bytes_per_row * layer.rows)
    edges = min(geometry // 16, MAX_EDGES)
    return (64 << 20) + (1 << 24) * 16 + edges * 190 + geometry


def chunk_bytes(spec: JoinChunkSpec) -> int:
    """Memory that `join_kernel` needs: a batch, its candidates, a right block, two row groups."""
    left, right = Layer.open(spec.left), Layer.open(spec.right)
    batch = batch_rows(left) * int(left.bytes_per_row + 160)
    block = min(int(right.bytes_per_row * right.rows), 256 << 20)
    written = 4 * (1 << 17) * int(left.bytes_per_row + right.bytes_per_row / 8 + 64)
    return (96 << 20) + 3 * batch + 2 * block + written + MAX_PAIRS * 32


def merge_bytes(spec: JoinMergeSpec) -> int:
    """Memory that `join_merge_kernel` needs."""
    layer = Layer.open(spec.right)
    columns = 1 + len({s.column for s in spec.rule.statistics})
    return (96 << 20) + layer.rows * (columns * 120 + 2 * int(layer.bytes_per_row))
