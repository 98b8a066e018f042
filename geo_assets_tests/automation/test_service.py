"""What people do all day, against a daemon and a web server, on PostgreSQL with logs in S3."""

from __future__ import annotations

import os
import time
from pathlib import Path

import dagster as dg
import numpy as np
import psutil
import pytest
import rasterio
from dagster._core.storage.compute_log_manager import ComputeIOType

from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets_tests.automation import service as api
from geo_assets_tests.automation.service import Service, serving
from geo_assets_tests.automation.small_defs import KEYS

TEXTS = ("core", "texts")
BAD = KEYS[7]
SENSOR = {
    "repositoryName": "__repository__", "repositoryLocationName": api.LOCATION,
    "sensorName": "scenes_sensor",
}  # fmt: skip


@pytest.fixture
def variables(tmp_path, postgres, s3_server, monkeypatch) -> dict[str, str]:
    """The environment of a deployment; the test's own process reads the same instance."""
    found = {
        "DAGSTER_HOME": str(tmp_path / "home"),
        "DAGSTER_POSTGRES_URL": postgres.replace("+psycopg2", ""),
        "DAGSTER_LOG_BUCKET": s3_server.bucket(),
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret,
        "AWS_DEFAULT_REGION": s3_server.region,
        "GEO_ASSETS_AUTOMATION": "on",
        "GEO_ASSETS_ROOT": str(tmp_path / "store"),
        "GEO_ASSETS_SOURCE": str(tmp_path / "source"),
        "GEO_ASSETS_SCRATCH": str(tmp_path / "scratch"),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    (folder / "scenes").mkdir(parents=True)
    for key in KEYS:
        (folder / key).write_text("poison" if key == BAD else f"text of {key}")
    (folder / "scenes" / "notes.txt").write_text("no scene")
    deliver(folder, "2026-06-01")
    return folder


def deliver(folder: Path, scene: str) -> None:
    """A scene that has not changed for a while."""
    path = folder / "scenes" / f"{scene}.tif"
    place = rasterio.Affine(10, 0, 500000, 0, -10, 5500000)
    options = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint8",
               "crs": "EPSG:32633", "transform": place}  # fmt: skip
    with rasterio.open(path, "w", **options) as file:
        file.write(np.full((1, 64, 64), 7, "uint8"))
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_backfills_termination_and_the_sensor(tmp_path, variables, source):
    module = "geo_assets_tests.automation.service_defs"
    with serving(tmp_path, module, variables) as service, dg.DagsterInstance.get() as instance:
        backfill = service.backfill(TEXTS, KEYS)
        in_fives = service.backfill(("core", "in_fives"), KEYS)
        _one_run_in_which_one_partition_fails(service, instance, backfill)
        _runs_of_five(service, instance, in_fives)
        (source / BAD).write_text("antidote")
        _a_retry_does_only_what_failed(service, instance, backfill)
        _the_sensor_ingests(service, instance, source)
        _termination_keeps_what_is_committed(service, instance, tmp_path, source)
        _the_output_of_steps_is_in_the_bucket(instance)
        _records_are_in_postgres(variables["DAGSTER_POSTGRES_URL"], instance)


def runs_of(instance: dg.DagsterInstance, backfill: str) -> list[dg.DagsterRun]:
    return instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))


def _one_run_in_which_one_partition_fails(service, instance, backfill) -> None:
    assert service.backfill_ended(backfill) == "COMPLETED_FAILED"
    (run,) = runs_of(instance, backfill)
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert service.partitions(*TEXTS) == (len(KEYS) - 1, 1)
    made = instance.get_materialized_partitions(dg.AssetKey(TEXTS))
    assert made == set(KEYS) - {BAD}


def _runs_of_five(service, instance, backfill) -> None:
    assert service.backfill_ended(backfill) == "COMPLETED_FAILED"
    ranges = {
        (run.tags[RANGE_START], run.tags[RANGE_END]): run.status.value
        for run in runs_of(instance, backfill)
    }
    assert ranges == {(KEYS[0], KEYS[4]): "SUCCESS", (KEYS[5], KEYS[9]): "FAILURE"}
    assert service.partitions("core", "in_fives") == (len(KEYS) - 1, 1)


def _a_retry_does_only_what_failed(service, instance, backfill) -> None:
    params = {"parentRunId": backfill, "strategy": "FROM_FAILURE"}
    retry = service.ask(api.RETRY_BACKFILL, params=params)["backfillId"]
    assert service.backfill_ended(retry) == "COMPLETED_SUCCESS"
    (run,) = runs_of(instance, retry)
    assert run.tags.get("dagster/partition", run.tags.get(RANGE_START)) == BAD
    assert service.partitions(*TEXTS) == (len(KEYS), 0)
    events = instance.fetch_materializations(dg.AssetKey(TEXTS), limit=100).records
    assert len(events) == len(KEYS)


def _the_sensor_ingests(service: Service, instance, source) -> None:
    scenes = [dg.AssetKey(["raw", "scenes"]), dg.AssetKey(["core", "scene_tiles"])]

    def ingested(expected: set[str]) -> bool:
        return all(instance.get_materialized_partitions(key) == expected for key in scenes)

    service.until("the first scene", lambda: ingested({"2026-06-01"}))
    deliver(source, "2026-06-02")
    service.until("the second scene", lambda: ingested({"2026-06-01", "2026-06-02"}))
    (source / "scenes" / "2026-06-01.tif").unlink()

    def observed() -> bool:
        return bool(instance.fetch_observations(scenes[0], limit=1).records)

    service.until("the deletion", observed)
    state = service.ask(api.SENSOR, selector=SENSOR)["sensorState"]
    assert state["status"] == "RUNNING"
    ticks = state["ticks"]
    assert len(ticks) > 3
    said = [event["message"] for tick in ticks for event in tick["logEvents"]["events"]]
    assert len([text for text in said if "not a scene" in text and "notes.txt" in text]) == 1
    assert len([text for text in said if "deleted at the source" in text]) == 1
    assert len([run for tick in ticks for run in tick["runIds"]]) == 2


def _termination_keeps_what_is_committed(service, instance, tmp_path, source) -> None:
    slow = KEYS[-2:]
    for key in KEYS:
        (source / key).write_text(f"slow {key}" if key in slow else f"new text of {key}")
    before = service.pids()
    run_id = service.ask(
        api.LAUNCH_RUN,
        params={
            "selector": {
                "repositoryName": "__repository__", "repositoryLocationName": api.LOCATION,
                "jobName": "all_in_fives", "assetSelection": [{"path": list(TEXTS)}],
                "assetCheckSelection": [],
            },
            "executionMetadata": {"tags": [
                {"key": RANGE_START, "value": KEYS[0]}, {"key": RANGE_END, "value": KEYS[-1]},
            ]},
        },
    )["run"]["runId"]  # fmt: skip
    root = tmp_path / "store" / "core" / "texts"

    def committed() -> set[str]:
        return {path.parts[-3] for path in root.rglob("000000000002.json")}

    service.until("commits", lambda: len(committed()) >= 2)
    workers = service.pids() - before
    assert len(workers) > 1
    started = time.monotonic()
    assert service.ask(api.TERMINATE, id=run_id)["__typename"] == "TerminateRunSuccess"
    service.until("the end", lambda: service.ask(api.STATUS, id=run_id)["status"] == "CANCELED")
    assert time.monotonic() - started < 30  # a chunk in a worker would have gone on for 60
    service.until("its processes", lambda: not any(map(psutil.pid_exists, workers)))
    made = {
        record.partition_key
        for record in instance.fetch_materializations(dg.AssetKey(TEXTS), limit=100).records
        if record.run_id == run_id
    }
    assert made == committed()
    assert not made & set(slow)


def _the_output_of_steps_is_in_the_bucket(instance) -> None:
    run = next(item for item in instance.get_runs() if item.status.value == "SUCCESS")
    captured = next(
        entry.dagster_event.logs_captured_data
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED)
    )
    manager = instance.compute_log_manager
    key = manager.build_log_key_for_run(run.run_id, captured.file_key)
    assert manager.cloud_storage_has_logs(key, ComputeIOType.STDERR)
    assert b"STEP_START" in manager.get_log_data(key).stderr


def _records_are_in_postgres(url: str, instance) -> None:
    import psycopg2

    connection = psycopg2.connect(url)
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM runs")
    assert cursor.fetchone() == (instance.get_runs_count(),)
    connection.close()
