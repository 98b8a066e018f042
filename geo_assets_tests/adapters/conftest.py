"""Adapters are tested with a local root and an instance of their own, without any worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from dagster_aws.s3 import S3Resource

from geo_assets.io_manager import GeoIOManager
from geo_assets.resources import GeoStore
from geo_assets.store.artifact import ArtifactStore

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A root, an I/O manager on it, and the instance that remembers what happened."""

    root: Path
    instance: dg.DagsterInstance

    @property
    def io_manager(self) -> GeoIOManager:
        store = GeoStore(root=str(self.root), source=str(self.root), s3=S3Resource())
        return GeoIOManager(store=store)

    @property
    def store(self) -> ArtifactStore:
        return self.io_manager.artifacts()

    def run(
        self, *assets: Any, select: str | None = None, span: tuple[str, str] | None = None,
        resources: Any = None, **options: Any,
    ) -> dg.ExecuteInProcessResult:  # fmt: skip
        """Materialize through Dagster; `span` makes it a run of several partitions."""
        return dg.materialize(
            assets,
            selection=select,
            instance=self.instance,
            resources={"io_manager": self.io_manager} | (resources or {}),
            tags=dict(zip(RANGE, span, strict=True)) if span else None,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            **options,
        )


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Bench(root=tmp_path / "root", instance=instance)


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The message of what made the one step fail: no traceback, which quotes our source."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    failed = event.step_failure_data
    if failed.user_failure_data and failed.user_failure_data.description:
        return str(failed.user_failure_data.description)
    error = failed.error
    while error.cause is not None:
        error = error.cause
    return str(error.message)


def materializations(
    result: dg.ExecuteInProcessResult, *key: str
) -> dict[str | None, dg.AssetMaterialization]:
    """The materializations of an asset in a run, by partition; each partition at most once."""
    found: dict[str | None, dg.AssetMaterialization] = {}
    for event in result.get_asset_materialization_events():
        made = event.materialization
        if made.asset_key == dg.AssetKey(key):
            assert made.partition not in found
            found[made.partition] = made
    return found


def stale_status(
    instance: dg.DagsterInstance, defs: dg.Definitions, key: Sequence[str],
    partition: str | None = None,
) -> str:  # fmt: skip
    """What the UI says of an asset: FRESH, STALE or MISSING."""
    graph = defs.resolve_asset_graph()
    context = LoadingContextForTest(instance)
    resolver = CachingStaleStatusResolver(instance, graph, context)
    return str(resolver.get_status(dg.AssetKey(key), partition).value)
