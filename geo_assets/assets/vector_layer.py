"""`raw/<name>` and `core/<name>`: a vector layer as delivered, and in its canonical form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.body import Plan
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.layers import LayerRecipe, plan_layer
from geo_assets.assets.raw import RawRecipe, plan_raw
from geo_assets.checks.drift import row_drift_check
from geo_assets.checks.stored import stored_checks
from geo_assets.checks.vector import layer_checks
from geo_assets.declarations import Layer
from geo_assets.kernels.layer_spec import InspectSpec
from geo_assets.kernels.layers import READ_BYTES, inspect_delivery
from geo_assets.model import Chunk, Json
from geo_assets.partitions import placeholders
from geo_assets.production import Publication
from geo_assets.resources import GeoStore
from geo_assets.upstream import Upstream


def vector_layer_asset(
    name: str,
    *,
    source: str,
    crs: str,
    partitions: dg.PartitionsDefinition[Any] | None = None,
    row_change: float | None = 0.5,
    owners: Sequence[str] = (),
    **options: Any,
) -> dg.Definitions:
    """Declare a layer: a raw asset, a core asset and their checks.

    `raw/<name>` keeps the delivery byte for byte. `core/<name>` is GeoParquet 1.1 in the
    canonical CRS with the declared schema; what cannot be kept is in `quarantine.parquet` beside
    it with the reason, so that rows delivered are rows kept and rows quarantined. Nothing is
    repaired unless `invalid="repair"` or `coverage=CoverageRepair(...)` says so; what a repair
    changed, feature by feature and by how much area, is in `changes.parquet`.

    Args:
        name: Name of the layer.
        source: Path of the delivery, relative to `GEO_ASSETS_SOURCE` or a URI of its own; with
            `{partition}` for one file per partition, or for partitions with two dimensions with
            the name of each: `{date}/{region}.parquet`.
        crs: The canonical CRS.
        partitions: The partitions, where the source has placeholders for them.
        row_change: Warn where the number of rows changes by more than this share from one
            version to the next; None does not look.
        owners: Dagster owners: `team:geo` or an e-mail address.
        **options: The other fields of `Layer`: source_crs, key, columns, geometry_types,
            invalid, repair, coverage, ...

    Raises:
        ConfigError: The declaration is wrong.
    """
    layer = Layer(name=name, source=source, crs=crs, **options)
    layer.check_partitions(placeholders(partitions))
    raw = recipe_asset(
        ("raw", name),
        partial(_raw_planner, layer),
        description=f"The layer as delivered, from `{source}`.",
        kinds={"file"},
        partitions=partitions,
        owners=owners,
        heavy=False,
    )
    core = recipe_asset(
        ("core", name),
        partial(_core_planner, layer),
        description=f"The layer in {crs}, checked, as GeoParquet 1.1.",
        kinds={"parquet"},
        deps=[Upstream(asset=("raw", name), own=partitions, partitions=partitions).dep()],
        partitions=partitions,
        owners=owners,
    )
    where = f"vector_layer_asset(name={name!r})"
    drift = [] if row_change is None else [row_drift_check(row_change, where)]
    checks = [
        *layer_checks(layer, partitions),
        stored_checks(("raw", name), partitions),
        stored_checks(("core", name), partitions, *drift),
    ]
    return dg.Definitions(assets=[raw, core], asset_checks=checks)


def _raw_planner(layer: Layer, geo_store: GeoStore) -> Plan:
    sources, store = geo_store.sources(), geo_store.artifacts()

    async def plan(partition: str | None, folder: Path) -> RawRecipe:
        return await plan_raw(
            asset=("raw", layer.name),
            partition=partition,
            pattern=layer.source,
            bands=(),
            inspection=_LayerInspection(layer),
            sources=sources,
            store=store,
            folder=folder,
        )

    return plan


def _core_planner(layer: Layer, geo_store: GeoStore) -> Plan:
    store = geo_store.artifacts()

    async def plan(partition: str | None, folder: Path) -> LayerRecipe:
        del folder
        return await plan_layer(layer, partition, store)

    return plan


@dataclass(frozen=True, slots=True)
class _LayerInspection:
    """Reads a delivery once, so that a damaged one is refused where it arrives."""

    layer: Layer

    @property
    def media_type(self) -> str:
        """Of deliveries in any format."""
        return "application/octet-stream"

    def chunk(self, files: Sequence[Path]) -> Chunk:
        """The whole delivery."""
        spec = InspectSpec(
            source=files[0],
            layer=self.layer.layer,
            encoding=self.layer.encoding,
            xy_columns=self.layer.xy_columns,
        )
        return Chunk(id="layer", kernel=inspect_delivery, spec=spec, predicted_bytes=READ_BYTES)

    def picture(self, files: Sequence[Path]) -> Chunk | None:
        """None: the core layer is drawn."""
        del files
        return None

    def describe(self, facts: Mapping[str, Any]) -> Publication:
        """What was delivered."""
        return Publication(
            objects=(),
            properties={
                "layer": dict(facts),
                "rows": facts["features"],
                "columns": facts["columns"],
                "numbers": {"null_geometries": facts["null_geometries"]},
            },
        )

    def config(self) -> Json:
        """What decides how the delivery is read."""
        xy = self.layer.xy_columns
        return {
            "layer": self.layer.layer,
            "encoding": self.layer.encoding,
            "xy_columns": list(xy) if xy else None,
        }
