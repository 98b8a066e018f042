"""Materializes a selection in as few runs as its partitions allow."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import dagster as dg

from geo_assets.commands.project import (
    Project,
    known_keys,
    register,
    wanted_partitions,
)
from geo_assets.errors import ConfigError
from geo_assets.rectangles import exact_runs
from geo_assets.runner import RunReport, Tell, run_assets


def materialize(
    project: Project,
    instance: dg.DagsterInstance,
    keys: Sequence[dg.AssetKey],
    tell: Tell,
    *,
    single: Sequence[str] = (),
    span: str | None = None,
) -> list[RunReport]:
    """Make every asset of `keys`; one that is current already costs a look.

    Assets with the same partitions share runs, upstream before downstream. Without `single` and
    `span` the partitions are those that a source has now; new scenes are registered first. After
    a run that fails, assets that depend on the failed ones are not tried.

    Raises:
        ConfigError: A partition does not exist, or it is not known which are meant.
    """
    batches = list(_batches(project, keys))
    named = any(definition is not None for definition, _ in batches)
    if (single or span) and not named:
        raise ConfigError("Partitions are of assets that have some", "none here", "--partition")
    reports: list[RunReport] = []
    lost: set[dg.AssetKey] = set()
    for definition, batch in batches:
        todo = [key for key in batch if not project.ancestors(key) & lost]
        lost |= set(batch) - set(todo)
        runs: list[Sequence[str]] = [()]
        if definition is not None:
            order, wanted = partitions_of(project, instance, definition, single, span)
            runs = list(exact_runs(definition, wanted, order))
        for run in runs if todo else ():
            report = run_assets(project.defs, instance, todo, partitions=run, tell=tell)
            reports.append(report)
            failed = {dg.AssetKey(step.split("/")) for step in report.failed} & set(todo)
            lost |= set() if report.success else failed or set(todo)
    return reports


def partitions_of(
    project: Project,
    instance: dg.DagsterInstance,
    definition: Any,
    single: Sequence[str],
    span: str | None,
) -> tuple[list[str], list[str]]:
    """All keys of a definition in order, and those that are wanted.

    Raises:
        ConfigError: A key is no partition, or no source says which there are.
    """
    present = asyncio.run(project.in_source(definition))
    register(definition, instance, present)
    order = known_keys(definition, instance)
    if single or span:
        return order, wanted_partitions(definition, order, single, span)
    there = set(present)
    wanted = [key for key in order if key in there]
    if not wanted:
        where = str(definition).rstrip(".")
        raise ConfigError("Partitions that are not named are those that a source has", "none",
                          where, "Check GEO_ASSETS_SOURCE, or name them.")  # fmt: skip
    return order, wanted


def _batches(
    project: Project, keys: Sequence[dg.AssetKey]
) -> Iterator[tuple[Any, list[dg.AssetKey]]]:
    """Assets with the same partitions, as many together as their dependencies allow."""
    todo = list(keys)
    while todo:
        definitions = dict.fromkeys(project.partitions(key) for key in todo)
        ready = {item: _ready(project, todo, item) for item in definitions}
        definition = next(item for item in definitions if ready[item])
        yield definition, ready[definition]
        todo = [key for key in todo if key not in ready[definition]]


def _ready(project: Project, todo: Collection[dg.AssetKey], definition: Any) -> list[dg.AssetKey]:
    """What can be made next in one run; `todo` is in topological order."""
    ready: list[dg.AssetKey] = []
    for key in todo:
        waiting = (project.ancestors(key) & set(todo)) - set(ready)
        if project.partitions(key) == definition and not waiting:
            ready.append(key)
    return ready
