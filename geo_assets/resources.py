"""Dagster resources: where artifacts and sources lie, and the engine that does CPU work."""

# Dagster reads the annotations of resources as objects, not as text, so this module does without
# `from __future__ import annotations`.

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import copy
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from geo_assets.engine import log
from geo_assets.engine.engine import Engine
from geo_assets.observability import exporting
from geo_assets.settings import Settings
from geo_assets.sources import Sources
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import S3Access, open_store
from geo_assets.store.observed import ObservedObjects

R = TypeVar("R", bound=dg.ConfigurableResource[Any])

_CHOICES = {
    "log_format": ("console", "json"),
    "log_level": ("debug", "info", "warning", "error"),
}

LEAST_MEMORY = 64 << 20
"""Bytes below which a memory budget is a number in another unit."""


class GeoStore(dg.ConfigurableResource[None]):
    """Where results are published and where sources are read.

    Both are folders or URLs (`s3://`, `gs://`, `az://`, sources also `https://`). S3 credentials,
    endpoint and profile are those of the `S3Resource`; the other clouds take theirs from the
    environment.
    """

    root: str = Field(min_length=1, description="Folder or URL that results are published under.")
    source: str = Field(
        default="data/source", description="Folder or URL that relative source patterns start at."
    )
    s3: dg.ResourceDependency[S3Resource]

    _artifacts: ArtifactStore | None = PrivateAttr(default=None)

    def artifacts(self) -> ArtifactStore:
        """The versions of all artifacts under the root.

        One for the run, so that it keeps its connections and knows the newest commits.
        """
        if self._artifacts is None:
            objects = open_store(self.root, s3=s3_access(self.s3))
            self._artifacts = ArtifactStore(ObservedObjects(objects))
        return self._artifacts

    def sources(self) -> Sources:
        """The sources under the source base."""
        return Sources(self.source, s3_access(self.s3))


class GeoEngine(dg.ConfigurableResource[None]):
    """Worker processes under a memory budget, alive from the run's first step to its last.

    The engine runs on the event loop that Dagster drives the assets with; at the end of the run,
    or when it is terminated, no worker process and no file in flight is left.
    """

    workers: int = Field(default=0, ge=0, description="Worker processes; 0 means one per CPU.")
    memory_bytes: int = Field(
        default=0,
        ge=0,
        description="Memory budget of all running chunks in bytes; 0 takes it from the cgroup.",
    )
    partitions: int = Field(
        default=4,
        ge=1,
        description="Partitions of one run that are fetched and made at the same time. More keep "
        "the workers busy when partitions are small; each holds its files in the scratch folder.",
    )
    scratch: str = Field(description="Folder for files in flight.")
    log_format: str = Field(default="console", description="`console` or `json`.")
    log_level: str = Field(
        default="info",
        description="Least that is logged: `debug`, `info`, `warning`, `error`.",
    )
    otel: str = Field(default="", description="OTLP endpoint for spans; empty sends none.")
    prometheus: str = Field(default="", description="Pushgateway for metrics; empty pushes none.")

    _engine: Engine | None = PrivateAttr(default=None)

    @field_validator("memory_bytes")
    @classmethod
    def _enough(cls, value: int) -> int:
        if 0 < value < LEAST_MEMORY:
            raise ValueError(f"a budget is at least {LEAST_MEMORY} bytes, 6 GiB are {6 << 30}; "
                             "0 takes it from the cgroup")  # fmt: skip
        return value

    @field_validator("log_format", "log_level")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        allowed = _CHOICES[info.field_name or ""]
        if value not in allowed:
            raise ValueError(f"it is one of {', '.join(allowed)}")
        return value

    @classmethod
    def from_settings(cls, settings: Settings) -> "GeoEngine":
        """The resource that `settings` describe."""
        return preset(
            cls,
            workers=settings.workers,
            memory_bytes=settings.memory_bytes,
            partitions=settings.partitions,
            scratch=str(settings.scratch),
            log_format=settings.log_format,
            log_level=settings.log_level,
            otel=settings.otel,
            prometheus=settings.prometheus,
        )()

    @asynccontextmanager
    async def yield_for_execution(  # type: ignore[override]  # async ones are not in the type
        self, context: dg.InitResourceContext
    ) -> AsyncIterator["GeoEngine"]:
        """Open the engine for the run and close it with it."""
        settings = Settings(
            workers=self.workers,
            memory_bytes=self.memory_bytes,
            scratch=Path(self.scratch),
            log_format=self.log_format,
            log_level=self.log_level,
            otel=self.otel,
            prometheus=self.prometheus,
        )
        log.configure(settings.log_format, level=settings.log_level)
        async with (
            Engine.open(settings) as engine,
            exporting(settings, engine, context.run.run_id if context.run else ""),
        ):
            self._engine = engine
            try:
                yield self
            finally:
                self._engine = None

    @property
    def engine(self) -> Engine:
        """The running engine."""
        if self._engine is None:
            msg = "the engine runs only inside a Dagster run"
            raise RuntimeError(msg)
        return self._engine


def preset(kind: type[R], **values: Any) -> Callable[..., R]:
    """A class like `kind` with other defaults of its fields.

    A run config that names one field of a resource replaces all that the resource was made with;
    what it leaves out is the class's default, which therefore has to be the project's value.
    """
    fields = {name: copy(kind.model_fields[name]) for name in values}
    for name, value in values.items():
        fields[name].default = value
    annotations = {name: field.annotation for name, field in fields.items()}
    body = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__annotations__": annotations}
    return type(kind.__name__, (kind,), {**body, **fields})


def s3_access(resource: S3Resource) -> S3Access:
    """The same access for the object store that dagster-aws has for boto3."""
    for secret in (resource.aws_secret_access_key, resource.aws_session_token):
        log.hide(secret)
    return S3Access(
        endpoint_url=resource.endpoint_url,
        region=resource.region_name,
        access_key=resource.aws_access_key_id,
        secret=resource.aws_secret_access_key,
        session_token=resource.aws_session_token,
        profile=resource.profile_name,
        unsigned=resource.use_unsigned_session,
        verify=resource.verify is not False,
    )
