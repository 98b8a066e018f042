"""Checks of a vector layer: CRS, schema and geometry, derived from its declaration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.declarations import Layer
from geo_assets.kernels.layer_spec import LayerCheckSpec
from geo_assets.kernels.layers import READ_BYTES, look_at_layer
from geo_assets.model import Artifact, Chunk
from geo_assets.store.artifact import ArtifactStore


def layer_checks(
    layer: Layer, partitions: dg.PartitionsDefinition[Any] | None
) -> list[dg.AssetChecksDefinition]:
    """The checks of `core/<name>`.

    CRS and schema block: everything downstream would be wrong. Invalid geometry does not, where
    the declaration keeps it: the check is there to find it.
    """

    async def look(artifact: Artifact, store: ArtifactStore, folder: Path) -> Sequence[Chunk]:
        paths = [
            await store.local_file(artifact, item.name, folder)
            for item in artifact.with_role("data")
        ]
        spec = layer_check_spec(layer, paths)
        return [Chunk(id="layer", kernel=look_at_layer, spec=spec, predicted_bytes=READ_BYTES)]

    return [make_checks(dg.AssetKey(["core", layer.name]), _RULES, look, partitions)]


_RULES = (
    CheckRule(
        name="crs",
        fact="crs",
        description="The layer is in its declared CRS, and its coordinates can be.",
        blocking=True,
    ),
    CheckRule(
        name="schema",
        fact="schema",
        description="Columns, types and keys are as declared; the file is valid GeoParquet 1.1.",
        blocking=True,
    ),
    CheckRule(
        name="geometry",
        fact="geometry",
        description="Every geometry is present, valid and of an allowed type.",
    ),
)


def layer_check_spec(layer: Layer, paths: Sequence[Path]) -> LayerCheckSpec:
    """What the declaration says of the layer's files."""
    return LayerCheckSpec(
        paths=tuple(paths),
        crs=layer.crs,
        key=layer.key,
        columns=layer.columns,
        extra_columns=layer.extra_columns,
        geometry_types=layer.geometry_types,
        null_geometry=layer.null_geometry,
    )
