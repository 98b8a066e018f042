"""Where a Dagster instance keeps its records and the output of steps: one variable for each.

`dagster.yaml` cannot choose by a variable, so it names these classes and they do:

| variable | unset | set |
|---|---|---|
| `DAGSTER_POSTGRES_URL` | SQLite files under `$DAGSTER_HOME` | that PostgreSQL database |
| `DAGSTER_LOG_BUCKET` | files under `$DAGSTER_HOME` | that S3 bucket |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Dagster documents classes of one's own in `dagster.yaml`, but exports none of their bases.
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from geo_assets.errors import ConfigError
from geo_assets.event_storage import SqliteStorage

POSTGRES_URL = "DAGSTER_POSTGRES_URL"
LOG_BUCKET = "DAGSTER_LOG_BUCKET"
LOG_PREFIX = "dagster/logs"
UPLOAD_S = 30
"""The output of a step that runs for long is uploaded so often, in seconds."""


class Storage(DagsterStorage, ConfigurableClass):
    """Runs, events and schedules, in PostgreSQL or in SQLite files."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing: the environment says it all."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Any:
        """The storage that `DAGSTER_POSTGRES_URL` asks for.

        Raises:
            ConfigError: The variable holds no PostgreSQL URL, or its driver is not installed.
        """
        del config_value
        url = os.environ.get(POSTGRES_URL)
        if not url:
            return SqliteStorage.from_local(str(dagster_home()), inst_data)
        address = postgres_url(url)
        try:
            from geo_assets.postgres_storage import PostgresStorage
        except ModuleNotFoundError:
            raise ConfigError(
                f"{POSTGRES_URL} needs dagster-postgres", "it is not installed", "",
                "pip install -c constraints.txt -e '.[postgres]'",
            ) from None  # fmt: skip
        return PostgresStorage(address, inst_data)


class ComputeLogs(ComputeLogManager, ConfigurableClass):
    """What steps write to stdout and stderr, in S3 or in files."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing: the environment says it all."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Any:
        """The manager that `DAGSTER_LOG_BUCKET` asks for."""
        del config_value
        bucket = os.environ.get(LOG_BUCKET)
        folder = str(dagster_home() / "storage")
        if not bucket:
            return LocalComputeLogManager(folder, inst_data=inst_data)
        from dagster_aws.s3 import S3ComputeLogManager

        return S3ComputeLogManager(
            bucket=bucket,
            prefix=LOG_PREFIX,
            # Before they are uploaded logs lie in files named after runs and numbers of ticks: in
            # the system's temporary folder, the default, those of two instances would be mixed.
            local_dir=folder,
            endpoint_url=os.environ.get("AWS_ENDPOINT_URL"),
            skip_empty_files=True,
            upload_interval=UPLOAD_S,
            inst_data=inst_data,
        )


def dagster_home() -> Path:
    """`$DAGSTER_HOME`, or what `make dev` and `geo-assets` use in its place."""
    return Path(os.environ.get("DAGSTER_HOME") or ".dagster_home").absolute()


def postgres_url(text: str) -> str:
    """The URL with its driver: a bare `postgresql://` means another one to SQLAlchemy 2.1.

    Raises:
        ConfigError: It is no PostgreSQL URL.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg2"):
        raise ConfigError(f"{POSTGRES_URL} is a URL of PostgreSQL", repr(scheme), "",
                          "Write postgresql://user:password@host:5432/database.")  # fmt: skip
    return f"postgresql+psycopg2://{rest}"
