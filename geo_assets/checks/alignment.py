"""The check of a series: do the scenes of all dates lie on the same pixel grid?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg

from geo_assets.checks.body import make_checks
from geo_assets.checks.verdict import CheckRule
from geo_assets.errors import InputError
from geo_assets.grids.cell import Extent
from geo_assets.model import Artifact, Defect, Findings
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.paths import Place, partition_of

_references: WeakKeyDictionary[
    asyncio.AbstractEventLoop, dict[tuple[str, tuple[str, ...]], Artifact]
] = WeakKeyDictionary()
"""The first scene of each series, for all partitions of a run; a run has one event loop."""


_RULE = CheckRule(
    name="alignment",
    fact="alignment",
    description="The scene lies on the same pixel grid as the first one of its series.",
)


def alignment_check(
    asset: Sequence[str], partitions: dg.PartitionsDefinition[Any] | None
) -> dg.AssetChecksDefinition:
    """The check `alignment` of the scenes of a series.

    It waits until a run has fetched all its scenes: only then is known which is the first.
    """

    async def look(
        artifact: Artifact, store: ArtifactStore, folder: Path
    ) -> Mapping[str, Findings]:
        return {_RULE.fact: await aligned(artifact, store, folder)}

    return make_checks(
        dg.AssetKey(list(asset)), [_RULE], look, partitions, family="series", siblings=True
    )


async def aligned(artifact: Artifact, store: ArtifactStore, folder: Path) -> Findings:
    """Whether a scene lies on the pixel grid of the first one of its series.

    The first one by partition key, of those that are published; the core tiles of a series are
    on one grid whatever the scenes are on, so this says how much resampling moves pixels.

    Kinds: `other_files` (not as many), and those of `geo_assets.rules.pixel_grid`, with the
    centre of the scene.
    """
    del folder
    known = _references.setdefault(asyncio.get_running_loop(), {})
    series = (store.objects.uri, artifact.asset)
    if series not in known:
        known[series] = await _first(artifact, store)
    return Findings.of(await asyncio.to_thread(_defects, artifact, known[series]), checked=1)


async def _first(artifact: Artifact, store: ArtifactStore) -> Artifact:
    """The published scene with the lowest partition key."""
    root = Place.of(artifact.asset, None).asset_root
    keys: list[str] = []
    for segment in await store.objects.folders(root):
        try:
            partition = partition_of(segment)
        except InputError:  # a folder of somebody else
            continue
        keys += [] if partition is None else [partition]
    for key in sorted(keys):
        newest = await store.newest(artifact.asset, key)
        if newest is not None:
            return newest
    return artifact


def _defects(artifact: Artifact, reference: Artifact) -> list[Defect]:
    from geo_assets.rules.pixel_grid import misaligned

    ours, theirs = artifact.properties["scene"], reference.properties["scene"]
    files = [[file["extent"] for file in scene["files"]] for scene in (ours, theirs)]
    if len(files[0]) != len(files[1]):
        detail = f"{len(files[0])} files, {reference.label} has {len(files[1])}."
        return [Defect(kind="other_files", feature=artifact.partition, detail=detail)]
    lon, lat = _centre(ours["bbox"])
    return [
        Defect(kind=kind, feature=artifact.partition, lon=lon, lat=lat,
               detail=f"{detail} {reference.label} is the reference.")
        for mine, other in zip(*files, strict=True)
        for kind, detail in misaligned(Extent.from_dict(mine), Extent.from_dict(other))
    ]  # fmt: skip


def _centre(bbox: list[float] | None) -> tuple[float | None, float | None]:
    if bbox is None:
        return None, None
    west, south, east, north = bbox
    east += 360 if east < west else 0
    lon = (west + east) / 2
    return (lon - 360 if lon > 180 else lon), (south + north) / 2
