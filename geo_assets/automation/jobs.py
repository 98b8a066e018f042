"""Jobs and schedules that every project has, made from what it declares.

| job | assets | schedule |
|---|---|---|
| `ingest` | those without partitions | nightly, if something is outdated |
| `tiles` | those by scene | nightly, if something is outdated or failed |
| `daily_events` | those by day, named after the layer | each day that is over, and nightly |
| `checks` | the checks of all assets, in every committed partition | |

Assets by day and something else, such as a region, are a daily job too, whose schedule makes all of
a day in one run.
"""

# Dagster reads the annotations of schedule functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from geo_assets.automation.conditions import condition_sensor
from geo_assets.automation.outdated import outdated
from geo_assets.automation.switch import is_on
from geo_assets.dagster_internals import failed_partitions
from geo_assets.partitions import THOROUGH_TAG
from geo_assets.rectangles import SEPARATOR, enclosing_runs
from geo_assets.resources import GeoStore

DAILY_CRON = "30 1 * * *"
"""UTC: deliveries of a day are expected by then."""

NIGHTLY_CRON = "30 3 * * *"
"""UTC: behind the daily runs, which it repeats where they failed."""

LOOK_S = 30.0
"""Dagster gives a schedule 60 s for everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """Assets with the same partitions."""

    job: str
    partitions: dg.PartitionsDefinition[Any] | None
    keys: tuple[dg.AssetKey, ...]
    """In the order of the graph."""

    @property
    def described(self) -> str:
        """The assets, for people."""
        return ", ".join(f"`{key.to_user_string()}`" for key in self.keys)


def automation(definitions: dg.Definitions) -> dg.Definitions:
    """The jobs, schedules and conditions of a project; all but jobs are off until switched on."""
    families = list(_families(definitions))
    jobs: list[Any] = []
    schedules: list[Any] = []
    for family in families:
        job = dg.define_asset_job(
            family.job,
            selection=dg.AssetSelection.assets(*family.keys),
            description=f"Makes {family.described} and checks them; what is current is left alone.",
            tags={"geo_assets/job": family.job},
        )
        jobs.append(job)
        schedules.append(_nightly(family, job))
        if _days(family.partitions) is not None:
            schedules.append(_daily(family, job))
    graph = definitions.resolve_asset_graph()
    if graph.asset_check_keys:
        jobs.append(_checks())
    conditions = [graph.get(key).automation_condition for key in graph.materializable_asset_keys]
    sensors = [condition_sensor()] if any(conditions) else []
    return dg.Definitions(jobs=jobs, schedules=schedules, sensors=sensors)


def _checks() -> Any:
    return dg.define_asset_job(
        "checks",
        selection=dg.AssetSelection.all_asset_checks(),
        description="Checks everything that is published, each committed partition by itself; a "
        "partition or a range in the run's tags narrows it. `geo-assets check` does the same with "
        "an exit code and reports.",
        tags={"geo_assets/job": "checks", THOROUGH_TAG: "true"},
    )


def _days(partitions: Any) -> dg.TimeWindowPartitionsDefinition | None:
    """The time windows of partitions, alone or as one of two dimensions."""
    dimensions = [partitions]
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        dimensions = [dimension.partitions_def for dimension in partitions.partitions_defs]
    for each in dimensions:
        if isinstance(each, dg.TimeWindowPartitionsDefinition):
            return each
    return None


def _families(definitions: dg.Definitions) -> Iterator[_Family]:
    graph = definitions.resolve_asset_graph()
    groups: list[tuple[Any, list[dg.AssetKey]]] = []
    for key in graph.toposorted_asset_keys:
        if key not in graph.materializable_asset_keys:
            continue
        partitions = graph.get(key).partitions_def
        for known, keys in groups:
            if known == partitions:
                keys.append(key)
                break
        else:
            groups.append((partitions, [key]))
    taken: set[str] = set()
    for partitions, keys in groups:
        name = _name(partitions, keys)
        while name in taken:
            name = f"{name}_{keys[0].path[-1]}"
        taken.add(name)
        yield _Family(job=name, partitions=partitions, keys=tuple(keys))


def _name(partitions: Any, keys: Sequence[dg.AssetKey]) -> str:
    if partitions is None:
        return "ingest"
    if isinstance(partitions, dg.DynamicPartitionsDefinition):
        return "tiles"
    if _days(partitions) is not None:
        return f"daily_{keys[0].path[-1]}"
    return f"all_{keys[0].path[-1]}"


def _daily(family: _Family, job: Any) -> dg.ScheduleDefinition:
    """The last complete partition, once it is over."""

    @dg.schedule(
        name=f"{family.job}_schedule",
        job=job,
        cron_schedule=DAILY_CRON,
        default_status=_status(),
        description="Makes the day that is over, in one run.",
    )
    def schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        assert family.partitions is not None
        days = _days(family.partitions)
        assert days is not None
        over = days.get_partition_keys(current_time=context.scheduled_execution_time)
        if not over:
            return dg.SkipReason("No day is over yet")
        if days is family.partitions:
            return dg.RunRequest(run_key=over[-1], partition_key=over[-1])
        keys = _keys(family.partitions, context)
        of_day = [key for key in keys if over[-1] in key.split(SEPARATOR)]
        runs = enclosing_runs(family.partitions, of_day, keys)
        if not runs:
            return dg.SkipReason("There is nothing but days yet")
        return dg.RunRequest(run_key=over[-1], tags=runs[0].tags())

    return schedule


def _nightly(family: _Family, job: Any) -> dg.ScheduleDefinition:
    """Whatever is outdated or failed, as one run for each enclosing range."""

    @dg.schedule(
        name=f"{family.job}_nightly",
        job=job,
        cron_schedule=NIGHTLY_CRON,
        default_status=_status(),
        description="Makes what is missing, failed, or made of older inputs than there are.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, geo_store: GeoStore
    ) -> list[dg.RunRequest] | dg.SkipReason:
        keys: list[str | None] = [None]
        if family.partitions is not None:
            keys = _keys(family.partitions, context)
        assets = [tuple(key.path) for key in family.keys]
        wanted = asyncio.run(outdated(geo_store.artifacts(), assets, keys, seconds=LOOK_S))
        if family.partitions is None:
            requests = [dg.RunRequest()] if wanted else []
        else:
            for key in family.keys:
                wanted |= failed_partitions(context.instance, key, family.partitions)
            requests = _requests(family.partitions, wanted, keys)
        return requests or dg.SkipReason(f"All of {len(keys)} partitions are current")

    return schedule


def _keys(partitions: Any, context: dg.ScheduleEvaluationContext) -> list[Any]:
    return list(
        partitions.get_partition_keys(
            dynamic_partitions_store=context.instance,
            current_time=context.scheduled_execution_time,
        )
    )


def _requests(partitions: Any, wanted: set[str | None], keys: Sequence[Any]) -> list[dg.RunRequest]:
    runs = enclosing_runs(partitions, {key for key in wanted if key is not None}, keys)
    return [
        dg.RunRequest(tags={"geo_assets/wanted": str(part.wanted)} | part.tags()) for part in runs
    ]


def _status() -> dg.DefaultScheduleStatus:
    return dg.DefaultScheduleStatus.RUNNING if is_on() else dg.DefaultScheduleStatus.STOPPED
