"""Garbage collection without clocks.

Commits are tiny and stay for ever: a number, once taken, is taken. What is deleted are the
objects below `data/<base>-<version>/` that no writer can commit any more and no retained
commit names. A writer that began at `base` can only create commit `base + 1`; if the newest
number is above `base`, that one exists, so the writer can only lose. A commit names its own
writer's folder, or (a fence) that of the commit before it; so no later commit can name a
folder that was found to be garbage.

Attempts on the current version itself are alive as far as anyone can know. To abandon them,
a fence is committed first: the current content again under the next number.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from geo_assets.errors import ConfigError, TransientError
from geo_assets.store.commit import SETTLING, newest_sequence, read_commit, settle
from geo_assets.store.objects import ObjectStore
from geo_assets.store.paths import Place, base_of
from geo_assets.store.stac import Commit, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a garbage collection did."""

    kept: int
    """Versions retained."""
    folders: tuple[str, ...] = ()
    """The version folders that were deleted, relative to the root."""
    objects: int = 0
    """Objects deleted, chunk receipts included."""
    bytes: int = 0
    """Their size."""
    fence: int | None = None
    """The number of the fence, if one was committed."""


async def collect(
    objects: ObjectStore, place: Place, *, keep: int, abandon: bool, dry_run: bool = False
) -> Collected:
    """Fence (if asked), mark and sweep one partition; a dry run changes nothing.

    A reader that still reads a version older than the `keep` newest ones loses it.

    Raises:
        ConfigError: `keep` is below 1: the current version is never garbage.
        TransientError: Writers kept committing before the fence could be placed.
    """
    if keep < 1:
        raise ConfigError("At least the current version is kept", f"keep={keep}", place.label)
    fence = await _fence(objects, place) if abandon and not dry_run else None
    newest = await newest_sequence(objects, place)
    retained = await _retained(objects, place, newest, keep)
    doomed = [
        f"{place.data}/{folder}"
        for folder in await objects.folders(place.data)
        if (base := base_of(folder)) is not None
        and base < newest
        and f"{place.data}/{folder}" not in retained
    ]
    removed = [
        await (_weigh(objects, folder) if dry_run else objects.delete_folder(folder))
        for folder in doomed
    ]
    return Collected(
        kept=len(retained),
        folders=tuple(doomed),
        objects=sum(count for count, _ in removed),
        bytes=sum(size for _, size in removed),
        fence=fence,
    )


async def _weigh(objects: ObjectStore, folder: str) -> tuple[int, int]:
    """How many objects a folder has, and their bytes."""
    sizes = [meta.size async for meta in objects.list(folder)]
    return len(sizes), sum(sizes)


async def _retained(objects: ObjectStore, place: Place, newest: int, keep: int) -> set[str]:
    """The folders of the `keep` newest versions; a fence and what it repeats are one."""
    folders: set[str] = set()
    for sequence in range(newest, 0, -1):
        if len(folders) == keep:
            break
        folders.add((await read_commit(objects, place, sequence)).artifact.data_prefix)
    return folders


async def _fence(objects: ObjectStore, place: Place) -> int | None:
    """Commit the current content under the next number; None if nothing is to be fenced."""
    for _ in range(SETTLING.attempts):
        newest = await newest_sequence(objects, place)
        bases = [base_of(folder) for folder in await objects.folders(place.data)]
        if newest == 0 or newest not in bases:
            return None
        current = await read_commit(objects, place, newest)
        identity = uuid.uuid4().hex
        fence: Commit = replace(
            current,
            artifact=replace(current.artifact, sequence=newest + 1),
            write_id=identity,
            fence=identity,
            created=now(),
        )
        if (await settle(objects, fence)).write_id == identity:
            return newest + 1
    raise TransientError(
        "A fence finds a moment between two commits",
        "other commits each time",
        place.label,
        "Collect garbage when fewer runs write.",
    )
