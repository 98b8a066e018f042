"""Dagster's storage on PostgreSQL, without the one write that grows with the square of a run.

When a run is created, Dagster plans each check of each partition in a row of its own, and puts all
partitions of the run into every row: 3,000 partitions take 10 s and 600 MB for each check, and
10,000 are more than PostgreSQL takes in one statement. Here a row names its own partition only.

`geo_assets.instance` takes it where there is a database; everything else is Dagster's own.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config


class LeanEventLog(PostgresEventLogStorage):
    """Plans the checks of a run with one small row for each partition."""

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


class PostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` with the `LeanEventLog`; it takes the same configuration."""

    def __init__(self, postgres_url: str, *args: Any, **options: Any) -> None:
        super().__init__(postgres_url, *args, **options)
        self._event_log_storage = LeanEventLog(
            postgres_url,
            self.should_autocreate_tables,
            token_provider=options.get("token_provider"),
        )

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> PostgresStorage:
        """Called by Dagster with what `dagster.yaml` says."""
        return cls(
            pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )


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
