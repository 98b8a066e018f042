"""The check of age: is the newest data as recent as it should be?"""

# Dagster reads the annotations of check functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from geo_assets.checks.verdict import findings_metadata, summary
from geo_assets.errors import ConfigError
from geo_assets.model import Defect, Findings
from geo_assets.partitions import check_step
from geo_assets.resources import GeoStore
from geo_assets.store import catalog
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.stac import Commit


def freshness_check(
    asset: str,
    *,
    max_age: timedelta,
    partitions: dg.PartitionsDefinition[Any] | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN,
) -> dg.Definitions:
    """Declare how old the newest data of an asset may be.

    What counts is the time of the data, not that of a run: the end of the newest time window
    that is published; else of the newest artifact the latest change of its sources (`raw/...`),
    or the `datetime` of its STAC item. It is one check for the asset, not one for each partition:
    a partition that never came has none.

    Args:
        asset: Asset key: `core/events`.
        max_age: The age from which on data is stale.
        partitions: The asset's partitions, if any.
        severity: WARN, or ERROR where stale data must fail.

    Raises:
        ConfigError: The age is not positive.
    """
    if not max_age > timedelta(0):
        raise ConfigError("max_age is a positive time", repr(max_age),
                          f"freshness_check({asset!r})")  # fmt: skip
    key = dg.AssetKey(asset.split("/"))

    spec = dg.AssetCheckSpec(
        name="freshness",
        asset=key,
        description=f"The newest data is at most {_days(max_age)} old.",
    )

    @dg.multi_asset_check(specs=[spec], name=check_step(key.path, "freshness"))
    async def freshness(geo_store: GeoStore):  # type: ignore[no-untyped-def]  # noqa: ANN202
        now = datetime.now(UTC)
        newest = await newest_data(geo_store.artifacts(), key.path, partitions, now)
        findings = stale(newest, now, max_age)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name="freshness",
            passed=findings.total == 0,
            severity=severity,
            description=findings.samples[0].detail if findings.samples else summary(findings),
            metadata=findings_metadata(findings),
        )

    return dg.Definitions(asset_checks=[freshness])


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The most recent data of an asset."""

    label: str
    """The artifact: `core/events[2026-06-03]`."""
    time: datetime
    """When it is of, with a time zone."""
    missing: int = 0
    """Time windows that are over since, and not published."""


async def newest_data(
    store: ArtifactStore,
    asset: Sequence[str],
    partitions: dg.PartitionsDefinition[Any] | None,
    now: datetime,
) -> Newest | None:
    """The most recent data of an asset, None if nothing is published.

    Of time windows the newest published one is searched from now backwards; else one commit is
    read for each partition.
    """
    if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        keys = partitions.get_partition_keys(current_time=now)
        for missing, key in enumerate(reversed(keys)):
            if (artifact := await store.newest(asset, key)) is not None:
                time = partitions.time_window_for_partition_key(key).end
                return Newest(label=artifact.label, time=time, missing=missing)
        return None
    commits = await catalog.current(store.objects, asset)
    found = [Newest(label=each.artifact.label, time=_time(each)) for each in commits]
    return max(found, key=lambda item: item.time, default=None)


def stale(newest: Newest | None, now: datetime, max_age: timedelta) -> Findings:
    """Whether the newest data is older than allowed: kinds `stale`, `nothing_there`."""
    if newest is None:
        return Findings.of([Defect(kind="nothing_there", detail="Nothing is published.")],
                           checked=1)  # fmt: skip
    age = now - newest.time
    if age <= max_age:
        return Findings(checked=1)
    since = f"; {newest.missing} windows since are not there" if newest.missing else ""
    detail = (f"The newest data is of {newest.time:%Y-%m-%d %H:%M} ({newest.label}), "
              f"{_days(age)} old; {_days(max_age)} are allowed{since}.")  # fmt: skip
    return Findings.of([Defect(kind="stale", feature=newest.label, detail=detail)], checked=1)


def _time(commit: Commit) -> datetime:
    sources = commit.artifact.properties.get("sources") or []
    changed = [_aware(item["modified"]) for item in sources if item.get("modified")]
    return max(changed, default=_aware(commit.datetime or commit.created))


def _aware(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _days(age: timedelta) -> str:
    """`3.5 days`, or hours where that is less than two days."""
    hours = age.total_seconds() / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
