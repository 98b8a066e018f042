"""Runs of thousands of partitions can be planned, and their checks read as Dagster's own."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.events import DagsterEvent
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from geo_assets.event_storage import LeanPlans, SqliteStorage
from geo_assets.instance import POSTGRES_URL
from geo_assets.partition_log import EventWriter

CHECK = dg.AssetCheckKey(dg.AssetKey(["core", "x"]), "whole")
RUN = "11111111-1111-1111-1111-111111111111"


def entry(kind: dg.DagsterEventType, data: Any) -> dg.EventLogEntry:
    event = DagsterEvent(kind.value, "job", event_specific_data=data, step_key="step")
    return dg.EventLogEntry(
        error_info=None, level=10, user_message="", run_id=RUN, timestamp=1_700_000_000.0,
        step_key="step", job_name="job", dagster_event=event,
    )  # fmt: skip


def planned(keys: set[str] | None) -> dg.EventLogEntry:
    data = AssetCheckEvaluationPlanned(
        asset_key=CHECK.asset_key, check_name=CHECK.name,
        partitions_subset=None if keys is None else DefaultPartitionsSubset(keys),
    )  # fmt: skip
    return entry(dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, data)


def verdict(key: str) -> dg.EventLogEntry:
    data = dg.AssetCheckEvaluation(
        asset_key=CHECK.asset_key, check_name=CHECK.name, passed=True, metadata={}, partition=key
    )
    return entry(dg.DagsterEventType.ASSET_CHECK_EVALUATION, data)


@pytest.fixture(params=["sqlite", "postgres"])
def instance(request, tmp_path, monkeypatch):
    """One of each database, chosen as a deployment does it."""
    monkeypatch.delenv(POSTGRES_URL, raising=False)
    if request.param == "postgres":
        monkeypatch.setenv(POSTGRES_URL, request.getfixturevalue("postgres"))
    storage = {"custom": {"module": "geo_assets.instance", "class": "Storage"}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides={"storage": storage}) as made:
        yield made


def status(instance: dg.DagsterInstance, key: str | None) -> list[str]:
    found = instance.event_log_storage.get_asset_check_execution_history(
        CHECK, limit=10, partition_filter=PartitionKeyFilter(key=key)
    )
    return [record.status.value for record in found]


def test_checks_are_planned_by_partition_in_rows_of_one_size(instance):
    storage = instance.event_log_storage
    storage.store_event(planned({f"p{number:05}" for number in range(3000)}))
    with storage.index_connection() as connection:
        rows = connection.execute(AssetCheckExecutionsTable.select()).mappings().all()
    assert len(rows) == 3000
    assert max(len(row["evaluation_event"]) for row in rows) < 1500
    (record,) = storage.get_asset_check_execution_history(
        CHECK, limit=10, partition_filter=PartitionKeyFilter(key="p00007")
    )
    assert record.partition == "p00007"
    assert record.event.dagster_event.asset_check_planned_data.asset_check_key == CHECK


def test_a_verdict_takes_the_place_of_the_plan(instance):
    instance.event_log_storage.store_event(planned({"a", "b"}))
    assert (status(instance, "a"), status(instance, "b")) == (["PLANNED"], ["PLANNED"])
    EventWriter(instance).store([verdict("a")])
    assert (status(instance, "a"), status(instance, "b")) == (["SUCCEEDED"], ["PLANNED"])


def test_without_partitions_dagster_plans(instance):
    instance.event_log_storage.store_event(planned(None))
    assert status(instance, None) == ["PLANNED"]


def test_another_process_gets_the_same_storage(instance):
    ref = InstanceRef.from_dict(instance.get_ref().to_dict())
    with dg.DagsterInstance.from_ref(ref) as other:
        assert isinstance(other.event_log_storage, LeanPlans)


def test_files_that_dagster_wrote_are_read_and_added_to(tmp_path):
    """A home that is older than this class, and the only one that plain Dagster knows."""
    plain = DagsterSqliteStorage.from_local(str(tmp_path)).event_log_storage
    plain.store_event(planned({"a", "b"}))
    ours = SqliteStorage.from_local(str(tmp_path)).event_log_storage
    ours.store_event(verdict("a"))
    ours.store_event(planned({"c"}))
    for storage in (plain, ours):
        found = storage.get_asset_check_execution_history(CHECK, limit=10)
        assert {(record.partition, record.status.value) for record in found} == {
            ("a", "SUCCEEDED"), ("b", "PLANNED"), ("c", "PLANNED"),
        }  # fmt: skip


def test_dagsters_own_rows_hold_all_partitions_each(tmp_path):
    """The reason for all of this; once it is gone, so may these classes be."""
    plain = DagsterSqliteStorage.from_local(str(tmp_path)).event_log_storage
    plain.store_event(planned({f"p{number:05}" for number in range(300)}))
    with plain.index_connection() as connection:
        rows = connection.execute(AssetCheckExecutionsTable.select()).mappings().all()
    assert min(len(row["evaluation_event"]) for row in rows) > 300 * len("p00000")
