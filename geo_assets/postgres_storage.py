"""Dagster's storage on PostgreSQL with lean plans; needs `.[postgres]`."""

from __future__ import annotations

from typing import Any

from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage

from geo_assets.event_storage import LeanPlans


class PostgresEventLog(LeanPlans, PostgresEventLogStorage):
    """Dagster's tables of events."""


class PostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` with the `PostgresEventLog`."""

    def __init__(self, postgres_url: str, inst_data: Any = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        self._event_log_storage = PostgresEventLog(postgres_url)
