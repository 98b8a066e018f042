"""`out/<name>`: a map of the result as one HTML file that needs no network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.body import Plan
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.inputs import newest_input
from geo_assets.automation.conditions import when_inputs_change
from geo_assets.checks.stored import stored_checks
from geo_assets.errors import ConfigError
from geo_assets.kernels.map_layer import MapLayerSpec, map_layer, predicted_layer_bytes
from geo_assets.kernels.map_page import (
    COLOURS,
    OUTLINE,
    RED,
    MapPageSpec,
    PageLayer,
    map_page,
    predicted_page_bytes,
    static_version,
)
from geo_assets.kernels.map_raster import MapRasterSpec, map_raster, predicted_map_bytes
from geo_assets.model import COG, GEOTIFF, PARQUET, Artifact, Chunk, KernelResult, fingerprint
from geo_assets.production import Bench, Merged, Publication
from geo_assets.resources import GeoStore
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft
from geo_assets.upstream import Upstream

MAP_FORMAT = 3
"""Raised when the same inputs give another map than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDeclaration:
    """What a map shows."""

    name: str
    scenes: tuple[str, ...] | None
    layers: tuple[tuple[str, ...], ...]
    report: tuple[str, ...] | None
    attribution: str


def map_asset(
    name: str = "map",
    *,
    scenes: str | None = None,
    layers: Sequence[str] = (),
    report: str | None = None,
    attribution: str = "",
    partitions: dg.PartitionsDefinition[Any] | None = None,
    owners: Sequence[str] = (),
) -> dg.Definitions:
    """Declare a map: one HTML file with everything inside, which opens anywhere.

    It shows a scene under outlines of its tiles, vector layers over it, and the defects of a
    topology report in red; a click shows the attributes. Layers are simplified as far as the page
    asks for, and it says how far.

    Args:
        name: Name of the asset.
        scenes: Asset key of rasters, such as `core/scene_tiles`.
        layers: Asset keys of layers without partitions, from bottom to top: `core/districts`.
        report: Asset key of a topology report.
        attribution: Whose data it is.
        partitions: Partitions of the scenes, if any: one map for each.
        owners: Dagster owners: `team:geo` or an e-mail address.

    Raises:
        ConfigError: It would show nothing.
    """
    declared = MapDeclaration(
        name=name,
        scenes=None if scenes is None else tuple(scenes.split("/")),
        layers=tuple(tuple(key.split("/")) for key in layers),
        report=None if report is None else tuple(report.split("/")),
        attribution=attribution,
    )
    scene_of = None
    if scenes is not None:
        scene_of = Upstream(asset=tuple(scenes.split("/")), own=partitions, partitions=partitions)
    others = [*layers, *([] if report is None else [report])]
    others_of = [
        Upstream(asset=tuple(key.split("/")), own=partitions, partitions=None) for key in others
    ]
    shown = [*([] if scenes is None else [scenes]), *others]
    if not shown:
        raise ConfigError("A map shows scenes, layers or a report", "none",
                          f"map_asset(name={name!r})")  # fmt: skip
    asset = recipe_asset(
        ("out", name),
        partial(_planner, declared, scene_of, others_of),
        description=f"A map of {', '.join(f'`{key}`' for key in shown)}: one HTML file, "
        "which needs no network.",
        kinds={"html"},
        deps=[each.dep() for each in (scene_of, *others_of) if each is not None],
        automation=when_inputs_change(),
        partitions=partitions,
        owners=owners,
    )
    return dg.Definitions(assets=[asset], asset_checks=[stored_checks(("out", name), partitions)])


def _planner(
    declared: MapDeclaration,
    scene_of: Upstream | None,
    others_of: Sequence[Upstream],
    geo_store: GeoStore,
) -> Plan:
    store = geo_store.artifacts()

    async def plan(partition: str | None, folder: Path) -> MapRecipe:
        del folder
        scene = None if scene_of is None else await newest_input(store, scene_of, partition)
        others = [await newest_input(store, each, partition) for each in others_of]
        report = None if declared.report is None else others[-1]
        inputs = [item for item in (scene, *others) if item is not None]
        static = await asyncio.to_thread(static_version)
        versions = [item.version for item in inputs]
        return MapRecipe(
            declared=declared,
            scene=scene,
            layers=tuple(others[: len(declared.layers)]),
            report=report,
            store=store,
            asset=("out", declared.name),
            partition=partition,
            version=fingerprint("map", MAP_FORMAT, static, repr(declared), list(versions)),
            inputs={item.label: item.version for item in inputs},
        )

    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRecipe(Merged):
    """One map."""

    declared: MapDeclaration
    scene: Artifact | None
    layers: tuple[Artifact, ...]
    report: Artifact | None
    store: ArtifactStore
    asset: tuple[str, ...]
    partition: str | None
    version: str
    inputs: Mapping[str, str]

    async def finish(
        self, draft: Draft, receipts: Sequence[ChunkReceipt], bench: Bench
    ) -> Publication:
        """Draw the layers side by side, then put them into a page."""
        del receipts
        drawings = await self._drawings(bench)
        results = await bench.run_all([drawing.chunk for drawing in drawings])
        layers = [made.layer(result) for made, result in zip(drawings, results, strict=True)]
        title = self.declared.name.replace("_", " ")
        spec = MapPageSpec(
            title=title if self.partition is None else f"{title} {self.partition}",
            layers=tuple(layers),
            attribution=self.declared.attribution,
        )
        page = await bench.run(
            Chunk(id="page", kernel=map_page, spec=spec, predicted_bytes=predicted_page_bytes())
        )
        stored = [await draft.stage(file) for file in page.files]
        first = self.scene or self.report or self.layers[0]
        return Publication(
            objects=tuple(stored),
            properties={
                "layers": page.facts["layers"],
                "thumbnail": first.properties.get("thumbnail", ""),
                "numbers": {"layers": len(layers)},
                "texts": {f"shown/{name}": note for name, note in page.facts["layers"].items()},
            },
            bbox=tuple(page.facts["bbox"]),
        )

    async def _drawings(self, bench: Bench) -> list[_Drawing]:
        """From bottom to top."""
        drawings: list[_Drawing] = []
        if self.scene is not None:
            drawings.append(await self._scene(self.scene, bench))
            index = [item.name for item in self.scene.with_role("index")]
            if index:
                drawings.append(
                    await self._layer(self.scene, index, bench, title="tiles", kind="outline")
                )
        for layer, colour in zip(self.layers, cycle(COLOURS), strict=False):
            names = _parquet(layer)
            drawings.append(await self._layer(layer, names, bench, kind="layer", colour=colour))
        if self.report is not None:
            names = _parquet(self.report)
            drawings.append(
                await self._layer(self.report, names, bench, title="defects", kind="defects")
            )
        return drawings

    async def _scene(self, scene: Artifact, bench: Bench) -> _Drawing:
        tiles = [item for item in scene.with_role("data") if item.media_type == COG]
        tiles = tiles or [item for item in scene.with_role("data") if item.media_type == GEOTIFF]
        if not tiles or (len(tiles) > 1 and tiles[0].media_type == GEOTIFF):
            raise ConfigError("A map shows tiles, or a scene in one GeoTIFF", f"{len(tiles)} files",
                              scene.label, "Use the tiles of the series.")  # fmt: skip
        files = [await self.store.local_file(scene, item.name, bench.folder) for item in tiles]
        spec = MapRasterSpec(files=tuple(files), crs=scene.properties.get("crs"))
        chunk = Chunk(
            id="raster", kernel=map_raster, spec=spec, predicted_bytes=predicted_map_bytes()
        )
        return _Drawing(chunk=chunk, title=scene.asset[-1], kind="raster", colour=OUTLINE)

    async def _layer(
        self, layer: Artifact, names: Sequence[str], bench: Bench, *,
        title: str = "", kind: Any = "layer", colour: str = "",
    ) -> _Drawing:  # fmt: skip
        files = [await self.store.local_file(layer, name, bench.folder) for name in names]
        spec = MapLayerSpec(paths=tuple(files), marks=kind == "defects")
        name = f"{kind}-{'-'.join(layer.asset)}"
        chunk = Chunk(id=name, kernel=map_layer, spec=spec, predicted_bytes=predicted_layer_bytes())
        colours = {"outline": OUTLINE, "defects": RED}
        return _Drawing(
            chunk=chunk,
            title=title or layer.asset[-1],
            kind=kind,
            colour=colour or colours[kind],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """How a layer is drawn, and how it appears on the page."""

    chunk: Chunk
    title: str
    kind: Any
    colour: str

    def layer(self, result: KernelResult) -> PageLayer:
        return PageLayer(
            title=self.title,
            kind=self.kind,
            file=result.files[0].path,
            facts=result.facts,
            colour=self.colour,
        )


def _parquet(artifact: Artifact) -> list[str]:
    names = [item.name for item in artifact.with_role("data") if item.media_type == PARQUET]
    if not names:
        raise ConfigError("A layer on a map is GeoParquet", "none", artifact.label)
    return names
