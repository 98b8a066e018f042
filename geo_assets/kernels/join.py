"""The door to spatial joins: the kernels, which import their libraries when they run.

`join_index_kernel` prepares the right side once, `join_kernel` does each chunk of `plan_join`, and
`join_merge_kernel` makes one file of their results. A chunk's result depends on its rows and the
right layer only, so all chunks together equal one chunk with all rows, in content and order.
"""

from __future__ import annotations

from pathlib import Path

from geo_assets.kernels.join_spec import JoinChunkSpec, JoinIndexSpec, JoinMergeSpec
from geo_assets.model import KernelResult


def join_index_kernel(spec: JoinIndexSpec, workdir: Path) -> KernelResult:
    """Prepare the right side. All files stay in the folder of the one named in the result.

    Raises:
        InputError: A file is not usable GeoParquet, or in another CRS than declared.
        ConfigError: A distance would be measured in degrees; the join's CRS is unknown to PROJ.
    """
    from geo_assets.kernels.join_index import make_index

    return make_index(spec, workdir)


def join_kernel(spec: JoinChunkSpec, workdir: Path) -> KernelResult:
    """Join some left rows with the right side.

    Writes `part-<number>.parquet`: GeoParquet with the left geometry, rows in the order of the left
    rows and then of the right rows; or, for an aggregate, what `join_merge_kernel` adds up.

    Raises:
        InputError: The left file is not usable GeoParquet, or in another CRS than declared.
        ConfigError: Columns of the result would share a name; a column asked for is missing.
        ContractError: The file written does not read back.
    """
    from geo_assets.kernels.join_chunk import join_chunk

    return join_chunk(spec, workdir)


def join_merge_kernel(spec: JoinMergeSpec, workdir: Path) -> KernelResult:
    """Add up the chunks' sums of an aggregate.

    The result has one row per right row, in the order of the right layer: its key (or row
    number), its columns, the statistics, and its geometry if asked for.

    Raises:
        ContractError: The file written does not read back.
        ConfigError: Columns of the result would share a name.
    """
    from geo_assets.kernels.join_merge import merge_parts

    return merge_parts(spec, workdir)
