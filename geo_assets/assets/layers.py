"""How one delivery of a layer becomes its canonical form."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geo_assets.assets.layer_change import layer_change
from geo_assets.assets.operation import operation_numbers, operation_texts
from geo_assets.checks.vector import layer_check_spec
from geo_assets.declarations import Layer
from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.layer_spec import CleanProductSpec, CleanSpec, LayerProductSpec, LayerSpec
from geo_assets.kernels.layers import (
    clean_layer,
    make_layer,
    predicted_bytes,
    predicted_clean_bytes,
)
from geo_assets.model import Artifact, Chunk, Findings, KernelResult, StoredObject, fingerprint
from geo_assets.pictures.svg import inline
from geo_assets.policies import CoverageRepair
from geo_assets.production import Bench, Publication
from geo_assets.rules.proj_grids import proj_grids
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft

LAYER_FORMAT = 6
"""Raised when the same delivery and declaration give another layer than before."""

LAYER_TIMEOUT_S = 6 * 3600.0
"""A layer is one chunk however large it is."""


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
        """One: the kernel streams layers of any size. None where `finish` cleans what it makes."""
        del bench
        return [self._build()] if self.layer.coverage is None else []

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
        """Clean the coverage, where that is declared, and describe the layer."""
        if self.layer.coverage is None:
            return await self._published(draft, receipts[0].objects, receipts[0].facts, bench)
        built = await bench.run(await self.fetch(self._build(), bench.folder))
        cleaned = await bench.run(await self._clean(built, self.layer.coverage, bench))
        beside = [f for f in built.files if not {"data", "metadata"} & set(f.roles)]
        stored = [await draft.stage(file) for file in (*cleaned.files, *beside)]
        return await self._published(draft, stored, {**built.facts, **cleaned.facts}, bench)

    async def _published(
        self,
        draft: Draft,
        objects: Sequence[StoredObject],
        facts: Mapping[str, Any],
        bench: Bench,
    ) -> Publication:
        key, crs = self.layer.key, facts["crs"]
        pictures, numbers = await layer_change(
            draft, objects, key=key, crs=crs, store=self.store, bench=bench
        )
        return replace(_publication(objects, facts), pictures=pictures, numbers=numbers)

    def _build(self) -> Chunk:
        layer, bounds = self.layer, self.delivery.properties["layer"]["bounds"]
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
            bounds=tuple(bounds) if bounds else None,
            required_accuracy_m=layer.required_accuracy_m,
            one_of_many=self.partition is not None,
        )
        check = layer_check_spec(layer, ()) if layer.coverage is None else None
        return Chunk(
            id="layer",
            kernel=make_layer,
            spec=LayerProductSpec(layer=spec, check=check),
            predicted_bytes=predicted_bytes(features=self.delivery.properties["rows"]),
            timeout_s=LAYER_TIMEOUT_S,
        )

    async def _clean(self, built: KernelResult, how: CoverageRepair, bench: Bench) -> Chunk:
        """The chunk that cleans what was built.

        Raises:
            ConfigError: The layer does not fit into memory, or into one file.
        """
        paths = [file.path for file in built.files if "data" in file.roles]
        if len(paths) != 1:
            raise ConfigError("A coverage is cleaned as a whole, in one file",
                              f"{len(paths)} parts", self.delivery.label,
                              "Partition the layer.")  # fmt: skip
        predicted = await asyncio.to_thread(predicted_clean_bytes, paths[0])
        _check_fits(predicted, bench.engine.budget.total, "/".join(self.asset))
        changes = [file.path for file in built.files if "metadata" in file.roles]
        clean = CleanSpec(
            layer=paths[0],
            key=built.facts["key"],
            how=how,
            geometry_types=self.layer.geometry_types,
            earlier=changes[0] if changes else None,
        )
        check = layer_check_spec(self.layer, ())
        spec = CleanProductSpec(clean=clean, name=self.layer.name, check=check)
        return Chunk(id="coverage", kernel=clean_layer, spec=spec, predicted_bytes=predicted,
                     timeout_s=LAYER_TIMEOUT_S)  # fmt: skip


def _check_fits(predicted: int, budget: int, where: str) -> None:
    if predicted > budget:
        raise ConfigError(
            f"A coverage is cleaned as a whole, within the memory budget of {budget >> 20} MiB",
            f"a prediction of {predicted >> 20} MiB", where,
            f"Set GEO_ASSETS_MEMORY to at least {-(-predicted >> 20)}M, partition the layer, "
            "or leave coverage=... out.",
        )  # fmt: skip


async def plan_layer(layer: Layer, partition: str | None, store: ArtifactStore) -> LayerRecipe:
    """The recipe for the newest delivery.

    Raises:
        InputError: Nothing was delivered yet.
    """
    delivery = await store.newest(("raw", layer.name), partition)
    if delivery is None:
        raise InputError("A layer is fetched before it is read", "no version", f"raw/{layer.name}",
                         f"Materialize raw/{layer.name} first.")  # fmt: skip
    # A grid that was installed since then gives other coordinates.
    grids = await asyncio.to_thread(proj_grids) if layer.source_crs != layer.crs else []
    config = layer.config() | ({"proj_grids": grids} if grids else {})
    return LayerRecipe(
        layer=layer,
        delivery=delivery,
        store=store,
        asset=("core", layer.name),
        partition=partition,
        version=fingerprint("layer", LAYER_FORMAT, delivery.version, config),
        inputs={delivery.label: delivery.version},
    )


def _publication(objects: Sequence[StoredObject], made: Mapping[str, Any]) -> Publication:
    checked, operation, repair = made["checked"], made["operation"], made["repair"]
    left = made.get("left_alone")
    return Publication(
        objects=tuple(objects),
        properties={
            "rows": made["rows"]["kept"],
            "columns": made["columns"],
            "crs": made["crs"],
            "operation": operation,
            "shift": made["shift"],
            "quarantine": made["quarantine"],
            "repair": repair,
            **({} if left is None else {"left_alone": left}),
            "geometry_types": made["geometry_types"],
            "thumbnail": inline(checked["thumbnail"], checked["alt"]),
            "numbers": {
                "rows_delivered": made["rows"]["delivered"],
                "rows_quarantined": made["rows"]["quarantined"],
                "antimeridian_crossings": made["antimeridian_crossings"],
                "defects": Findings.from_dict(checked["geometry"]).total,
                **_repairs(repair, left),
                **operation_numbers(operation),
                **_shift(made["shift"]),
                **({"m_values_dropped": made["m_dropped"]} if made["m_dropped"] else {}),
            },
            "texts": {"crs": made["crs"]["name"], **operation_texts(operation)},
        },
        bbox=made["bbox"],
    )  # fmt: skip


def _repairs(repair: Mapping[str, Any], left: Mapping[str, Any] | None) -> dict[str, int | float]:
    """What the UI plots of repairs: nothing where none was made."""
    numbers: dict[str, int | float] = {}
    if repair["repaired"]:
        numbers |= {f"repaired_{how}": number for how, number in repair["by"].items()}
        numbers |= {f"repaired_{name}": repair[name] for name in ("changed_m2", "area_gained_m2",
                                                                   "area_lost_m2")}  # fmt: skip
    if left is not None:
        numbers["repair_left_alone"] = Findings.from_dict(left).total
    return numbers


def _shift(shift: Mapping[str, Any] | None) -> dict[str, float]:
    """The largest datum shift, where it is known."""
    if shift is None or shift["largest_m"] is None:
        return {}
    return {"datum_shift_largest_m": shift["largest_m"]}
