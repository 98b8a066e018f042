"""A project as a user would declare it, over a small demo world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.assets.topology_report import topology_report_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.grids import TileMatrixGrid
from geo_assets.model import Artifact
from geo_assets.settings import Settings
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store

GRID = TileMatrixGrid("WebMercatorQuad", 14, 256)
DAYS = dg.DailyPartitionsDefinition(start_date="2026-06-01", end_date="2026-06-04")
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

LAYER = (["raw", "districts"], ["core", "districts"], ["out", "topology_report"])
SCENES = (["raw", "scenes"], ["core", "scene_tiles"])
EVENTS = (["raw", "events"], ["core", "events"])


def declared() -> list[dg.Definitions]:
    """Scenes, a layer, daily events and a report."""
    return [
        raster_tiles_asset(
            "scene_tiles", source="scenes/{scene}.tif", crs="EPSG:32633", grid=GRID
        ),
        vector_layer_asset(
            "districts",
            source="layers/districts.gpkg",
            source_crs="EPSG:3035",
            crs="EPSG:32633",
            key="district_id",
            geometry_types=("Polygon", "MultiPolygon"),
        ),
        vector_layer_asset(
            "events",
            source="events/{partition}.parquet",
            source_crs="EPSG:4326",
            crs="EPSG:32633",
            key="id",
            geometry_types=("Point",),
            partitions=DAYS,
        ),
        topology_report_asset(
            "topology_report", layer="districts", key="district_id", gap_width_m=3.0
        ),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Where a project reads, publishes and works."""

    source: Path
    root: Path
    scratch: Path
    parts: Sequence[dg.Definitions] = ()
    """What is declared; by default `declared()`."""

    @property
    def settings(self) -> Settings:
        return Settings(
            source=str(self.source), root=str(self.root), scratch=self.scratch, workers=2,
            memory_bytes=2 << 30,
        )  # fmt: skip

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(open_store(str(self.root)))

    def definitions(self, **resources: Any) -> dg.Definitions:
        made = assemble(*(self.parts or declared()), settings=self.settings)
        return dg.Definitions(
            assets=made.assets, asset_checks=made.asset_checks, executor=made.executor,
            resources={**(made.resources or {}), **resources},
        )  # fmt: skip

    def run(
        self,
        instance: dg.DagsterInstance,
        *keys: Sequence[str],
        partition: str | None = None,
        span: tuple[str, str] | None = None,
        **resources: Any,
    ) -> Ran:
        """One run in this process, as the UI would launch it: assets and their checks."""
        job = self.definitions(**resources).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(key) for key in keys],
            partition_key=partition,
            tags=dict(zip(RANGE, span, strict=True)) if span else None,
            run_config=QUIET,
            raise_on_error=False,
        )
        return Ran(result=result, instance=instance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A run that is over, as the event log tells it."""

    result: dg.ExecuteInProcessResult
    instance: dg.DagsterInstance

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def checks(self) -> list[dg.AssetCheckEvaluation]:
        return list(self.result.get_asset_check_evaluations())

    def materializations(self) -> list[dg.AssetMaterialization]:
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        logged = self.instance.all_logs(self.result.run_id, of_type=kind)
        return [entry.asset_materialization for entry in logged]


def made(ran: Ran, *key: str) -> dict[str | None, Any]:
    """Metadata values of an asset's materializations in a run, by partition; one for each."""
    found: dict[str | None, Any] = {}
    for one in ran.materializations():
        if one.asset_key.path == list(key):
            assert one.partition not in found, "a partition is reported once"
            found[one.partition] = {name: value.value for name, value in one.metadata.items()}
    return found


def tags(ran: Ran, *key: str) -> dict[str | None, Any]:
    """Tags of an asset's materializations in a run, by partition."""
    all_made = ran.materializations()
    return {one.partition: one.tags for one in all_made if one.asset_key.path == list(key)}


def verdicts(ran: Ran, *key: str) -> dict[tuple[str, str | None], bool]:
    """Whether each check of an asset passed, by name and partition."""
    return {
        (check.check_name, check.partition): check.passed
        for check in ran.checks
        if check.asset_key.path == list(key)
    }


def failures(ran: Ran) -> dict[str, str]:
    """What each failed step said, without its traceback."""
    found = {}
    for event in ran.result.all_events:
        if event.is_step_failure:
            failed = event.step_failure_data
            error = failed.error
            while error is not None and error.cause is not None:
                error = error.cause
            told = failed.user_failure_data.description if failed.user_failure_data else None
            found[event.step_key] = told or (error.message if error else "")
    return found


def stored(root: Path, *, without: Sequence[str] = ()) -> dict[str, bytes]:
    """Every immutable object under a root: path and bytes; commits and aliases are left out."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and "/data/" in str(path)
        and not any(part in str(path) for part in without)
    }


def commits(root: Path) -> list[str]:
    """Paths of all commits under a root."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("_commits/*.json"))


def addresses(root: Path, artifact: Artifact, suffix: str) -> Iterator[Path]:
    """Local files of an artifact's objects."""
    for item in artifact.objects:
        if item.name.endswith(suffix):
            yield root / artifact.data_prefix / item.name
