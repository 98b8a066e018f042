"""Dagster's storage without the one write that grows with the square of a run.

When a run is created, Dagster plans each check of each partition in a row of its own, and puts all
partitions of the run into every row: 3,000 partitions with a check are 99 MB and 6 s in SQLite, and
10,000 are more than PostgreSQL takes in one statement. Here a row names its own partition only:
4 MB and 0.2 s.

`geo_assets.instance` chooses the database; everything else is Dagster's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage


class LeanPlans(SqlEventLogStorage):
    """An event log that plans the checks of a run with one small row for each partition."""

    def _store_asset_check_evaluation_planned(
        self, event: dg.EventLogEntry, event_id: int | None
    ) -> None:
        storage: Any = self  # the base has methods without types
        planned = _data(event)
        if planned.partitions_subset is None:
            super()._store_asset_check_evaluation_planned(event, event_id)
            return
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": dg.serialize_value(_of_any_partition(event)),
            "evaluation_event_timestamp": storage._event_insert_timestamp(event),  # noqa: SLF001 - our own base
            "evaluation_event_storage_id": event_id,
        }
        keys = planned.partitions_subset.get_partition_keys()
        rows = [{**row, "partition": key} for key in keys]
        if rows:
            with self.index_transaction() as connection:
                connection.execute(AssetCheckExecutionsTable.insert(), rows)


class SqliteEventLog(LeanPlans, SqliteEventLogStorage):
    """Dagster's files of events, one for each run and an index."""


class SqliteStorage(DagsterSqliteStorage):
    """`DagsterSqliteStorage`, on the same files, with the `SqliteEventLog`."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = SqliteEventLog(str(Path(base_dir) / "history" / "runs"))


def _data(event: dg.EventLogEntry) -> Any:
    assert event.dagster_event is not None
    return event.dagster_event.event_specific_data


def _of_any_partition(event: dg.EventLogEntry) -> dg.EventLogEntry:
    """The same event without its partitions; each row names its own in a column."""
    changed: Any = event
    dagster_event: Any = event.dagster_event
    slim = type(_data(event))(
        asset_key=_data(event).asset_key, check_name=_data(event).check_name, partitions_subset=None
    )
    made: dg.EventLogEntry = changed._replace(
        dagster_event=dagster_event._replace(event_specific_data=slim)
    )
    return made
