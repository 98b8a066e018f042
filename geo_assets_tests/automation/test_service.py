"""What people do all day, against a daemon and a web server, on PostgreSQL with logs in S3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.storage.compute_log_manager import ComputeIOType

from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets_tests.automation import by_itself
from geo_assets_tests.automation import service as api
from geo_assets_tests.automation.service import serving
from geo_assets_tests.automation.small_defs import CELLS, IN_FIVES, KEYS, REGIONS, TEXTS

BAD = KEYS[7]
RECTANGLE = [f"2026-06-0{day}|{region}" for day in (2, 3) for region in REGIONS[:2]]
BAD_CELL = RECTANGLE[1]


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
    by_itself.deliver(folder, "2026-06-01")
    return folder


def _around_now() -> list[str]:
    """The cells of the days that may be the last one over while a test runs."""
    days = [datetime.now(UTC) + timedelta(days=shift) for shift in (-1, 0)]
    return [f"{day:%Y-%m-%d}|{region}" for day in days for region in REGIONS]


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_backfills_rectangles_termination_and_what_runs_by_itself(tmp_path, variables, source):
    module = "geo_assets_tests.automation.service_defs"
    with serving(tmp_path, module, variables) as service, dg.DagsterInstance.get() as instance:
        backfill = service.backfill(TEXTS, KEYS)
        in_fives = service.backfill(IN_FIVES, KEYS)
        _one_run_in_which_one_partition_fails(service, instance, backfill)
        _runs_of_five(service, instance, in_fives)
        (source / BAD).write_text("antidote")
        _a_retry_does_only_what_failed(service, instance, backfill)
        _a_rectangle_is_one_run(service, instance, source)
        by_itself.nothing_runs_until_it_is_switched_on(service, instance)
        interrupted = _a_run_is_at_work(service, tmp_path, source)
    (source / KEYS[-1]).write_text("quick")
    with (
        serving(tmp_path, module, variables | {"GEO_ASSETS_AUTOMATION": "on"}) as service,
        dg.DagsterInstance.get() as instance,
    ):
        _it_is_started_once_more(service, instance, interrupted, tmp_path)
        by_itself.all_is_switched_on(service)
        by_itself.the_sensor_ingests(service, instance, source)
        _termination_keeps_what_is_committed(service, instance, tmp_path, source)
        by_itself.a_day_that_is_over_is_made(service, instance)
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
    assert service.partitions(*IN_FIVES) == (len(KEYS) - 1, 1)


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


def _again(tmp_path) -> set[str]:
    """The partitions that were committed a second time."""
    root = tmp_path / "store" / "core" / "in_fives"
    return {path.parts[-3] for path in root.rglob("000000000002.json")}


def _a_run_is_at_work(service, tmp_path, source) -> str:
    """It waits for its last partition when the deployment is stopped."""
    for key in KEYS:
        (source / key).write_text("slow" if key == KEYS[-1] else f"changed text of {key}")
    run: str = service.launch("all_in_fives", KEYS[0], KEYS[-1], IN_FIVES)
    service.until("commits", lambda: len(_again(tmp_path)) >= 4)
    return run


def _it_is_started_once_more(service, instance, run, tmp_path) -> None:
    """What it had committed is told and not made again."""
    key = dg.AssetKey(IN_FIVES)
    children = dg.RunsFilter(tags={"dagster/parent_run_id": run})
    (retry,) = service.until("the retry", lambda: instance.get_runs(children))
    assert service.run_ended(retry.run_id) == "SUCCESS"
    assert service.partitions(*IN_FIVES) == (len(KEYS), 0)
    events = instance.fetch_materializations(key, limit=100).records
    told = {event.partition_key for event in events if event.run_id == run}
    made = {
        event.partition_key
        for event in events
        if event.run_id == retry.run_id
        and event.asset_materialization.metadata["geo_assets/outcome"].value == "made"
    }
    assert len(told) >= 4
    assert (told | made, told & made) == (set(KEYS), set())


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
