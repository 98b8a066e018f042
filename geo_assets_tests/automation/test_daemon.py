"""A real backfill: the daemon launches one run, on PostgreSQL, with a poisoned partition in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.workspace.load import load_workspace_process_context_from_yaml_paths

from geo_assets_tests.automation.small_defs import KEYS, PARTITIONS
from geo_assets_tests.conftest import free_port

REPOSITORY = Path(__file__).parents[2]
TEXTS = dg.AssetKey(["core", "texts"])


@pytest.fixture
def postgres() -> Iterator[str]:
    """The URL of an empty database of a server of its own."""
    pytest.importorskip("dagster_postgres")
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(binaries[-1]) if binaries else None)
    if initdb is None:
        pytest.skip("there is no PostgreSQL on this machine")
    as_user = {"user": "postgres"} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="geo-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if as_user:
            shutil.chown(folder, "postgres")
        data, port = folder / "data", free_port()
        quiet = {"cwd": folder, "capture_output": True, "check": True, **as_user}
        subprocess.run([initdb, "-D", data, "-A", "trust", "-U", "dagster", "-N"], **quiet)
        server = subprocess.Popen(
            [Path(initdb).with_name("postgres"), "-D", data, "-p", str(port), "-k", folder,
             "-c", "listen_addresses=127.0.0.1"],
            cwd=folder, stderr=subprocess.DEVNULL, **as_user,
        )  # fmt: skip
        try:
            yield _created(port)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


def _created(port: int) -> str:
    import psycopg2

    deadline = time.monotonic() + 30
    while True:
        try:
            connection = psycopg2.connect(
                host="127.0.0.1", port=port, user="dagster", dbname="postgres"
            )
            break
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE dagster")
    connection.close()
    return f"postgresql+psycopg2://dagster@127.0.0.1:{port}/dagster"


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
