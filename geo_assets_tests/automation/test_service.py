"""What people do all day, against a daemon and a web server, on PostgreSQL with logs in S3."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
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

TEXTS, CELLS = ("core", "texts"), ("core", "cells")
BAD = KEYS[7]
REGIONS = ["north", "middle", "south"]
RECTANGLE = [f"2026-06-0{day}|{region}" for day in (2, 3) for region in REGIONS[:2]]
BAD_CELL = RECTANGLE[1]
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
        "GEO_ASSETS_AUTOMATION": "off",
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
    for key in [*KEYS, *RECTANGLE, *_around_now()]:
        (folder / key).write_text("poison" if key in (BAD, BAD_CELL) else f"text of {key}")
    (folder / "scenes" / "notes.txt").write_text("no scene")
    deliver(folder, "2026-06-01")
    return folder


def _around_now() -> list[str]:
    """The cells of the days that may be the last one over while a test runs."""
    days = [datetime.now(UTC) + timedelta(days=shift) for shift in (-1, 0)]
    return [f"{day:%Y-%m-%d}|{region}" for day in days for region in REGIONS]


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
def test_backfills_rectangles_termination_and_what_runs_by_itself(tmp_path, variables, source):
    module = "geo_assets_tests.automation.service_defs"
    with serving(tmp_path, module, variables) as service, dg.DagsterInstance.get() as instance:
        backfill = service.backfill(TEXTS, KEYS)
        in_fives = service.backfill(("core", "in_fives"), KEYS)
        _one_run_in_which_one_partition_fails(service, instance, backfill)
        _runs_of_five(service, instance, in_fives)
        (source / BAD).write_text("antidote")
        _a_retry_does_only_what_failed(service, instance, backfill)
        _a_rectangle_is_one_run(service, instance, source)
        _nothing_runs_until_it_is_switched_on(service, instance)
    with (
        serving(tmp_path, module, variables | {"GEO_ASSETS_AUTOMATION": "on"}) as service,
        dg.DagsterInstance.get() as instance,
    ):
        _all_is_switched_on(service)
        _the_sensor_ingests(service, instance, source)
        _termination_keeps_what_is_committed(service, instance, tmp_path, source)
        _a_day_that_is_over_is_made_once(service, instance)
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


def _a_rectangle_is_one_run(service, instance, source) -> None:
    key = dg.AssetKey(CELLS)
    run = service.launch("daily_cells", RECTANGLE[0], RECTANGLE[-1])
    assert service.run_ended(run) == "FAILURE"
    assert service.partitions(*CELLS) == (len(RECTANGLE) - 1, 1)
    assert instance.get_materialized_partitions(key) == set(RECTANGLE) - {BAD_CELL}

    (source / BAD_CELL).write_text("antidote")
    run = service.launch("daily_cells", RECTANGLE[0], RECTANGLE[-1])
    assert service.run_ended(run) == "SUCCESS"
    assert service.partitions(*CELLS) == (len(RECTANGLE), 0)
    events = instance.fetch_materializations(key, limit=100).records
    of_run = {event.partition_key: event for event in events if event.run_id == run}
    assert set(of_run) == set(RECTANGLE)
    outcomes = {
        cell: event.asset_materialization.metadata["geo_assets/outcome"].value
        for cell, event in of_run.items()
    }
    assert [cell for cell, how in outcomes.items() if how == "made"] == [BAD_CELL]
    (check,) = service.ask(api.VERDICTS, key={"path": list(CELLS)})["assetChecksOrError"]["checks"]
    (days,) = check["partitionStatuses"]["ranges"]
    assert (days["primaryDimStartKey"], days["primaryDimEndKey"]) == ("2026-06-02", "2026-06-03")
    assert sorted(days["secondaryDim"]["succeededPartitions"]) == sorted(REGIONS[:2])


def _nothing_runs_until_it_is_switched_on(service, instance) -> None:
    """The daemon has looked at sensors and schedules all the time; the UI then starts one."""
    assert {"SENSOR", "SCHEDULER"} <= set(instance.get_daemon_heartbeats())
    found = service.automation()
    assert {"scenes_sensor", "daily_cells_schedule", "daily_cells_nightly"} <= set(found)
    assert set(found.values()) == {("STOPPED", 0)}
    by_sensor = dg.RunsFilter(tags={"dagster/sensor_name": "scenes_sensor"})
    assert instance.get_runs(by_sensor) == []

    assert service.ask(api.START_SENSOR, selector=SENSOR)["__typename"] == "Sensor"
    (run,) = service.until("a run", lambda: instance.get_runs(by_sensor))
    assert service.run_ended(run.run_id) == "SUCCESS"
    assert _ingested(instance) == {"2026-06-01"}
    assert service.ask(api.RESET_SENSOR, selector=SENSOR)["__typename"] == "Sensor"
    found = service.automation()
    assert found.pop("scenes_sensor")[0] == "STOPPED"
    assert set(found.values()) == {("STOPPED", 0)}


def _all_is_switched_on(service) -> None:
    assert {status for status, _ in service.automation().values()} == {"RUNNING"}


def _a_day_that_is_over_is_made_once(service, instance) -> None:
    """The schedule is due every minute; one that is due again for the same day starts nothing."""

    def runs() -> list[dg.DagsterRun]:
        tags = {"dagster/schedule_name": "daily_cells_schedule"}
        return instance.get_runs(dg.RunsFilter(tags=tags))

    (run, *_) = service.until("the schedule", runs)
    assert service.run_ended(run.run_id) == "SUCCESS"
    day = run.tags["dagster/run_key"]
    assert (run.tags[RANGE_START], run.tags[RANGE_END]) == (f"{day}|north", f"{day}|south")
    made = instance.get_materialized_partitions(dg.AssetKey(CELLS))
    assert made >= {f"{day}|{region}" for region in REGIONS}
    assert len({item.tags["dagster/run_key"] for item in runs()}) == len(runs())


def _ingested(instance) -> set[str]:
    """The scenes of which there are tiles."""
    return instance.get_materialized_partitions(dg.AssetKey(["core", "scene_tiles"]))


def _the_sensor_ingests(service: Service, instance, source) -> None:
    deliver(source, "2026-06-02")
    both = {"2026-06-01", "2026-06-02"}
    service.until("the second scene", lambda: _ingested(instance) == both)
    (source / "scenes" / "2026-06-01.tif").unlink()

    def observed() -> bool:
        scenes = dg.AssetKey(["raw", "scenes"])
        return bool(instance.fetch_observations(scenes, limit=1).records)

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
    run_id = service.launch("all_in_fives", KEYS[0], KEYS[-1], TEXTS)
    root = tmp_path / "store" / "core" / "texts"

    def committed() -> set[str]:
        return {path.parts[-3] for path in root.rglob("000000000002.json")}

    service.until("commits", lambda: len(committed()) >= 2)
    workers = service.pids() - before
    assert len(workers) > 1
    assert service.ask(api.TERMINATE, id=run_id)["__typename"] == "TerminateRunSuccess"
    assert service.run_ended(run_id) == "CANCELED"
    asked, ended = (
        instance.all_logs(run_id, of_type=kind)[0].timestamp
        for kind in (dg.DagsterEventType.RUN_CANCELING, dg.DagsterEventType.RUN_CANCELED)
    )
    assert ended - asked < 5  # a chunk in a worker would have gone on for 60
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
