"""`out/<name>`: every defect in the topology of a layer, located, as a layer of its own."""

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
from geo_assets.automation.conditions import when_inputs_change
from geo_assets.checks.geoparquet import GEOPARQUET
from geo_assets.checks.stored import stored_checks
from geo_assets.checks.topology import report_checks
from geo_assets.errors import ConfigError
from geo_assets.kernels.layer_picture import LayerPicture, draw_layer
from geo_assets.kernels.topology import (
    TopologyPlan,
    merge_report,
    plan_topology,
    predicted_bytes,
    report_spec,
    topology_chunk,
    topology_chunks,
)
from geo_assets.model import Artifact, Chunk, Findings, fingerprint
from geo_assets.pictures.svg import inline
from geo_assets.production import Bench, Merged, Publication
from geo_assets.resources import GeoStore
from geo_assets.rules.topology import CoverageRules, NetworkRules, ShapeRules, TopologyRules
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft
from geo_assets.upstream import Upstream

TOPOLOGY_FORMAT = 3
"""Raised when the same layer and rules give another report than before."""


def topology_report_asset(
    name: str = "topology_report",
    *,
    layer: str,
    key: str | None = None,
    gap_width_m: float | None = None,
    tolerance_m: float = 0.001,
    sliver_width_m: float = 0.0,
    geometry_types: Sequence[str] = (),
    orientation: str | None = None,
    network: NetworkRules | None = None,
    owners: Sequence[str] = (),
) -> dg.Definitions:
    """Declare a topology report of `core/<layer>` and its checks.

    `out/<name>` holds `defects.parquet`, a GeoParquet layer in the layer's CRS with one row for
    each defect: kind, feature ids, longitude and latitude, size in metres. It opens in QGIS.

    Args:
        name: Name of the asset.
        layer: Name of the layer.
        key: Column that identifies a feature; None uses `fid`.
        gap_width_m: For polygons that form a coverage: holes between them up to this width are
            gaps. None checks features alone.
        tolerance_m: Overlaps and gaps up to this width are unmatched edges.
        sliver_width_m: Polygons nowhere wider than this are slivers; 0 looks for none.
        geometry_types: Types allowed; multi types that are not among them are `multipart`.
        orientation: `ccw` or `cw`: the direction of shells, holes run the other way; None allows
            both.
        network: For lines that form a network: what must hold.
        owners: Dagster owners: `team:geo` or an e-mail address.

    Raises:
        ConfigError: The declaration is wrong.
    """
    if gap_width_m is not None and network is not None:
        raise ConfigError("A layer is a coverage of polygons or a network of lines", "both",
                          f"topology_report_asset(name={name!r})")  # fmt: skip
    rules = TopologyRules(
        shape=ShapeRules(geometry_types=tuple(geometry_types), sliver_width_m=sliver_width_m,
                         orientation=orientation),
        coverage=None if gap_width_m is None
        else CoverageRules(gap_width_m=gap_width_m, tolerance_m=tolerance_m),
        network=network,
    )  # fmt: skip
    layer_of = Upstream(asset=("core", layer), own=None, partitions=None)
    report = recipe_asset(
        ("out", name),
        partial(_planner, name, layer_of, key or "fid", rules),
        description=f"Every defect in the topology of `core/{layer}`, located.",
        kinds={"parquet"},
        deps=[layer_of.dep()],
        automation=when_inputs_change(),
        owners=owners,
    )
    checks = [*report_checks(name, rules), stored_checks(("out", name), None, GEOPARQUET)]
    return dg.Definitions(assets=[report], asset_checks=checks)


def _planner(
    name: str, layer_of: Upstream, key: str, rules: TopologyRules, geo_store: GeoStore
) -> Plan:
    store = geo_store.artifacts()

    async def plan(partition: str | None, folder: Path) -> TopologyRecipe:
        del folder
        source = await newest_input(store, layer_of, partition)
        config = [repr(rules), key]
        return TopologyRecipe(
            rules=rules,
            key=key,
            source=source,
            store=store,
            asset=("out", name),
            partition=partition,
            version=fingerprint("topology", TOPOLOGY_FORMAT, source.version, *config),
            inputs={source.label: source.version},
        )

    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyRecipe(Merged):
    """One layer held against its rules."""

    rules: TopologyRules
    key: str
    source: Artifact
    store: ArtifactStore
    asset: tuple[str, ...]
    partition: str | None
    version: str
    inputs: Mapping[str, str]

    async def finish(
        self, draft: Draft, receipts: Sequence[ChunkReceipt], bench: Bench
    ) -> Publication:
        """Plan, examine the pieces, merge."""
        del receipts
        layer = await self._layer(bench)
        plan = TopologyPlan(layer=layer, rules=self.rules)
        planned = await bench.run(await _chunk("plan", plan_topology, plan))
        pieces = [
            await _chunk(f"piece-{number:05d}", topology_chunk, spec)
            for number, spec in enumerate(topology_chunks(plan, planned.facts))
        ]
        found = await bench.run_all(pieces)
        folders = [result.files[0].path.parent for result in found]
        merge = report_spec(plan, planned.facts, self.key, folders)
        merged = await bench.run(await _chunk("merge", merge_report, merge))
        findings = Findings.from_dict(merged.facts["findings"])
        bbox = merged.facts["bbox"]
        drawn = await bench.run(_drawing(layer, findings))
        stored = [await draft.stage(file) for file in (*merged.files, *drawn.files)]
        return Publication(
            objects=tuple(stored),
            properties={
                "rows": findings.total,
                "checked": findings.checked,
                "findings": findings.as_dict(),
                "thumbnail": inline(drawn.facts["thumbnail"], drawn.facts["alt"]),
                "numbers": {"defects": findings.total, **findings.counts},
            },
            bbox=None if bbox is None else (bbox[0], bbox[1], bbox[2], bbox[3]),
        )

    async def _layer(self, bench: Bench) -> Path:
        parts = self.source.with_role("data")
        if len(parts) != 1:
            raise ConfigError("A topology report is of a layer in one file", f"{len(parts)} parts",
                              self.source.label, "Partition the layer.")  # fmt: skip
        return await self.store.local_file(self.source, parts[0].name, bench.folder)


async def _chunk(name: str, kernel: Any, spec: Any) -> Chunk:
    predicted = await asyncio.to_thread(predicted_bytes, spec)
    return Chunk(id=name, kernel=kernel, spec=spec, predicted_bytes=predicted)


def _drawing(layer: Path, findings: Findings) -> Chunk:
    spec = LayerPicture(paths=(layer,), findings=findings.as_dict())
    return Chunk(id="picture", kernel=draw_layer, spec=spec, predicted_bytes=400 << 20)
