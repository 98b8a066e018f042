"""The sensor of a scene series: new and changed objects become partitions and one run."""

# Dagster reads the annotations of sensor functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import dagster as dg

from geo_assets.automation.listing import Limits, Look, look, told
from geo_assets.automation.memory import Cursor, Memory
from geo_assets.automation.switch import is_on
from geo_assets.declarations import SceneSeries
from geo_assets.model import fingerprint
from geo_assets.partitions import KeyRange, enclosing_ranges, scene_partitions
from geo_assets.resources import GeoStore

EVERY_S = 60


def scene_sensor(series: SceneSeries, *, limits: Limits | None = None) -> dg.SensorDefinition:
    """A sensor that watches where the scenes of a series arrive.

    New scenes become partitions, and they and changed ones are materialized: one run for scenes
    that are contiguous, with checks. An object is changed when its size or time is. Deleted
    objects are reported as observations of their partitions, whose results stay. Objects that are
    not named like a scene are reported once. A tick looks at as much of the listing as it has time
    for; the next one goes on from there. Off until switched on.

    Args:
        series: The declaration.
        limits: How much one tick does.
    """
    raw, tiles = dg.AssetKey(["raw", series.scenes]), dg.AssetKey(["core", series.name])
    bounds = limits or Limits()

    @dg.sensor(
        name=f"{series.scenes}_sensor",
        target=dg.AssetSelection.assets(raw, tiles),
        minimum_interval_seconds=EVERY_S,
        default_status=_status(),
        description=f"Watches `{series.source}` for new, changed and deleted objects.",
    )
    def sensor(context: dg.SensorEvaluationContext, geo_store: GeoStore) -> dg.SensorResult:
        order = context.instance.get_dynamic_partitions(series.scenes)
        cursor = Cursor.parse(context.cursor)
        found, following = asyncio.run(_tick(series, geo_store, cursor, bounds))
        _report(context, found)
        return _Tick(series=series, found=found, order=order).result(cursor, following)

    return sensor


async def _tick(
    series: SceneSeries, geo_store: GeoStore, cursor: Cursor, limits: Limits
) -> tuple[Look, Cursor]:
    memory = Memory(geo_store.artifacts().objects, series.scenes)
    known = await memory.recall(cursor)
    found = await look(geo_store.sources(), series, known, cursor.after, limits=limits)
    following = cursor if found.known == known else await memory.keep(cursor, found.known)
    return found, replace(following, after=found.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tick:
    """What one tick tells Dagster."""

    series: SceneSeries
    found: Look
    order: Sequence[str]
    """All partitions before this tick."""

    def result(self, cursor: Cursor, following: Cursor) -> dg.SensorResult:
        """New partitions, runs and observations."""
        there = set(self.order)
        new = [key for key in self.found.fresh if key not in there]
        ranges = enclosing_ranges(self.found.fresh, [*self.order, *new])
        partitions = scene_partitions(self.series)
        return dg.SensorResult(
            run_requests=[self._request(part, cursor) for part in ranges],
            dynamic_partitions_requests=[partitions.build_add_request(new)] if new else [],
            asset_events=[self._gone(key) for key in self.found.gone if key in there],
            cursor=following.text(),
            skip_reason=None if ranges else dg.SkipReason(_idle(self.found)),
        )

    def _request(self, part: KeyRange, cursor: Cursor) -> dg.RunRequest:
        # The same tick done again asks for the same run, which Dagster then leaves out.
        identity = fingerprint(cursor.text(), part.start, part.end, list(self.found.fresh))
        return dg.RunRequest(
            run_key=f"{self.series.scenes}:{identity}",
            tags={"geo_assets/wanted": str(part.wanted)} | part.tags(),
        )

    def _gone(self, key: str) -> dg.AssetObservation:
        return dg.AssetObservation(
            asset_key=["raw", self.series.scenes],
            partition=key,
            description="An object of this scene was deleted; what was made of it stays.",
            metadata={"geo_assets/source": "deleted"},
        )


def _report(context: dg.SensorEvaluationContext, found: Look) -> None:
    for line in told(found.malformed):
        context.log.warning("not a scene: %s", line)
    for line in told(found.gone):
        context.log.warning("deleted at the source: %s", line)
    for line in told(found.incomplete):
        context.log.info("waiting for the other bands of %s", line)


def _idle(found: Look) -> str:
    place = "" if found.after is None else f", up to {found.after}"
    return f"Nothing new among {found.listed:,} objects{place}"


def _status() -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if is_on() else dg.DefaultSensorStatus.STOPPED
