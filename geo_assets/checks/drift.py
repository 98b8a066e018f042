"""Checks of numbers that commits hold: values as declared, and near those of the version before.

They read commits alone. A first version has nothing to drift from, and passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from pyproj import Transformer

from geo_assets.checks.stored import StoredCheck
from geo_assets.checks.verdict import CheckRule
from geo_assets.errors import ConfigError
from geo_assets.model import Artifact, Defect, Findings, StoredObject
from geo_assets.store.artifact import ArtifactStore

VERSIONS_BACK = 20
"""Commits that are looked through for another version: a fence repeats the current one."""

_WARN = dg.AssetCheckSeverity.WARN


def row_drift_check(limit: float, where: str) -> StoredCheck:
    """`row_drift`: whether the number of rows changed by more than `limit`, as a share.

    Raises:
        ConfigError: The limit is no positive number.
    """
    _check_share(limit, "row_change", where)
    rule = CheckRule(
        name="row_drift",
        fact="row_drift",
        description=f"The number of rows is within {limit:.0%} of that of the version before.",
        severity=_WARN,
    )

    async def judge(artifact: Artifact, store: ArtifactStore, folder: Path) -> Findings:
        del folder
        return row_drift(artifact, await previous(artifact, store), limit)

    return StoredCheck(rule=rule, judge=judge)


def value_drift_check(limit: float, where: str) -> StoredCheck:
    """`value_drift`: whether a band's mean moved by more than `limit` of its earlier range.

    Raises:
        ConfigError: The limit is no positive number.
    """
    _check_share(limit, "value_change", where)
    rule = CheckRule(
        name="value_drift",
        fact="value_drift",
        description=f"The mean of each band has moved by less than {limit:.0%} of the range it "
        "had in the version before, and so has the share of pixels with data.",
        severity=_WARN,
    )

    async def judge(artifact: Artifact, store: ArtifactStore, folder: Path) -> Findings:
        del folder
        return value_drift(artifact, await previous(artifact, store), limit)

    return StoredCheck(rule=rule, judge=judge)


def nodata_share_check(least: float, where: str) -> StoredCheck:
    """`nodata_share`: whether at least a share `least` of all pixels of the tiles has data.

    Raises:
        ConfigError: The limit is no share.
    """
    _check_share(least, "min_valid_share", where)
    rule = CheckRule(
        name="nodata_share",
        fact="nodata_share",
        description=f"At least {least:.0%} of the tiles' pixels have data.",
        severity=_WARN,
    )

    async def judge(artifact: Artifact, store: ArtifactStore, folder: Path) -> Findings:
        del store, folder
        return thin_data(artifact, least)

    return StoredCheck(rule=rule, judge=judge)


def value_range_check(limits: tuple[float, float], where: str) -> StoredCheck:
    """`value_range`: whether every pixel with data lies between two values, both included.

    Raises:
        ConfigError: There is nothing between them.
    """
    low, high = limits
    if not low < high:
        raise ConfigError("value_range is the lowest and the highest value", repr(limits), where)
    rule = CheckRule(
        name="value_range",
        fact="value_range",
        description=f"Every pixel with data is between {low:g} and {high:g}.",
    )

    async def judge(artifact: Artifact, store: ArtifactStore, folder: Path) -> Findings:
        del store, folder
        return outside(artifact, low, high)

    return StoredCheck(rule=rule, judge=judge)


def _check_share(value: float, what: str, where: str) -> None:
    if not value > 0:
        raise ConfigError(f"{what} is a positive share", repr(value), where)


async def previous(artifact: Artifact, store: ArtifactStore) -> Artifact | None:
    """The version before, if there was one within the last commits."""
    oldest = max(0, artifact.sequence - 1 - VERSIONS_BACK)
    for sequence in range(artifact.sequence - 1, oldest, -1):
        earlier = await store.at(artifact.asset, artifact.partition, sequence)
        if earlier.version != artifact.version:
            return earlier
    return None


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
    share = _valid_share(artifact)
    if share is None or share >= limit:
        return Findings(checked=1)
    detail = f"{share:.1%} of the pixels have data, {limit:.0%} are asked for."
    return Findings.of([Defect(kind="nodata_share", detail=detail)], checked=1)


def outside(artifact: Artifact, low: float, high: float) -> Findings:
    """Tiles with a pixel below `low` or above `high`; each is placed by its centre."""
    tiles = [item for item in artifact.with_role("data") if "stats" in item.facts]
    return Findings.of(_outside(artifact, tiles, low, high), checked=len(tiles))


def _outside(
    artifact: Artifact, tiles: Sequence[StoredObject], low: float, high: float
) -> Iterator[Defect]:
    for tile in tiles:
        for number, band in enumerate(tile.facts["stats"], 1):
            if not band["valid"]:
                continue
            beyond = {"below_range": band["min"] < low, "above_range": band["max"] > high}
            for kind in (kind for kind, wrong in beyond.items() if wrong):
                value = band["min" if kind == "below_range" else "max"]
                lon, lat = _centre(tile, artifact.properties["crs"])
                detail = f"Band {number}: {value:g}, declared are {low:g} to {high:g}."
                yield Defect(kind=kind, feature=tile.name, lon=lon, lat=lat, detail=detail)


def _centre(tile: StoredObject, crs: str) -> tuple[float, float]:
    left, bottom, right, top = tile.facts["bounds"]
    lon, lat = _to_degrees(crs).transform((left + right) / 2, (bottom + top) / 2)
    return lon, lat


@lru_cache(maxsize=8)
def _to_degrees(crs: str) -> Transformer:
    return Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)


def value_drift(artifact: Artifact, before: Artifact | None, limit: float) -> Findings:
    """Bands whose mean, or a share of pixels with data, that moved by more than `limit`."""
    now, then = _bands(artifact), _bands(before) if before else []
    moved = [*_moved(now, then, limit)]
    share, earlier = _valid_share(artifact), _valid_share(before) if before else None
    if share is not None and earlier is not None and abs(share - earlier) > limit:
        moved.append(Defect(kind="nodata_drift", detail=f"{share:.1%} of the pixels have data, "
                            f"{earlier:.1%} before."))  # fmt: skip
    return Findings.of(moved, checked=len(now))


def _valid_share(artifact: Artifact) -> float | None:
    share: float | None = artifact.properties.get("numbers", {}).get("valid_share")
    return share


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
    tiles: list[Any] = [
        item.facts["stats"] for item in artifact.with_role("data") if "stats" in item.facts
    ]
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
