"""What lies under a root: assets, their partitions and the history of each, from commits alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from geo_assets.errors import InputError
from geo_assets.store.bounded import each
from geo_assets.store.commit import newest_sequence, read_commit
from geo_assets.store.objects import ObjectStore
from geo_assets.store.paths import COLLECTION, Place, decode_segment, partition_of
from geo_assets.store.stac import Commit

_AT_ONCE = 32
_DEEPEST = 6
"""Parts of an asset key that are looked for."""


async def assets(objects: ObjectStore) -> list[tuple[str, ...]]:
    """The keys of all assets that have a collection, sorted."""
    found: list[tuple[str, ...]] = []
    level: list[tuple[str, ...]] = [()]
    while level and len(level[0]) < _DEEPEST:
        folders = await each(lambda key: _below(objects, key), level, limit=_AT_ONCE)
        keys = [key for below in folders for key in below]
        metas = await each(
            lambda key: objects.head(f"{Place(key, None).asset_root}/{COLLECTION}"),
            keys,
            limit=_AT_ONCE,
        )
        known = dict(zip(keys, metas, strict=True))
        found += [key for key, meta in known.items() if meta is not None]
        level = [key for key, meta in known.items() if meta is None]
    return sorted(found)


async def current(objects: ObjectStore, asset: Sequence[str]) -> list[Commit]:
    """The newest commit of every partition of an asset, sorted by partition key."""
    root = Place.of(asset, None).asset_root
    places = []
    for segment in await objects.folders(root):
        try:
            places.append(Place.of(asset, partition_of(segment)))
        except InputError:  # a folder of somebody else
            continue
    return await current_of(objects, places)


async def current_of(objects: ObjectStore, places: Iterable[Place]) -> list[Commit]:
    """The newest commit of each place that has one, sorted by partition key."""

    async def newest(place: Place) -> Commit | None:
        sequence = await newest_sequence(objects, place)
        return await read_commit(objects, place, sequence) if sequence else None

    commits = await each(newest, places, limit=_AT_ONCE)
    return sorted(
        (commit for commit in commits if commit is not None),
        key=lambda commit: commit.artifact.partition or "",
    )


async def history(objects: ObjectStore, place: Place) -> list[Commit]:
    """Every commit of a place, newest first, whether or not its objects are retained."""
    newest = await newest_sequence(objects, place)
    return await each(
        lambda sequence: read_commit(objects, place, sequence),
        range(newest, 0, -1),
        limit=_AT_ONCE,
    )


async def _below(objects: ObjectStore, key: tuple[str, ...]) -> list[tuple[str, ...]]:
    folder = Place(key, None).asset_root if key else ""
    keys = []
    for segment in await objects.folders(folder):
        try:
            keys.append((*key, decode_segment(segment)))
        except InputError:  # no folder of ours
            continue
    return keys
