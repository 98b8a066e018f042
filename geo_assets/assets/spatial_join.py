"""`out/<name>`: two layers joined by place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.body import Plan
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.inputs import newest_input
from geo_assets.assets.join_sides import fetch_sides
from geo_assets.checks.geoparquet import GEOPARQUET
from geo_assets.checks.stored import stored_checks
from geo_assets.kernels.join import join_index_kernel, join_kernel, join_merge_kernel
from geo_assets.kernels.join_plan import chunk_bytes, index_bytes, merge_bytes, plan_join
from geo_assets.kernels.join_spec import (
    JoinChunkSpec,
    JoinIndexSpec,
    JoinMergeSpec,
    JoinRule,
    Statistic,
)
from geo_assets.kernels.table_facts import TableSpec, table_facts
from geo_assets.model import Artifact, Chunk, KernelResult, OutputFile, fingerprint
from geo_assets.pictures.svg import inline
from geo_assets.production import Bench, Merged, Publication
from geo_assets.resources import GeoStore
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft
from geo_assets.upstream import Upstream

JOIN_FORMAT = 4
"""Raised when the same layers and rule give another result than before."""

_SHOWN = {
    "inner": "Each row of {left} with each of {right} that it is joined to: {predicate}.",
    "left": "Each row of {left}, with those of {right} that it is joined to: {predicate}.",
    "aggregate": "Statistics of {left} for each row of {right}, joined by place: {predicate}.",
}
"""What the UI says of a join."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinDeclaration:
    """A spatial join of two core layers."""

    name: str
    rule: JoinRule
    left_columns: tuple[str, ...] | None
    right_columns: tuple[str, ...] | None
    left_of: Upstream
    right_of: Upstream


def spatial_join_asset(
    name: str,
    *,
    left: str,
    right: str,
    crs: str,
    predicate: str = "intersects",
    how: str = "inner",
    left_columns: Sequence[str] | None = None,
    right_columns: Sequence[str] | None = None,
    statistics: Sequence[tuple[str, str | None]] = (("count", None),),
    partitions: dg.PartitionsDefinition[Any] | None = None,
    right_partitions: dg.PartitionsDefinition[Any] | None = None,
    owners: Sequence[str] = (),
    **options: Any,
) -> dg.Definitions:
    """Declare a spatial join of `core/<left>` with `core/<right>`.

    Both layers are compared in `crs`; one that is in another CRS is reprojected, never compared
    as it is. The result is GeoParquet with a row for each pair, in the order of the left layer,
    in as many files as the work has chunks; or with `how="aggregate"` one file with a row for
    each right feature.

    Args:
        name: Name of the asset.
        left: Layer whose rows are joined: many points, for example.
        right: Layer that is looked up: zones, for example.
        crs: The CRS that geometries are compared in.
        predicate: `left <predicate> right`: intersects, within, contains, covers, covered_by,
            touches, crosses, overlaps, dwithin or nearest.
        how: inner, left (rows without a partner stay) or aggregate (by right feature).
        left_columns: Columns kept of the left layer; None keeps all.
        right_columns: Columns kept of the right layer; None keeps all.
        statistics: For aggregate: pairs of a statistic and a left column.
        partitions: Partitions of the left layer, if any.
        right_partitions: Partitions of the right layer, if any: those that `geo_assets.upstream`
            knows a rule for. Without, its current version is joined to every partition.
        owners: Dagster owners: `team:geo` or an e-mail address.
        **options: The other fields of `JoinRule`: distance for dwithin; max_distance, neighbours
            and distance_column for nearest; right_key, zone_geometry.

    Raises:
        ConfigError: The declaration is wrong.
    """
    rule = JoinRule(
        crs=crs,
        predicate=predicate,
        how=how,
        statistics=tuple(Statistic(name=kind, column=column) for kind, column in statistics),
        **{"index_column": options.get("right_key") or "index_right", **options},
    )
    declared = JoinDeclaration(
        name=name,
        rule=rule,
        left_columns=None if left_columns is None else tuple(left_columns),
        right_columns=None if right_columns is None else tuple(right_columns),
        left_of=Upstream(asset=("core", left), own=partitions, partitions=partitions),
        right_of=Upstream(asset=("core", right), own=partitions, partitions=right_partitions),
    )
    asset = recipe_asset(
        ("out", name),
        partial(_planner, declared),
        description=_SHOWN[how].format(
            left=f"`core/{left}`", predicate=predicate, right=f"`core/{right}`"
        ),
        kinds={"parquet"},
        deps=[declared.left_of.dep(), declared.right_of.dep()],
        partitions=partitions,
        owners=owners,
    )
    more = [GEOPARQUET] if rule.zone_geometry or how != "aggregate" else []
    checks = [stored_checks(("out", name), partitions, *more)]
    return dg.Definitions(assets=[asset], asset_checks=checks)


def _planner(declared: JoinDeclaration, geo_store: GeoStore) -> Plan:
    store = geo_store.artifacts()

    async def plan(partition: str | None, folder: Path) -> JoinRecipe:
        del folder
        left = await newest_input(store, declared.left_of, partition)
        right = await newest_input(store, declared.right_of, partition)
        config = [repr(declared.rule), repr(declared.left_columns), repr(declared.right_columns)]
        version = fingerprint("join", JOIN_FORMAT, left.version, right.version, *config)
        return JoinRecipe(
            declared=declared,
            left=left,
            right=right,
            store=store,
            asset=("out", declared.name),
            partition=partition,
            version=version,
            inputs={left.label: left.version, right.label: right.version},
        )

    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRecipe(Merged):
    """One version of each layer, joined."""

    declared: JoinDeclaration
    left: Artifact
    right: Artifact
    store: ArtifactStore
    asset: tuple[str, ...]
    partition: str | None
    version: str
    inputs: Mapping[str, str]

    async def finish(
        self, draft: Draft, receipts: Sequence[ChunkReceipt], bench: Bench
    ) -> Publication:
        """Index the right layer and join the left one chunk by chunk.

        Pairs are published as the chunks wrote them, one file for each, in the order of the left
        layer; the sums of an aggregate are merged into one table.
        """
        del receipts
        rule = self.declared.rule
        names = (self.declared.left_columns, self.declared.right_columns)
        left, right = await fetch_sides(
            self.store, (self.left, self.right), names, rule, bench.folder
        )
        index_spec = JoinIndexSpec(right=right, rule=rule, left=left[0])
        index = await bench.run(await _chunk("index", join_index_kernel, index_spec, index_bytes))
        place = index.files[0].path.parent
        specs: list[JoinChunkSpec] = []
        for side in left:
            specs += await asyncio.to_thread(plan_join, side, right, rule, place, first=len(specs))
        pieces = [
            await _chunk(f"rows-{spec.number:06d}", join_kernel, spec, chunk_bytes)
            for spec in specs
        ]
        parts = await bench.run_all(pieces)
        if rule.how != "aggregate":
            return await self._publish(draft, _as_layer(parts, self.declared.name), bench)
        merge = JoinMergeSpec(
            right=right,
            rule=rule,
            index=place,
            parts=tuple(result.files[0].path for result in parts),
            name=f"{self.declared.name}.parquet",
        )
        merged = await bench.run(await _chunk("merge", join_merge_kernel, merge, merge_bytes))
        return await self._publish(draft, merged.files, bench)

    async def _publish(
        self, draft: Draft, files: Sequence[OutputFile], bench: Bench
    ) -> Publication:
        spec = TableSpec(paths=tuple(file.path for file in files))
        looked = await bench.run(
            Chunk(id="look", kernel=table_facts, spec=spec, predicted_bytes=400 << 20)
        )
        stored = [await draft.stage(each) for each in (*files, *looked.files)]
        return Publication(
            objects=tuple(stored),
            properties={
                "rows": looked.facts["rows"],
                "columns": looked.facts["columns"],
                "thumbnail": inline(looked.facts["thumbnail"], looked.facts["alt"]),
                "texts": {"predicate": self.declared.rule.predicate, "how": self.declared.rule.how},
            },
            bbox=looked.facts["bbox"],
        )


def _as_layer(parts: Sequence[KernelResult], name: str) -> list[OutputFile]:
    """The chunks' files named as those of a layer; without empty ones, unless all are."""
    full = [part for part in parts if part.facts["rows"]] or parts[:1]
    if len(full) == 1:
        return [replace(full[0].files[0], name=f"{name}.parquet")]
    return [
        replace(part.files[0], name=f"{name}-{number:05d}.parquet")
        for number, part in enumerate(full)
    ]


async def _chunk(name: str, kernel: Any, spec: Any, predict: Any) -> Chunk:
    predicted = await asyncio.to_thread(predict, spec)
    return Chunk(id=name, kernel=kernel, spec=spec, predicted_bytes=predicted)
