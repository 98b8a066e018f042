"""What was published after something that a user names: a version, a run, a time, a commit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from geo_assets.errors import ConfigError
from geo_assets.store import catalog
from geo_assets.store.objects import ObjectStore
from geo_assets.store.paths import Place
from geo_assets.store.stac import Commit

_SHORTEST = 6
"""Characters of a version or run id that name it."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?\Z")
_LONGEST_NUMBER = 11
"""Digits of the number of a commit; more of them are a version."""


async def newer(
    objects: ObjectStore, published: Mapping[dg.AssetKey, Sequence[Commit]], since: str
) -> dict[dg.AssetKey, list[Commit]]:
    """Of the newest commits of assets, those made after the one that `since` names.

    - The number of a commit: each partition counts its own, so these have a higher number.
    - A time, ISO 8601, local where it has no zone: those made later.
    - A version or a run, by the first characters of its id as `geo-assets show` has them: those
      made since the version was first published, or since the run's last commit, and not itself.
      Commits tell seconds: what was made in the same second counts as newer.

    Raises:
        ConfigError: No commit of these assets has such a version or run; not a time.
    """
    if since.isdigit() and len(since) <= _LONGEST_NUMBER:
        number = int(since)
        return _those(published, lambda commit: commit.artifact.sequence > number)
    if _TIME.match(since):
        time = _utc(since)
        return _those(published, lambda commit: commit.created > time)
    created = await _named(objects, [each for some in published.values() for each in some], since)
    return _those(published, lambda commit: commit.created >= created and not _is(commit, since))


def _those(
    published: Mapping[dg.AssetKey, Sequence[Commit]], wanted: Callable[[Commit], bool]
) -> dict[dg.AssetKey, list[Commit]]:
    return {key: list(filter(wanted, commits)) for key, commits in published.items()}


def _utc(text: str) -> str:
    """A time as commits have it."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError("--changed-since takes a time in ISO 8601", str(error), text,
                          "Write for example 2026-11-24T04:00.") from None  # fmt: skip
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _is(commit: Commit, name: str) -> bool:
    artifact = commit.artifact
    return artifact.version.startswith(name) or artifact.run_id.startswith(name)


async def _named(objects: ObjectStore, newest: Sequence[Commit], name: str) -> str:
    """When a version was first published, or a run has committed last."""
    found = [commit for commit in newest if _is(commit, name)] if len(name) >= _SHORTEST else []
    for commit in newest if not found and len(name) >= _SHORTEST else ():
        place = Place.of(commit.artifact.asset, commit.artifact.partition)
        found += [old for old in await catalog.history(objects, place) if _is(old, name)]
    if not found:
        raise ConfigError("--changed-since names a version, a run, a time or the number of a "
                          "commit", repr(name), "the selected assets",
                          "`geo-assets show ASSET` lists versions and runs.")  # fmt: skip
    versions = [item.created for item in found if item.artifact.version.startswith(name)]
    return min(versions) if versions else max(item.created for item in found)
