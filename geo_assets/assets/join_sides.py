"""Brings the files of a join here: whole, or from a remote store the parts that it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from geo_assets.errors import ConfigError
from geo_assets.kernels.join_reads import plan_reads
from geo_assets.kernels.join_spec import JoinRule, JoinSide
from geo_assets.model import Artifact
from geo_assets.store.artifact import ArtifactStore

Names = tuple[str, ...] | None


async def fetch_sides(
    store: ArtifactStore,
    artifacts: tuple[Artifact, Artifact],
    columns: tuple[Names, Names],
    rule: JoinRule,
    folder: Path,
) -> tuple[Sequence[JoinSide], JoinSide]:
    """The files of the left layer and the one of the right layer, with all that the join reads.

    Of a remote layer that was published for it, only footers are read first, then the columns
    that the join needs of the row groups that may have a partner on the other side.

    Args:
        store: Where the layers are.
        artifacts: The versions, left and right.
        columns: The attribute columns to keep, left and right; None keeps all.
        rule: What is joined.
        folder: A folder for files in flight.

    Raises:
        ConfigError: The right layer is several files.
        InputError: A file is damaged, or not usable.
    """
    parts = artifacts[1].with_role("data")
    if len(parts) != 1:
        raise ConfigError("The right layer of a join is one file", f"{len(parts)} files",
                          artifacts[1].label, "Join with the layers the other way round.",
                          )  # fmt: skip
    sides: list[JoinSide] = []
    homes: list[tuple[Artifact, str]] = []
    for artifact, names in zip(artifacts, columns, strict=True):
        for item in artifact.with_role("data"):
            file = await store.partial_file(artifact, item.name, folder)
            partial = file is not None
            path = file or await store.local_file(artifact, item.name, folder)
            sides.append(JoinSide(path=path, columns=names, partial=partial))
            homes.append((artifact, item.name))
    reads, other = await asyncio.to_thread(plan_reads, sides[:-1], sides[-1], rule)
    for (artifact, name), read in zip(homes, [*reads, other], strict=True):
        if read.side.partial:
            await store.fetch_parts(artifact, name, read.side.path, read.spans)
    return [read.side for read in reads], other.side
