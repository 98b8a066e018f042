"""The commit protocol: one create-if-absent decides, a read-back tells the outcome.

A writer reads the newest number N, stages objects that nobody sees, and creates commit N+1.
Of all writers that began at N exactly one succeeds. A reply that says "exists" (412, 409) or
never comes proves nothing: the commit itself is read and its write id compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from geo_assets.errors import CommitConflict, InputError, TransientError
from geo_assets.model import Artifact
from geo_assets.store.objects import ObjectStore
from geo_assets.store.paths import Place, sequence_of
from geo_assets.store.retrying import Backoff
from geo_assets.store.stac import Commit, commit_json, parse_commit

_SMALL = 1 << 16
_FEW = 20
SETTLING = Backoff(attempts=6, first_s=0.2, max_s=5.0)
"""How long an unknown outcome is pursued, on top of what the store itself retries."""


async def newest_sequence(objects: ObjectStore, place: Place, known: int = 0) -> int:
    """The highest commit number, or 0 if there is none.

    Commits are never deleted, so a number seen before bounds the listing from below.
    """
    after = place.commit(known - 1) if known > 1 else None
    newest = 0
    async for meta in objects.list(place.commits, after=after):
        newest = max(newest, sequence_of(meta.path) or 0)
    return newest


async def read_commit(objects: ObjectStore, place: Place, sequence: int) -> Commit:
    """One commit.

    Raises:
        FileNotFoundError: There is no commit of that number.
        InputError: It is damaged.
    """
    path = place.commit(sequence)
    body, where = await objects.get(path), objects.address(path)
    if len(body) <= _SMALL:
        commit = parse_commit(body, where)
    else:
        commit = await asyncio.to_thread(parse_commit, body, where)
    if (commit.place, commit.artifact.sequence) != (place, sequence):
        label = f"{commit.artifact.label} number {commit.artifact.sequence}"
        raise InputError("A commit lies where it says it does", label, where, "Move it back.")
    return commit


async def publish(objects: ObjectStore, commit: Commit) -> Commit:
    """Make `commit` the one with its number, and return the commit that has it.

    That is `commit` itself, or another writer's of the same version: the same work is done.

    Raises:
        CommitConflict: Another version has the number. Nothing of ours is visible.
        TransientError: The outcome is unknown after many attempts; running again is safe.
    """
    winner = await settle(objects, commit)
    if winner.write_id == commit.write_id or winner.artifact.version == commit.artifact.version:
        return winner
    raise conflict(commit.artifact, winner)


async def settle(objects: ObjectStore, commit: Commit) -> Commit:
    """Try to create `commit`, and return whichever commit has its number now, for certain.

    Raises:
        TransientError: The outcome is unknown after many attempts; running again is safe.
    """
    place, sequence = commit.place, commit.artifact.sequence
    path, body = place.commit(sequence), await encoded(commit_json, commit)
    await objects.sync(commit.artifact.data_prefix)
    last = "no reply"
    for attempt in range(SETTLING.attempts):
        try:
            created = await objects.create(path, body)
            winner = commit if created else await read_commit(objects, place, sequence)
        except FileNotFoundError:
            last = "refused, yet absent"  # 409: another conditional request was in flight
        except TransientError as error:
            last = str(error)
        else:
            await objects.sync(place.commits)
            return winner
        await SETTLING.pause(attempt)
    raise TransientError(
        "The outcome of a commit is known",
        last,
        objects.address(path),
        "Run again: that is safe, and does nothing if the commit was made.",
    )


async def encoded(encode: Callable[[Commit], bytes], commit: Commit) -> bytes:
    """The JSON of a commit; in a thread if making it would hold up the loop."""
    if len(commit.artifact.objects) <= _FEW:
        return encode(commit)
    return await asyncio.to_thread(encode, commit)


def conflict(ours: Artifact, winner: Commit) -> CommitConflict:
    """The error of a writer that lost, naming the run that won."""
    other = winner.artifact
    by = f"garbage collection {winner.fence}" if winner.fence else f"run {other.run_id}"
    return CommitConflict(
        "A commit follows the version that its writer began from",
        f"commit {other.sequence} by {by}, version {other.version}",
        ours.label,
        "Run again on top of it; nothing of this attempt is visible.",
    )
