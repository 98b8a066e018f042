"""Events written together leave in the database what Dagster writes for them one by one."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    StepMaterializationData,
)
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    AssetKeyTable,
    SqlEventLogStorageTable,
)

from geo_assets.partition_log import EventWriter

ASSET = dg.AssetKey(["core", "x"])
KEYS = ["a", "b", "c"]
RUN = "11111111-1111-1111-1111-111111111111"
TABLES = (SqlEventLogStorageTable, AssetEventTagsTable, AssetKeyTable, AssetCheckExecutionsTable)


def entry(kind: dg.DagsterEventType, data: Any) -> dg.EventLogEntry:
    event = DagsterEvent(kind.value, "job", event_specific_data=data, step_key="core__x")
    return dg.EventLogEntry(
        error_info=None, level=10, user_message="", run_id=RUN, timestamp=1_700_000_000.0,
        step_key="core__x", job_name="job", dagster_event=event,
    )  # fmt: skip


def made(key: str) -> dg.EventLogEntry:
    what = dg.AssetMaterialization(
        ASSET, partition=key, metadata={"n": 1}, tags={"dagster/data_version": key, "other": "t"}
    )
    return entry(dg.DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(what))


def failed(key: str) -> dg.EventLogEntry:
    planned = AssetMaterializationPlannedData(ASSET, partition=key, partitions_subset=None)
    return entry(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, planned)


def verdict(key: str, *, check: str, passed: bool) -> dg.EventLogEntry:
    target = AssetCheckEvaluationTargetMaterializationData(
        storage_id=7, run_id=RUN, timestamp=1_700_000_000.0
    )
    what = dg.AssetCheckEvaluation(
        asset_key=ASSET, check_name=check, passed=passed, metadata={}, partition=key,
        target_materialization_data=target,
    )  # fmt: skip
    return entry(dg.DagsterEventType.ASSET_CHECK_EVALUATION, what)


def planned_check() -> dg.EventLogEntry:
    """What Dagster writes when a run is created: a row for each of its partitions."""
    subset = DefaultPartitionsSubset({"a", "b"})
    planned = AssetCheckEvaluationPlanned(
        asset_key=ASSET, check_name="whole", partitions_subset=subset
    )
    return entry(dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned)


EVENTS = [
    made("a"), made("b"), failed("c"),
    verdict("a", check="whole", passed=True), verdict("b", check="whole", passed=False),
    verdict("a", check="unplanned", passed=True), made("c"),
]  # fmt: skip


@pytest.fixture(params=["ephemeral", "sqlite", "postgres"])
def instances(request, tmp_path):
    """Two empty instances of one kind."""
    if request.param == "ephemeral":
        with dg.DagsterInstance.ephemeral() as one, dg.DagsterInstance.ephemeral() as two:
            yield one, two
        return
    overrides: list[dict[str, Any]] = [{}, {}]
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")
        databases = (url, _twin(url))
        overrides = [{"storage": {"postgres": {"postgres_url": name}}} for name in databases]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with (
        dg.instance_for_test(temp_dir=str(folders[0]), overrides=overrides[0]) as one,
        dg.instance_for_test(temp_dir=str(folders[1]), overrides=overrides[1]) as two,
    ):
        yield one, two


def _twin(url: str) -> str:
    """A second database on the same server."""
    import psycopg2

    plain = url.replace("postgresql+psycopg2", "postgresql")
    connection = psycopg2.connect(plain)
    connection.autocommit = True
    connection.cursor().execute("CREATE DATABASE twin")
    connection.close()
    return url.rsplit("/", 1)[0] + "/twin"


def content(instance: dg.DagsterInstance) -> dict[str, list[dict[str, Any]]]:
    """All rows of the tables of events, but for what is numbered or timed by the database."""
    rows = {}
    with instance.event_log_storage.index_connection() as connection:
        for table in TABLES:
            found = connection.execute(table.select()).mappings()
            rows[table.name] = sorted(
                ({k: v for k, v in row.items() if k not in ("id", "create_timestamp")}
                 for row in found),
                key=str,
            )  # fmt: skip
    return rows


def test_the_same_rows_as_one_by_one(instances):
    one_by_one, together = instances
    for instance in instances:
        instance.event_log_storage.store_event(planned_check())
    for event in EVENTS:
        one_by_one.event_log_storage.store_event(event)
    EventWriter(together).store(EVENTS)
    wanted = content(one_by_one)
    assert content(together) == wanted
    assert [len(rows) for rows in wanted.values()] == [len(EVENTS) + 1, 3, 1, 3]


def test_the_log_of_the_run_has_them_in_order(instances):
    _, instance = instances
    EventWriter(instance).store(EVENTS)
    logged = instance.all_logs(RUN)
    assert [event.dagster_event_type for event in logged] == [
        event.dagster_event_type for event in EVENTS
    ]


def test_a_storage_that_tells_no_ids_gets_them_one_by_one(instances, monkeypatch):
    _, instance = instances
    writer, stored = EventWriter(instance), []
    monkeypatch.setattr(writer, "_tells_ids", lambda: False)
    monkeypatch.setattr(instance.event_log_storage, "store_event", stored.append)
    writer.store(EVENTS)
    assert stored == EVENTS
