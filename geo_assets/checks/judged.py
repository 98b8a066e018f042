"""What one run has said of the partitions of an asset so far, and where Dagster is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias
from weakref import WeakKeyDictionary

import dagster as dg

from geo_assets.checks.family import Family
from geo_assets.checks.verdict import CheckRule, Tally, Verdict
from geo_assets.dagster_internals import PartitionLog, checked_materializations
from geo_assets.engine.engine import Engine

Judgement: TypeAlias = tuple[CheckRule, Verdict]
"""A rule, and what it says of one partition."""


class Judged:
    """The verdicts of one family in one run, summed up; none of them is kept."""

    def __init__(self, family: Family) -> None:
        self.tallies = [Tally(rule) for rule in family.rules]
        self.partitions: set[str] = set()

    def add(self, partition: str | None, verdicts: Sequence[Verdict]) -> None:
        """Count the verdicts on one partition."""
        for tally, verdict in zip(self.tallies, verdicts, strict=True):
            tally.add(verdict)
        if partition is not None:
            self.partitions.add(partition)


_of_runs: WeakKeyDictionary[Engine, dict[str, Judged]] = WeakKeyDictionary()


def begin(engine: Engine, family: Family) -> Judged:
    """What the run of this engine says from now on, kept for `take`."""
    judged = Judged(family)
    _of_runs.setdefault(engine, {})[family.step] = judged
    return judged


def take(engine: Engine, family: Family) -> Judged:
    """What the run of this engine has said so far, if it is in this process; else nothing yet."""
    return _of_runs.get(engine, {}).pop(family.step, None) or Judged(family)


class VerdictLog:
    """Writes verdicts on single partitions of one asset into the event log; blocks."""

    def __init__(
        self,
        context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
        asset: dg.AssetKey,
    ) -> None:
        self._context = context
        self._asset = asset
        self._log = PartitionLog(context)

    def store(self, found: Sequence[Judgement]) -> None:
        """Write verdicts on partitions, each of the newest materialization of its partition."""
        partitions = sorted({str(verdict.partition) for _, verdict in found})
        targets = checked_materializations(self._context, self._asset, partitions)
        entries = [
            self._log.checked(
                dg.AssetCheckEvaluation(
                    asset_key=self._asset,
                    check_name=rule.name,
                    passed=verdict.passed,
                    severity=rule.severity,
                    description=verdict.description,
                    metadata=verdict.metadata,
                    partition=verdict.partition,
                    target_materialization_data=targets.get(str(verdict.partition)),
                )
            )
            for rule, verdict in found
        ]
        self._log.store(entries)
        for entry in entries:
            self._log.echo(entry)
