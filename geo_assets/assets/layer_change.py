"""What a new version of a layer changes against the version before, where that is cheap to say."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from geo_assets.errors import GeoAssetsError
from geo_assets.kernels.layer_difference import (
    MOST_BYTES,
    LayerDifferenceSpec,
    layer_difference,
    predicted_difference_bytes,
)
from geo_assets.model import PARQUET, Artifact, Chunk, StoredObject
from geo_assets.pictures.svg import large
from geo_assets.production import Bench
from geo_assets.store.artifact import ArtifactStore, Draft

_log = logging.getLogger(__name__)


async def layer_change(
    draft: Draft,
    objects: Sequence[StoredObject],
    *,
    key: str | None,
    crs: object,
    store: ArtifactStore,
    bench: Bench,
) -> tuple[dict[str, str], dict[str, int | float]]:
    """A map and the numbers of features that are new, gone or changed; no map where none is.

    Nothing for a first version, for one of many partitions, for layers of more than 64 MiB, where
    the CRS is another one, and where the objects of the version before are gone: a picture is
    never why a run fails.

    Args:
        draft: The version in the making.
        objects: Its objects, all staged.
        key: The layer's key column.
        crs: The `crs` property of the new version.
        store: Where both lie.
        bench: Where the work is done.
    """
    before = draft.current
    if not bench.alone or before is None or before.properties.get("crs") != crs:
        return {}, {}
    now = Artifact(
        asset=draft.asset,
        partition=draft.partition,
        sequence=draft.base + 1,
        version=draft.version,
        data_prefix=draft.data_prefix,
        objects=tuple(objects),
    )
    size = sum(item.size for artifact in (before, now) for item in _parts(artifact))
    predicted = predicted_difference_bytes(size)
    if size > MOST_BYTES or predicted > bench.engine.budget.total:
        return {}, {}
    try:
        spec = LayerDifferenceSpec(
            before=await _files(store, before, bench.folder),
            now=await _files(store, now, bench.folder),
            key=key,
            title=f"{before.label} against commit {before.sequence}",
        )
        made = await bench.run(
            Chunk(id="difference", kernel=layer_difference, spec=spec, predicted_bytes=predicted)
        )
    except GeoAssetsError as error:
        _log.warning("no picture of what is other than before: %s", error)
        return {}, {}
    names = ("added", "removed", "changed")
    numbers = {f"features_{name}": made.facts[name] for name in names}
    if not any(numbers.values()):
        return {}, numbers
    return {"difference": large(made.facts["svg"], made.facts["alt"])}, numbers


def _parts(artifact: Artifact) -> list[StoredObject]:
    return [item for item in artifact.with_role("data") if item.media_type == PARQUET]


async def _files(store: ArtifactStore, artifact: Artifact, folder: Path) -> tuple[Path, ...]:
    return tuple([await store.local_file(artifact, item.name, folder) for item in _parts(artifact)])
