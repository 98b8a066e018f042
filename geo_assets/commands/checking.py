"""Runs checks on what is committed, and gathers one verdict for each check and partition."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import dagster as dg

from geo_assets.checks.verdict import UNABLE as UNABLE_KEY
from geo_assets.commands.project import (
    Project,
    known_keys,
    register,
    wanted_partitions,
)
from geo_assets.commands.since import newer
from geo_assets.model import Json
from geo_assets.rectangles import exact_runs
from geo_assets.runner import RunReport, Tell, run_checks
from geo_assets.store import catalog
from geo_assets.store.stac import Commit

Status: TypeAlias = Literal["passed", "warned", "failed", "unable"]

NOTHING = "nothing is materialized yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What one check says of one partition."""

    asset: str
    check: str
    partition: str | None
    status: Status
    """`warned` is a check of severity WARN that found something; `unable` could not be made."""
    description: str
    seconds: float = 0.0
    samples: tuple[Mapping[str, Any], ...] = ()
    """The first defects, as `Defect.as_dict` gives them."""

    @property
    def label(self) -> str:
        """`core/events[2026-06-01]`."""
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"

    def as_dict(self) -> dict[str, Json]:
        """The verdict, ready for JSON."""
        return {
            "asset": self.asset,
            "check": self.check,
            "partition": self.partition,
            "status": self.status,
            "description": self.description,
            "seconds": self.seconds,
            "samples": [dict(sample) for sample in self.samples],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which artifacts are checked."""

    single: Sequence[str] = ()
    span: str | None = None
    since: str | None = None
    """Only what is newer: see `geo_assets.commands.since`."""
    quick: bool = False
    """Content that no check needs is believed by its size."""

    @property
    def named(self) -> bool:
        """Whether partitions are named."""
        return bool(self.single or self.span)


@dataclass(slots=True)
class _Batch:
    """Checks with the same partitions on the same keys: as many runs as they have ranges."""

    definition: Any
    keys: tuple[str, ...]
    checks: list[dg.AssetCheckKey] = field(default_factory=list)


def check(
    project: Project,
    instance: dg.DagsterInstance,
    checks: Sequence[dg.AssetCheckKey],
    scope: Scope,
    tell: Tell,
) -> list[Checked]:
    """Run `checks` on everything that is committed in `scope`, each exactly once.

    Raises:
        ConfigError: A partition does not exist, or no commit has the version.
    """
    assets = sorted({key.asset_key for key in checks})
    published = asyncio.run(_published(project, assets, scope.since))
    verdicts: list[Checked] = []
    batches: dict[tuple[Any, tuple[str, ...]], _Batch] = {}
    for key in checks:
        definition = project.partitions(key)
        commits = published[key.asset_key]
        keys: list[str] = []
        absent: list[str | None] = []
        if definition is None:
            absent += [None] if _absent(project, key.asset_key, commits, scope) else []
            wanted = not absent and (scope.since is None or bool(commits))
        else:
            order = _order(definition, instance, commits)
            keys, absent = _chosen(definition, order, commits, scope)
            wanted = bool(keys)
        verdicts += [_unable(key, partition, NOTHING) for partition in absent]
        if wanted:
            batch = batches.setdefault((definition, tuple(keys)), _Batch(definition, tuple(keys)))
            batch.checks.append(key)
    for batch in batches.values():
        verdicts += _run(project, instance, batch, tell, quick=scope.quick)
    return sorted(verdicts, key=lambda item: (item.asset, item.check, item.partition or ""))


async def _published(
    project: Project, assets: Sequence[dg.AssetKey], since: str | None
) -> dict[dg.AssetKey, list[Commit]]:
    """The newest commits of each asset, of those that are newer than `since`."""
    objects = project.artifacts.objects
    found = {key: await catalog.current(objects, key.path) for key in assets}
    return found if since is None else await newer(objects, found, since)


def _absent(project: Project, key: dg.AssetKey, commits: Sequence[Commit], scope: Scope) -> bool:
    """Whether an asset that is ours was never published; others may be stored elsewhere."""
    return not commits and scope.since is None and project.is_ours(key)


def _order(definition: Any, instance: dg.DagsterInstance, commits: Sequence[Commit]) -> list[str]:
    committed = [commit.artifact.partition for commit in commits]
    register(definition, instance, [key for key in committed if key is not None])
    return known_keys(definition, instance)


def _chosen(
    definition: Any, order: Sequence[str], commits: Sequence[Commit], scope: Scope
) -> tuple[list[str], list[str | None]]:
    """The partitions to check, and those that are wanted and not there."""
    there = {commit.artifact.partition for commit in commits}
    if scope.named:
        wanted = wanted_partitions(definition, order, scope.single, scope.span)
        absent = [] if scope.since else [key for key in wanted if key not in there]
        return [key for key in wanted if key in there], list(absent)
    keys = [key for key in order if key in there]
    return keys, [None] if not keys and scope.since is None else []


def _run(
    project: Project, instance: dg.DagsterInstance, batch: _Batch, tell: Tell, *, quick: bool
) -> Iterator[Checked]:
    runs: list[Sequence[str]] = [()]
    if batch.definition is not None:
        order = known_keys(batch.definition, instance)
        runs = list(exact_runs(batch.definition, batch.keys, order))
    for keys in runs:
        report = run_checks(
            project.defs, instance, batch.checks, partitions=keys, thorough=not quick, tell=tell
        )
        yield from _verdicts(batch.checks, keys or [None], report)


def _verdicts(
    checks: Sequence[dg.AssetCheckKey], partitions: Collection[str | None], report: RunReport
) -> Iterator[Checked]:
    """One verdict for each check and partition; the sums that a range adds are left out."""
    alone = next(iter(partitions)) if len(partitions) == 1 else None
    got: dict[tuple[dg.AssetCheckKey, str | None], dg.AssetCheckEvaluation] = {}
    for evaluation in report.checks:
        key = dg.AssetCheckKey(evaluation.asset_key, evaluation.check_name)
        got[key, evaluation.partition or alone] = evaluation
    for key in checks:
        for partition in partitions:
            found = got.get((key, partition)) or got.get((key, None))
            if found is None:
                reason = "; ".join(report.errors) or "the run ended before"
                yield _unable(key, partition, reason)
            else:
                yield _verdict(key, partition, found)


def _verdict(
    key: dg.AssetCheckKey, partition: str | None, found: dg.AssetCheckEvaluation
) -> Checked:
    metadata = {name: entry.value for name, entry in found.metadata.items()}
    status: Status = "passed"
    if UNABLE_KEY in metadata:
        status = "unable"
    elif not found.passed:
        status = "failed" if found.severity == dg.AssetCheckSeverity.ERROR else "warned"
    samples: Any = metadata.get("samples", ())
    seconds: Any = metadata.get("geo_assets/seconds", 0.0)
    return Checked(
        asset=key.asset_key.to_user_string(),
        check=key.name,
        partition=partition,
        status=status,
        description=found.description or "",
        seconds=seconds,
        samples=tuple(samples),
    )


def _unable(key: dg.AssetCheckKey, partition: str | None, reason: str) -> Checked:
    return Checked(
        asset=key.asset_key.to_user_string(),
        check=key.name,
        partition=partition,
        status="unable",
        description=f"Could not check: {reason}",
    )
