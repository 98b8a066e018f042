"""Checks of each of many partitions, made as soon as it is committed.

The step of a check begins when the whole asset is made, and not at all if one partition failed.
In a run of many partitions the asset's own step therefore makes the checks that the run has
chosen; their step, which comes later, only sums them up and blocks what is downstream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import dagster as dg

from geo_assets.checks.depth import thorough
from geo_assets.checks.family import Family
from geo_assets.checks.judged import Judged, Judgement, VerdictLog, begin
from geo_assets.dagster_internals import chosen_checks
from geo_assets.engine.engine import Engine
from geo_assets.engine.log import bind
from geo_assets.model import Artifact
from geo_assets.partitions import THOROUGH_TAG
from geo_assets.store.artifact import ArtifactStore

PARTITIONS_IN_FLIGHT = 8
"""Partitions of one run that are looked at side by side; their chunks share one pool."""

_log = logging.getLogger(__name__)


class ChecksAtOnce:
    """The checks of one asset that its own step makes.

    Checks that look at other assets or at other partitions too are not among them: the run may be
    about to make those.
    """

    def __init__(
        self, context: dg.AssetExecutionContext, store: ArtifactStore, engine: Engine
    ) -> None:
        self._store = store
        self._engine = engine
        self._thorough = THOROUGH_TAG in context.run.tags
        self._room = asyncio.Semaphore(PARTITIONS_IN_FLIGHT)
        self._families: list[tuple[Family, Judged]] = []
        for function, names in chosen_checks(context, context.asset_key):
            family = getattr(function, "family", None)
            if isinstance(family, Family) and not family.looks_elsewhere:
                chosen = family.chosen(names)
                self._families.append((chosen, begin(engine, chosen)))
        self.log = VerdictLog(context, context.asset_key)

    async def of(self, artifact: Artifact) -> Sequence[Judgement]:
        """The verdicts on what was just committed, to be written by `log`.

        A check that has a bug gives none here: its own step makes it again, and fails.
        """
        if not self._families:
            return []
        thorough.set(self._thorough)
        async with self._room:
            with bind(partition=artifact.partition or ""), self._engine.telemetry.apart():
                return await self._judge(artifact)

    async def _judge(self, artifact: Artifact) -> list[Judgement]:
        found: list[Judgement] = []
        for family, judged in self._families:
            try:
                verdicts = await family.verdicts(artifact, self._store, self._engine)
            except Exception:  # noqa: BLE001 - its own step makes it again, and tells
                _log.exception("checks of %s failed on %s", family.step, artifact.label)
                continue
            judged.add(artifact.partition, verdicts)
            found += zip(family.rules, verdicts, strict=True)
        return found
