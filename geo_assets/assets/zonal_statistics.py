"""`out/<name>`: statistics of each scene over each zone of a layer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.body import Plan
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.inputs import newest_input
from geo_assets.assets.operation import operation_numbers, operation_texts
from geo_assets.checks.stored import stored_checks
from geo_assets.errors import ConfigError
from geo_assets.kernels.table_facts import TableSpec, table_facts
from geo_assets.kernels.zonal import (
    ZonalPlan,
    check_statistics,
    compute_zones,
    merge_zones,
    plan_zones,
    predicted_bytes,
    zonal_chunks,
    zonal_table,
)
from geo_assets.model import COG, GEOTIFF, Artifact, Chunk, fingerprint
from geo_assets.production import Bench, Merged, Publication
from geo_assets.resources import GeoStore
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft
from geo_assets.upstream import Upstream

ZONAL_FORMAT = 1
"""Raised when the same scene, zones and statistics give another table than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonalDeclaration:
    """Statistics of a scene series over a layer."""

    name: str
    raster: tuple[str, ...]
    zones: str
    key: str
    statistics: tuple[str, ...]
    bands: tuple[int, ...]
    required_accuracy_m: float | None
    scene_of: Upstream
    zones_of: Upstream


def zonal_statistics_asset(
    name: str = "zonal_statistics",
    *,
    raster: str,
    zones: str,
    key: str = "fid",
    statistics: Sequence[str] = ("count", "mean", "min", "max", "stdev"),
    bands: Sequence[int] = (),
    partitions: dg.PartitionsDefinition[Any] | None = None,
    zones_partitions: dg.PartitionsDefinition[Any] | None = None,
    required_accuracy_m: float | None = None,
    owners: Sequence[str] = (),
) -> dg.Definitions:
    """Declare statistics of each scene over the current zones, or over those of its date.

    exactextract weighs each pixel by the fraction of it that a zone covers. Pixels without data
    do not take part; a zone outside the scene has nulls, not zeros.

    Args:
        name: Name of the asset.
        raster: Asset key of the scenes, such as `raw/scenes` (pixels as delivered) or
            `core/scene_tiles` (pixels of the grid).
        zones: Layer of polygons, in any CRS.
        key: Column that names a zone.
        statistics: exactextract's operations: count, sum, mean, min, max, stdev, median,
            quantile(q=0.9), majority, minority, variety, frac, ...
        bands: Bands, from 1; empty takes all.
        partitions: Partitions of the scenes, if any.
        zones_partitions: Partitions of the zones, if any: those that `geo_assets.upstream` knows
            a rule for. Daily or yearly zones are those of the date in the scene's name.
        required_accuracy_m: Accuracy in metres that the operation which brings the zones into
            the scene's CRS must reach.
        owners: Dagster owners: `team:geo` or an e-mail address.

    Raises:
        ConfigError: The declaration is wrong.
    """
    where = f"zonal_statistics_asset(name={name!r})"
    check_statistics(statistics, where)
    if required_accuracy_m is not None and not required_accuracy_m > 0:
        raise ConfigError("required_accuracy_m is a positive number of metres",
                          repr(required_accuracy_m), where)  # fmt: skip
    declared = ZonalDeclaration(
        name=name,
        raster=tuple(raster.split("/")),
        zones=zones,
        key=key,
        statistics=tuple(statistics),
        bands=tuple(bands),
        required_accuracy_m=required_accuracy_m,
        scene_of=Upstream(asset=tuple(raster.split("/")), own=partitions, partitions=partitions),
        zones_of=Upstream(asset=("core", zones), own=partitions, partitions=zones_partitions),
    )
    asset = recipe_asset(
        ("out", name),
        partial(_planner, declared),
        description=f"{', '.join(statistics)} of `{raster}` over each zone of `core/{zones}`.",
        kinds={"parquet"},
        deps=[declared.scene_of.dep(), declared.zones_of.dep()],
        partitions=partitions,
        owners=owners,
    )
    return dg.Definitions(assets=[asset], asset_checks=[stored_checks(("out", name), partitions)])


def _planner(declared: ZonalDeclaration, geo_store: GeoStore) -> Plan:
    store = geo_store.artifacts()

    async def plan(partition: str | None, folder: Path) -> ZonalRecipe:
        del folder
        scene = await newest_input(store, declared.scene_of, partition)
        zones = await newest_input(store, declared.zones_of, partition)
        config = repr((declared.key, declared.statistics, declared.bands,
                       declared.required_accuracy_m))  # fmt: skip
        version = fingerprint("zonal", ZONAL_FORMAT, scene.version, zones.version, config)
        return ZonalRecipe(
            declared=declared,
            scene=scene,
            zones=zones,
            store=store,
            asset=("out", declared.name),
            partition=partition,
            version=version,
            inputs={scene.label: scene.version, zones.label: zones.version},
        )

    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonalRecipe(Merged):
    """One scene over one version of the zones."""

    declared: ZonalDeclaration
    scene: Artifact
    zones: Artifact
    store: ArtifactStore
    asset: tuple[str, ...]
    partition: str | None
    version: str
    inputs: Mapping[str, str]

    async def finish(
        self, draft: Draft, receipts: Sequence[ChunkReceipt], bench: Bench
    ) -> Publication:
        """Group the zones, compute group by group, merge in the order of the zones."""
        del receipts
        plan = await self._plan(bench)
        number = int(self.zones.properties["rows"])
        sized = partial(predicted_bytes, zones=number)
        planned = await bench.run(
            Chunk(id="plan", kernel=plan_zones, spec=plan, predicted_bytes=sized(plan))
        )
        specs = await asyncio.to_thread(zonal_chunks, plan, planned.facts)
        parts = await bench.run_all(
            [
                Chunk(id=f"zones-{n:05d}", kernel=compute_zones, spec=spec,
                      predicted_bytes=sized(spec))
                for n, spec in enumerate(specs)
            ]
        )  # fmt: skip
        folders = [result.files[0].path.parent for result in parts]
        merge = zonal_table(plan, planned.facts, self.declared.key, folders)
        merged = await bench.run(
            Chunk(id="merge", kernel=merge_zones, spec=merge, predicted_bytes=sized(merge))
        )
        spec = TableSpec(paths=(merged.files[0].path,))
        looked = await bench.run(
            Chunk(id="look", kernel=table_facts, spec=spec, predicted_bytes=128 << 20)
        )
        stored = [await draft.stage(file) for file in merged.files]
        operation = planned.facts["operation"]
        return Publication(
            objects=tuple(stored),
            properties={
                "rows": looked.facts["rows"],
                "columns": looked.facts["columns"],
                "operation": operation,
                "findings": merged.facts["findings"],
                "thumbnail": self.scene.properties.get("thumbnail", ""),
                "numbers": {
                    **{f"zones_{name}": n for name, n in planned.facts["status"].items()},
                    **operation_numbers(operation),
                },
                "texts": operation_texts(operation),
            },
        )

    async def _plan(self, bench: Bench) -> ZonalPlan:
        rasters = [
            await self.store.local_file(self.scene, item.name, bench.folder)
            for item in self.scene.with_role("data")
            if item.media_type in (COG, GEOTIFF)
        ]
        parts = self.zones.with_role("data")
        if len(parts) != 1 or not rasters:
            raise ConfigError("Zonal statistics read GeoTIFF rasters and zones in one file",
                              f"{len(rasters)} rasters, {len(parts)} files of zones",
                              self.scene.label)  # fmt: skip
        zones = await self.store.local_file(self.zones, parts[0].name, bench.folder)
        return ZonalPlan(
            rasters=tuple(rasters),
            zones=zones,
            statistics=self.declared.statistics,
            bands=self.declared.bands,
            required_accuracy_m=self.declared.required_accuracy_m,
        )
