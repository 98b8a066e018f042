"""The check of references: does every row refer to something that is there?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.checks.body import make_checks
from geo_assets.checks.verdict import CheckRule
from geo_assets.errors import ConfigError, InputError
from geo_assets.kernels.references import (
    ReferenceSpec,
    check_references,
    predicted_reference_bytes,
)
from geo_assets.model import PARQUET, Artifact, Chunk
from geo_assets.store.artifact import ArtifactStore


def referential_integrity_check(
    asset: str,
    *,
    column: str,
    to: str,
    key: str,
    nulls: bool = False,
    partitions: dg.PartitionsDefinition[Any] | None = None,
    to_partitioned: bool = False,
    blocking: bool = False,
) -> dg.Definitions:
    """Declare that each value of a column is a key of another layer.

    The check is called `references_<name of the other layer>`. A row whose value is unknown, or
    null where that is not allowed, is a defect, placed by the row's bounding box. The current
    versions are held together, so it also finds what is left over from an older delivery of the
    other layer.

    Args:
        asset: Asset key of the layer or table that refers: `out/events_by_zone`.
        column: The column that refers.
        to: Asset key of the layer that is referred to: `core/districts`.
        key: Its key column.
        nulls: A row may refer to nothing.
        partitions: Partitions of `asset`, if any.
        to_partitioned: The other layer has the same partitions, and each refers to its own;
            else all refer to the one current version.
        blocking: Downstream steps of the same run do not start if it fails.

    Raises:
        ConfigError: The declaration is wrong.
    """
    if to_partitioned and partitions is None:
        raise ConfigError("to_partitioned goes with partitions", "none",
                          f"referential_integrity_check({asset!r})")  # fmt: skip
    other = tuple(to.split("/"))

    async def look(artifact: Artifact, store: ArtifactStore, folder: Path) -> Sequence[Chunk]:
        partition = artifact.partition if to_partitioned else None
        target = await store.newest(other, partition)
        if target is None:
            raise InputError("References lead to something that is materialized", "no version", to,
                             f"Materialize {to} first.")  # fmt: skip
        spec = ReferenceSpec(
            paths=await _tables(artifact, store, folder),
            column=column,
            to_paths=await _tables(target, store, folder),
            to_key=key,
            nulls=nulls,
        )
        rows = int(target.properties.get("rows", 0))
        predicted = predicted_reference_bytes(rows_referred_to=rows)
        return [
            Chunk(id="references", kernel=check_references, spec=spec, predicted_bytes=predicted)
        ]

    rule = CheckRule(
        name=f"references_{other[-1]}",
        fact="references",
        description=f"Every `{column}` is a `{key}` of `{to}`.",
        blocking=blocking,
    )
    checks = make_checks(
        dg.AssetKey(asset.split("/")),
        [rule],
        look,
        partitions,
        family=rule.name,
        deps=[dg.AssetKey(list(other))],
    )
    return dg.Definitions(asset_checks=[checks])


async def _tables(artifact: Artifact, store: ArtifactStore, folder: Path) -> tuple[Path, ...]:
    names = [item.name for item in artifact.with_role("data") if item.media_type == PARQUET]
    if not names:
        raise InputError("References are between Parquet tables", "none", artifact.label)
    return tuple([await store.local_file(artifact, name, folder) for name in names])
