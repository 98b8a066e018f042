"""Steps in processes of their own work as well: each has its own engine and its own loop."""

from __future__ import annotations

import os

import dagster as dg

from geo_assets_tests.whole.multiprocess import FOLDERS, small_job
from geo_assets_tests.whole.project import QUIET, commits


def test_the_multiprocess_executor(fresh, monkeypatch):
    folders = (fresh.source, fresh.root, fresh.scratch)
    monkeypatch.setenv(FOLDERS, os.pathsep.join(map(str, folders)))
    with dg.instance_for_test() as instance:
        job = dg.reconstructable(small_job)
        with dg.execute_job(job, instance=instance, run_config=QUIET) as result:
            assert result.success
            checks = result.get_asset_check_evaluations()
    assert {check.check_name: check.passed for check in checks} == {
        "crs": True, "schema": True, "geometry": False, "objects": True, "row_drift": True,
    }  # fmt: skip
    assert [path.split("/")[:2] for path in commits(fresh.root)] == [
        ["core", "districts"], ["raw", "districts"],
    ]  # fmt: skip
    assert list(fresh.scratch.iterdir()) == []
