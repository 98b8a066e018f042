"""Checks that ask the store alone: are the objects whole, and how far is this from last time?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.errors import ConfigError
from geo_assets.model import Artifact, Defect, Findings, StoredObject
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.bounded import each
from geo_assets.store.verify import digest

OBJECTS_AT_ONCE = 8
VERSIONS_BACK = 20
"""Commits that are looked through for another version: a fence repeats the current one."""

_WARN = dg.AssetCheckSeverity.WARN


def stored_checks(
    asset: str,
    *,
    row_change: float | None = None,
    min_valid_share: float | None = None,
    value_change: float | None = None,
    partitions: dg.PartitionsDefinition[Any] | None = None,
) -> dg.Definitions:
    """Declare checks of what an asset has published; they need no worker.

    `objects` reads every object that the commit names and compares size and SHA-256. The others
    only warn: they say what looks suspicious, against the version before. A first version passes.

    Args:
        asset: Asset key: `core/scene_tiles`.
        row_change: Share by which the number of rows may change: 0.2 is a fifth up or down.
        min_valid_share: Of tiles: share of their pixels that must have data.
        value_change: Of tiles: by how much of the range of a band its mean may move.
        partitions: The asset's partitions, if any.

    Raises:
        ConfigError: A threshold makes no sense.
    """
    limits = {"row_change": row_change, "min_valid_share": min_valid_share,
              "value_change": value_change}  # fmt: skip
    for name, value in limits.items():
        if value is not None and not value > 0:
            raise ConfigError(f"{name} is a positive share", repr(value),
                              f"stored_checks({asset!r})")  # fmt: skip

    async def look(
        artifact: Artifact, store: ArtifactStore, folder: Path
    ) -> Mapping[str, Findings]:
        del folder
        found = {"objects": await damaged(artifact, store)}
        before = await previous(artifact, store)
        if row_change is not None:
            found["row_drift"] = row_drift(artifact, before, row_change)
        if min_valid_share is not None:
            found["nodata_share"] = thin_data(artifact, min_valid_share)
        if value_change is not None:
            found["value_drift"] = value_drift(artifact, before, value_change)
        return found

    rules = [CheckRule(name="objects", fact="objects", description=_TEXTS["objects"])]
    rules += [
        CheckRule(name=name, fact=name, description=_TEXTS[name], severity=_WARN)
        for name, limit in (("row_drift", row_change), ("nodata_share", min_valid_share),
                            ("value_drift", value_change))
        if limit is not None
    ]  # fmt: skip
    key = dg.AssetKey(asset.split("/"))
    return dg.Definitions(asset_checks=[make_checks(key, rules, look, partitions, family="stored")])


_TEXTS = {
    "objects": "Every object the commit names is there, with its size and SHA-256.",
    "row_drift": "The number of rows is near that of the version before.",
    "nodata_share": "Enough of the tiles' pixels have data.",
    "value_drift": "The mean of each band is near that of the version before.",
}


async def previous(artifact: Artifact, store: ArtifactStore) -> Artifact | None:
    """The version before, if there was one within the last commits."""
    oldest = max(0, artifact.sequence - 1 - VERSIONS_BACK)
    for sequence in range(artifact.sequence - 1, oldest, -1):
        earlier = await store.at(artifact.asset, artifact.partition, sequence)
        if earlier.version != artifact.version:
            return earlier
    return None


async def damaged(artifact: Artifact, store: ArtifactStore) -> Findings:
    """Objects that are missing or hold other bytes than the commit says.

    Each is read as it is stored now: nothing that was verified before is believed.
    """

    async def one(stored: StoredObject) -> Defect | None:
        try:
            size, sha256 = await digest(store.objects, f"{artifact.data_prefix}/{stored.name}")
        except FileNotFoundError:
            return Defect(kind="object_missing", feature=stored.name, detail="It is not there.")
        if size != stored.size:
            return Defect(kind="object_size", feature=stored.name,
                          detail=f"{size:,} bytes instead of {stored.size:,}.")  # fmt: skip
        if sha256 != stored.sha256:
            return Defect(kind="object_bytes", feature=stored.name,
                          detail="Its SHA-256 is another one.")  # fmt: skip
        return None

    found = await each(one, artifact.objects, limit=OBJECTS_AT_ONCE)
    return Findings.of([one for one in found if one], checked=len(artifact.objects))


def row_drift(artifact: Artifact, before: Artifact | None, limit: float) -> Findings:
    """Whether the number of rows has changed by more than `limit`, as a share of before."""
    rows = artifact.properties.get("rows")
    earlier = before.properties.get("rows") if before else None
    if rows is None or earlier is None or abs(rows - earlier) <= limit * earlier:
        return Findings(checked=1)
    change = f"{(rows - earlier) / earlier:+.0%}, " if earlier else ""
    detail = f"{rows:,} rows, {earlier:,} before: {change}allowed is {limit:.0%}."
    return Findings.of([Defect(kind="row_drift", detail=detail)], checked=1)


def thin_data(artifact: Artifact, limit: float) -> Findings:
    """Whether less than `limit` of all pixels of the tiles have data."""
    share = artifact.properties.get("numbers", {}).get("valid_share")
    if share is None or share >= limit:
        return Findings(checked=1)
    detail = f"{share:.1%} of the pixels have data, {limit:.0%} are asked for."
    return Findings.of([Defect(kind="nodata_share", detail=detail)], checked=1)


def value_drift(artifact: Artifact, before: Artifact | None, limit: float) -> Findings:
    """Bands whose mean moved by more than `limit` of the range they had before."""
    now, then = _bands(artifact), _bands(before) if before else []
    return Findings.of(_moved(now, then, limit), checked=len(now))


def _moved(
    now: Sequence[Mapping[str, float]], then: Sequence[Mapping[str, float]], limit: float
) -> Iterator[Defect]:
    for number, (new, old) in enumerate(zip(now, then, strict=False), 1):
        width = old["max"] - old["min"]
        if abs(new["mean"] - old["mean"]) > limit * width:
            detail = (f"Band {number}: mean {new['mean']:.6g}, {old['mean']:.6g} before, "
                      f"which ranged from {old['min']:.6g} to {old['max']:.6g}.")  # fmt: skip
            yield Defect(kind="value_drift", feature=f"band {number}", detail=detail)


def _bands(artifact: Artifact) -> list[dict[str, float]]:
    """Minimum, maximum and mean of each band over all tiles, each tile by its valid pixels."""
    tiles = [item.facts["stats"] for item in artifact.with_role("data") if "stats" in item.facts]
    bands = []
    for parts in zip(*tiles, strict=True):
        seen = [part for part in parts if part["valid"]]
        pixels = sum(part["valid"] for part in seen)
        if not pixels:
            return []
        bands.append({
            "min": min(part["min"] for part in seen),
            "max": max(part["max"] for part in seen),
            "mean": sum(part["mean"] * part["valid"] for part in seen) / pixels,
        })  # fmt: skip
    return bands
