"""What becomes of single partitions, written into Dagster's event log many at a time.

Dagster's own batches are of materializations on PostgreSQL only. Each verdict of a check costs it
three connections there, and on SQLite every event costs it two. Here a batch is one transaction.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import dagster as dg
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    StepMaterializationData,
)
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

ROWS_AT_ONCE = 500
"""SQLite takes some 32,000 values in one statement."""

_CHECKED = dg.DagsterEventType.ASSET_CHECK_EVALUATION


class PartitionLog:
    """Records what became of single partitions of one step, many at a time.

    Dagster stores an event that an asset or a check yields at once and by itself, while the event
    loop stands still: with a thousand partitions the database sets the pace. Here events are made
    without being stored, and stored together, in a thread if the caller likes.
    """

    def __init__(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> None:
        self._context = context.op_execution_context
        self._step = context.op_execution_context.get_step_execution_context()
        self._writer = EventWriter(context.instance)
        self._last = 0.0
        storage: Any = context.instance.event_log_storage
        subsets = "supports_partition_subset_in_asset_materialization_planned_events"
        self._subsets = bool(getattr(storage, subsets))

    def made(self, materialization: dg.AssetMaterialization) -> dg.EventLogEntry:
        """The entry of a partition that was made."""
        return self._entry(self._materialized(materialization), self._own_time())

    def failed(self, asset: dg.AssetKey, partition: str) -> dg.EventLogEntry | None:
        """The entry that makes a partition count as failed when the run has failed.

        A failed run has failed those partitions that it had planned and not made. With
        `DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS` one event plans them all, and Dagster
        does not look into it for this; without, there is an event for each already.
        """
        if not self._subsets:
            return None
        planned = AssetMaterializationPlannedData(
            asset, partition=partition, partitions_subset=None
        )
        event = DagsterEvent.build_asset_materialization_planned_event(
            self._context.job_name, self._step.step.key, planned
        )
        return self._entry(event)

    def checked(self, verdict: dg.AssetCheckEvaluation) -> dg.EventLogEntry:
        """The entry of a check's verdict on one partition of a run that covers several.

        Dagster gives the result that a check yields a partition only in runs of one partition, and
        drops evaluations that do not say which materialization they are of.
        """
        said = "passed." if verdict.passed else "did not pass."
        message = f"Asset check {verdict.check_name!r} on {verdict.partition!r} {said}"
        return self._entry(
            self._event(dg.DagsterEventType.ASSET_CHECK_EVALUATION, verdict, message)
        )

    def store(self, entries: Sequence[dg.EventLogEntry]) -> None:
        """Write entries; blocks. May be called from any one thread at a time."""
        self._writer.store(entries)

    def echo(self, entry: dg.EventLogEntry) -> None:
        """Hand an event, already stored, to whoever executes this step in his own process.

        A run that was launched has nobody who would take it, and there it would only fill memory.
        """
        if self._step.output_capture is not None and entry.dagster_event is not None:
            self._context._events.append(entry.dagster_event)  # noqa: SLF001

    def _materialized(self, materialization: dg.AssetMaterialization) -> DagsterEvent:
        data = StepMaterializationData(materialization)
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        return self._event(kind, data, "Materialized value.")

    def _event(self, kind: dg.DagsterEventType, data: Any, message: str) -> DagsterEvent:
        step = self._step
        return DagsterEvent(
            event_type_value=kind.value,
            job_name=step.job_name,
            step_handle=step.step.handle,
            node_handle=step.step.node_handle,
            step_kind_value=step.step.kind.value,
            logging_tags=step.event_tags,
            event_specific_data=data,
            message=message,
            pid=os.getpid(),
        )

    def _own_time(self) -> float:
        """Now, or a moment later: of an asset the UI lists one event for each millisecond."""
        now = time.time()
        self._last = max(now, min(self._last + 0.0011, now + 1))
        return self._last

    def _entry(self, event: DagsterEvent, timestamp: float | None = None) -> dg.EventLogEntry:
        make: Any = dg.EventLogEntry
        entry: dg.EventLogEntry = make(
            error_info=None,
            level=logging.DEBUG,
            user_message="",
            run_id=self._context.run_id,
            timestamp=timestamp or time.time(),
            step_key=self._step.step.key,
            job_name=self._context.job_name,
            dagster_event=event,
        )
        return entry


class EventWriter:
    """Writes into the event log of one instance; every method blocks.

    Takes materializations, planned ones, and verdicts of checks on single partitions.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._storage: Any = instance.event_log_storage
        self._whole: bool | None = None

    def store(self, entries: Sequence[dg.EventLogEntry]) -> None:
        """Write entries of one run, in their order. To be called by one thread at a time."""
        for kind, same in groupby(entries, key=lambda entry: entry.dagster_event_type):
            batch = list(same)
            for start in range(0, len(batch), ROWS_AT_ONCE):
                part = batch[start : start + ROWS_AT_ONCE]
                if self._tells_ids():
                    self._insert(part, verdicts=kind == _CHECKED)
                else:
                    for entry in part:
                        self._storage.store_event(entry)

    def _tells_ids(self) -> bool:
        """Whether the database can say which ids one statement has given to its rows."""
        if self._whole is None:
            self._whole = False
            if isinstance(self._storage, SqlEventLogStorage):
                with self._storage.index_connection() as connection:
                    self._whole = bool(connection.dialect.insert_returning)
        return self._whole

    def _insert(self, batch: Sequence[dg.EventLogEntry], *, verdicts: bool) -> None:
        storage = self._storage
        rows = [storage._event_to_row(entry) for entry in batch]  # noqa: SLF001
        table = SqlEventLogStorageTable
        if isinstance(storage, SqliteEventLogStorage):  # it has a file for each run, and an index
            with storage.run_connection(batch[0].run_id) as connection:
                connection.execute(table.insert(), rows)
        with storage.index_transaction() as connection:
            insert = table.insert().returning(table.c.id, sort_by_parameter_order=True)
            ids = [int(row[0]) for row in connection.execute(insert, rows)]
            if verdicts:
                parts = zip(batch, rows, ids, strict=True)
                _index_verdicts(connection, [_execution(*part) for part in parts])
            else:  # the tags of every event; of the asset, what the last one says
                storage._store_asset_event_tags(connection, batch, ids)  # noqa: SLF001
                storage._store_asset_event(connection, batch[-1], ids[-1])  # noqa: SLF001


def _execution(entry: dg.EventLogEntry, row: dict[str, Any], number: int) -> dict[str, Any]:
    event: Any = entry.dagster_event
    verdict: Any = event.asset_check_evaluation_data
    target = verdict.target_materialization_data
    return {
        "asset_key": verdict.asset_key.to_string(),
        "check_name": verdict.check_name,
        "partition": verdict.partition,
        "run_id": entry.run_id,
        "execution_status": "SUCCEEDED" if verdict.passed else "FAILED",
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": number,
        "materialization_event_storage_id": target.storage_id if target else None,
    }


def _index_verdicts(connection: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Put verdicts in the place of the rows that planned them."""
    table = AssetCheckExecutionsTable

    def check(row: dict[str, Any]) -> tuple[str, str, str]:
        return row["asset_key"], row["check_name"], row["run_id"]

    for (asset, name, run), same in groupby(sorted(rows, key=check), key=check):
        planned = (
            (table.c.asset_key == asset)
            & (table.c.check_name == name)
            & (table.c.run_id == run)
            & table.c.partition.in_([row["partition"] for row in same])
        )
        connection.execute(table.delete().where(planned))
    connection.execute(table.insert(), rows)
