"""`raw/<name>` and `core/<name>`: a vector layer as delivered, and in its canonical form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.body import Plan
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.raw import RawRecipe, plan_raw
from geo_assets.checks.vector import layer_check_spec, layer_checks
from geo_assets.declarations import Layer
from geo_assets.errors import InputError
from geo_assets.kernels.layer import LayerSpec, predicted_bytes
from geo_assets.kernels.layer_product import LayerProductSpec, make_layer
from geo_assets.kernels.vector_inspect import InspectSpec, inspect_layer
from geo_assets.metadata import svg_markdown
from geo_assets.model import Artifact, Chunk, Findings, Json, fingerprint
from geo_assets.production import Bench, Publication
from geo_assets.resources import GeoStore
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft

LAYER_FORMAT = 1
"""Raised when the same delivery and declaration give another layer than before."""


def vector_layer_asset(
    name: str,
    *,
    source: str,
    crs: str,
    partitions: dg.PartitionsDefinition[Any] | None = None,
    owners: Sequence[str] = (),
    **options: Any,
) -> dg.Definitions:
    """Declare a layer: a raw asset, a core asset and their checks.

    `raw/<name>` keeps the delivery byte for byte. `core/<name>` is GeoParquet 1.1 in the
    canonical CRS with the declared schema; what cannot be kept is in `quarantine.parquet` beside
    it with the reason, so that rows delivered are rows kept and rows quarantined.

    Args:
        name: Name of the layer.
        source: Path of the delivery, relative to `GEO_ASSETS_SOURCE` or a URI of its own; with
            `{partition}` for one file per partition.
        crs: The canonical CRS.
        partitions: The partitions, where the source has `{partition}`.
        owners: Dagster owners: `team:geo` or an e-mail address.
        **options: The other fields of `Layer`: source_crs, key, columns, geometry_types, ...

    Raises:
        ConfigError: The declaration is wrong.
    """
    layer = Layer(name=name, source=source, crs=crs, **options)
    layer.check_partitions(partitions is not None)
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
        deps=[raw],
        partitions=partitions,
        owners=owners,
    )
    return dg.Definitions(assets=[raw, core], asset_checks=layer_checks(layer, partitions))


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


_INSPECT_BYTES = 400 << 20
"""A batch of features as Arrow and as GEOS objects."""


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
        return Chunk(id="layer", kernel=inspect_layer, spec=spec, predicted_bytes=_INSPECT_BYTES)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecipe:
    """One delivery in its canonical form."""

    layer: Layer
    delivery: Artifact
    store: ArtifactStore
    asset: tuple[str, ...]
    partition: str | None
    version: str
    inputs: Mapping[str, str]

    async def chunks(self, bench: Bench) -> Sequence[Chunk]:
        """One: the kernel streams layers of any size."""
        del bench
        layer = self.layer
        spec = LayerSpec(
            source=Path(self.delivery.with_role("data")[0].name),
            name=layer.name,
            crs=layer.crs,
            source_crs=layer.source_crs,
            layer=layer.layer,
            encoding=layer.encoding,
            xy_columns=layer.xy_columns,
            key=layer.key,
            columns=layer.columns,
            extra_columns=layer.extra_columns,
            geometry_types=layer.geometry_types,
            null_geometry=layer.null_geometry,
            invalid=layer.invalid,
            repair=layer.repair,
            extent=layer.extent,
            required_accuracy_m=layer.required_accuracy_m,
        )
        predicted = predicted_bytes(features=self.delivery.properties["rows"])
        product = LayerProductSpec(layer=spec, check=layer_check_spec(layer, ()))
        return [Chunk(id="layer", kernel=make_layer, spec=product, predicted_bytes=predicted,
                      timeout_s=LAYER_TIMEOUT_S)]  # fmt: skip

    async def fetch(self, chunk: Chunk, folder: Path) -> Chunk:
        """Bring the delivery and its sidecars into one folder."""
        files = [
            await self.store.local_file(self.delivery, item.name, folder)
            for item in self.delivery.objects
        ]
        layer = replace(chunk.spec.layer, source=files[0])
        return chunk.with_spec(replace(chunk.spec, layer=layer))

    async def finish(
        self, draft: Draft, receipts: Sequence[ChunkReceipt], bench: Bench
    ) -> Publication:
        """Describe the layer."""
        del draft, bench
        receipt = receipts[0]
        return Publication(
            objects=receipt.objects,
            properties=_properties(receipt.facts, receipt.facts["checked"]),
            bbox=receipt.facts["bbox"],
        )


LAYER_TIMEOUT_S = 6 * 3600.0
"""A layer is one chunk however large it is."""


async def plan_layer(layer: Layer, partition: str | None, store: ArtifactStore) -> LayerRecipe:
    """The recipe for the newest delivery.

    Raises:
        InputError: Nothing was delivered yet.
    """
    delivery = await store.newest(("raw", layer.name), partition)
    if delivery is None:
        raise InputError("A layer is fetched before it is read", "no version", f"raw/{layer.name}",
                         f"Materialize raw/{layer.name} first.")  # fmt: skip
    return LayerRecipe(
        layer=layer,
        delivery=delivery,
        store=store,
        asset=("core", layer.name),
        partition=partition,
        version=fingerprint("layer", LAYER_FORMAT, delivery.version, layer.config()),
        inputs={delivery.label: delivery.version},
    )


def _properties(made: Mapping[str, Any], checked: Mapping[str, Any]) -> dict[str, Any]:
    operation = made["operation"]
    return {
        "rows": made["rows"]["kept"],
        "columns": made["columns"],
        "crs": made["crs"],
        "operation": operation,
        "quarantine": made["quarantine"],
        "repair": made["repair"],
        "geometry_types": made["geometry_types"],
        "thumbnail": svg_markdown(checked["thumbnail"], checked["alt"]),
        "numbers": {
            "rows_delivered": made["rows"]["delivered"],
            "rows_quarantined": made["rows"]["quarantined"],
            "antimeridian_crossings": made["antimeridian_crossings"],
            "defects": Findings.from_dict(checked["geometry"]).total,
            **({} if operation.get("accuracy_m") is None
               else {"crs_accuracy_m": operation["accuracy_m"]}),
        },
        "texts": {"crs": made["crs"]["name"], "crs_operation": operation["name"]},
    }  # fmt: skip
