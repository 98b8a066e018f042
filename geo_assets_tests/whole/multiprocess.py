"""A job whose steps run in processes of their own; they find the project in the environment."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from geo_assets_tests.whole.project import LAYER, Project

FOLDERS = "GEO_ASSETS_TESTS_FOLDERS"


def small_job() -> dg.JobDefinition:
    source, root, scratch = (Path(folder) for folder in os.environ[FOLDERS].split(os.pathsep))
    defs = Project(source=source, root=root, scratch=scratch).definitions()
    selection = dg.AssetSelection.assets(*(dg.AssetKey(key) for key in LAYER[:2]))
    job = dg.define_asset_job("small", selection=selection, executor_def=dg.multiprocess_executor)
    return dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("small")
