"""A real backfill: the daemon launches one run, on PostgreSQL, with a poisoned partition in it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.workspace.load import load_workspace_process_context_from_yaml_paths

from geo_assets_tests.automation.small_defs import KEYS, PARTITIONS

REPOSITORY = Path(__file__).parents[2]
TEXTS = dg.AssetKey(["core", "texts"])


@pytest.fixture
def home(tmp_path, postgres, monkeypatch) -> Path:
    """A `DAGSTER_HOME` with the file that `deploy/` recommends, but for the bucket of its logs."""
    config = yaml.safe_load((REPOSITORY / "deploy" / "dagster.yaml").read_text())
    del config["compute_logs"]
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    workspace = {"python_module": "geo_assets_tests.automation.small_defs"}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [workspace]}))
    for name, value in {
        "DAGSTER_HOME": folder,
        "DAGSTER_POSTGRES_URL": postgres,
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
        "GEO_ASSETS_ROOT": tmp_path / "store",
        "GEO_ASSETS_SOURCE": tmp_path / "source",
        "GEO_ASSETS_SCRATCH": tmp_path / "scratch",
        "PYTHONPATH": REPOSITORY,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return folder


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore")
def test_a_backfill_is_one_run_in_which_one_partition_fails(home, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    bad = KEYS[7]
    for key in KEYS:
        (source / key).write_text("poison" if key == bad else f"text of {key}")
    with dg.DagsterInstance.get() as instance:
        workspace = str(home / "workspace.yaml")
        with load_workspace_process_context_from_yaml_paths(instance, [workspace]) as context:
            graph = context.create_request_context().asset_graph
            backfill = PartitionBackfill.from_asset_partitions(
                backfill_id="small", asset_graph=graph, backfill_timestamp=time.time(), tags={},
                asset_selection=[TEXTS], partition_names=KEYS, dynamic_partitions_store=instance,
                all_partitions=False, title=None, description=None, run_config=None,
            )  # fmt: skip
        instance.add_backfill(backfill)
        daemon = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-w", workspace],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            run = _finished_run(instance)
        finally:
            daemon.send_signal(signal.SIGINT)
            daemon.wait(30)
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert len(instance.get_runs()) == 1
        cache = get_and_update_asset_status_cache_value(instance, TEXTS, PARTITIONS)
        made = cache.deserialize_materialized_partition_subsets(PARTITIONS).get_partition_keys()
        failed = cache.deserialize_failed_partition_subsets(PARTITIONS).get_partition_keys()
        assert sorted(made) == [key for key in KEYS if key != bad]
        assert sorted(failed) == [bad]


def _finished_run(instance: dg.DagsterInstance) -> dg.DagsterRun:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for run in instance.get_runs():
            if run.is_finished:
                return run
        time.sleep(0.5)
    pytest.fail(f"no run has ended: {[run.status for run in instance.get_runs()]}")
