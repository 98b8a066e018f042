"""Checks that look at one artifact together, once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from geo_assets.checks.verdict import CheckRule, Verdict
from geo_assets.engine.engine import Engine, Lost
from geo_assets.errors import GeoAssetsError
from geo_assets.model import Artifact, Chunk, Findings, KernelResult
from geo_assets.store.artifact import ArtifactStore

Look: TypeAlias = Callable[
    [Artifact, ArtifactStore, Path], Awaitable[Sequence[Chunk] | Mapping[str, Findings]]
]
"""The chunks that look at one artifact; their facts hold findings by the name of a rule.

What needs no worker, because it asks the store alone, gives the findings themselves.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The checks of one step."""

    asset: dg.AssetKey
    step: str
    rules: tuple[CheckRule, ...]
    look: Look
    looks_elsewhere: bool
    """It looks at other assets or partitions too, which the same run may be about to make."""

    def chosen(self, names: Collection[str]) -> Family:
        """The same with those checks only."""
        return replace(self, rules=tuple(rule for rule in self.rules if rule.name in names))

    async def verdicts(
        self, artifact: Artifact, store: ArtifactStore, engine: Engine
    ) -> list[Verdict]:
        """The verdict of each rule on one artifact.

        Data that cannot be checked does not pass, and the verdict says why.
        """
        started = time.monotonic()
        try:
            async with engine.folder() as folder:
                seen = await self.look(artifact, store, folder)
                if isinstance(seen, Mapping):
                    facts = [{name: found.as_dict() for name, found in seen.items()}]
                else:
                    facts = await _facts(engine, seen)
        except GeoAssetsError as error:
            return self.unable(artifact.partition, str(error))
        extra = {
            "geo_assets/version": artifact.version,
            "geo_assets/seconds": round(time.monotonic() - started, 3),
        }
        verdicts = []
        for rule in self.rules:
            parts = [Findings.from_dict(fact[rule.fact]) for fact in facts]
            findings = sum(parts, Findings(checked=0))
            verdicts.append(Verdict.of(artifact.partition, findings, extra))
        return verdicts

    def unable(self, partition: str | None, reason: str) -> list[Verdict]:
        """The verdicts on what could not be checked."""
        return [Verdict.unable(partition, reason)] * len(self.rules)


async def _facts(engine: Engine, chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    """The facts of every chunk, in the chunks' order."""

    async def stage(_chunk: Chunk, result: KernelResult) -> dict[str, Any]:
        return dict(result.facts)

    facts: dict[str, dict[str, Any]] = {}
    async with aclosing(engine.stream(chunks, stage=stage)) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome, Lost):
                raise outcome.error
            facts[outcome.chunk.id] = outcome.value
    return [facts[chunk.id] for chunk in chunks]
