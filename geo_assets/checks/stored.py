"""Checks that ask the store alone and need no worker; the first is whether it is all there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg

from geo_assets.checks.body import make_checks
from geo_assets.checks.depth import thorough
from geo_assets.checks.verdict import CheckRule
from geo_assets.model import Artifact, Defect, Findings, StoredObject
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.bounded import each
from geo_assets.store.verify import digest

OBJECTS_AT_ONCE = 8

Judge: TypeAlias = Callable[[Artifact, ArtifactStore, Path], Awaitable[Findings]]
"""Looks at one artifact; the folder is for files in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheck:
    """One check that needs no worker."""

    rule: CheckRule
    judge: Judge


def stored_checks(
    asset: Sequence[str],
    partitions: dg.PartitionsDefinition[Any] | None,
    *more: StoredCheck,
) -> dg.AssetChecksDefinition:
    """The check `objects` of an asset, and others that need no worker either.

    `objects` compares the size of every object that the commit names with what is stored, and in
    a thorough run (`geo_assets.checks.depth`) the SHA-256 of its bytes too.

    Args:
        asset: The asset key.
        partitions: The asset's partitions, if any.
        *more: Further checks of the same asset.
    """
    every = (_OBJECTS, *more)

    async def look(
        artifact: Artifact, store: ArtifactStore, folder: Path
    ) -> Mapping[str, Findings]:
        return {check.rule.fact: await check.judge(artifact, store, folder) for check in every}

    rules = [check.rule for check in every]
    return make_checks(dg.AssetKey(list(asset)), rules, look, partitions, family="stored")


async def damaged(artifact: Artifact, store: ArtifactStore, folder: Path | None = None) -> Findings:
    """Objects that are missing or hold other bytes than the commit says.

    Kinds: `object_missing`, `object_size`, and in a thorough run `object_bytes`. Each object is
    asked for as it is stored now: nothing that was verified before is believed.
    """
    del folder

    async def one(stored: StoredObject) -> Defect | None:
        path = f"{artifact.data_prefix}/{stored.name}"
        meta = await store.objects.head(path)
        if meta is None:
            return Defect(kind="object_missing", feature=stored.name, detail="It is not there.")
        if meta.size != stored.size:
            return Defect(kind="object_size", feature=stored.name,
                          detail=f"{meta.size:,} bytes instead of {stored.size:,}.")  # fmt: skip
        if thorough.get() and (await digest(store.objects, path))[1] != stored.sha256:
            return Defect(kind="object_bytes", feature=stored.name,
                          detail="Its SHA-256 is another one.")  # fmt: skip
        return None

    found = await each(one, artifact.objects, limit=OBJECTS_AT_ONCE)
    return Findings.of([one for one in found if one], checked=len(artifact.objects))


_OBJECTS = StoredCheck(
    rule=CheckRule(
        name="objects",
        fact="objects",
        description="Every object the commit names is there, with its size and SHA-256.",
    ),
    judge=damaged,
)
