"""A run in a process of its own, to be killed: one scene of many chunks.

`python -m geo_assets_tests.whole.process SOURCE ROOT SCRATCH RUN_ID`, with DAGSTER_HOME set.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dagster as dg

from geo_assets.kernels import tiling
from geo_assets_tests.whole.project import QUIET, Project

SCENE = "2026-06-01"
CHUNK_PIXELS = 256 * 256
"""One cell for each chunk, so that a small scene has many."""


def main(source: str, root: str, scratch: str, run_id: str) -> None:
    tiling.CHUNK_PIXELS = CHUNK_PIXELS
    project = Project(source=Path(source), root=Path(root), scratch=Path(scratch))
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("scenes", [SCENE])
        project.definitions().resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["core", "scene_tiles"])],
            partition_key=SCENE,
            run_id=run_id,
            run_config=QUIET,
            raise_on_error=False,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
