"""The files that ordinary STAC tools open: `item.json` of a partition, `collection.json`.

They are derived from the commits, which alone decide what is current. A crash can leave
them behind; the next commit of the partition or `rebuild` brings them up to date.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from geo_assets.errors import GeoAssetsError, InputError
from geo_assets.store.bounded import each
from geo_assets.store.commit import encoded, newest_sequence, read_commit
from geo_assets.store.objects import ObjectStore
from geo_assets.store.paths import ITEM, Place, partition_of
from geo_assets.store.stac import STAC_VERSION, BBox, Commit, collection_id, item_json

_LOG = logging.getLogger(__name__)
_MEMBERS = "geo_assets:extent"
_EVERY_S = 10.0
_WORLD = [-180.0, -90.0, 180.0, 90.0]


@dataclass(slots=True)
class _Collection:
    """What one `collection.json` says, as far as this process knows."""

    links: dict[str, str] = field(default_factory=dict)
    """Titles of the partitions by folder."""
    bbox: list[float] | None = None
    interval: list[str] | None = None
    unwritten: int = 0
    written: float = -_EVERY_S
    """When, by the monotonic clock."""
    writing: bool = False

    def merge(
        self, links: dict[str, str], bbox: list[float] | None, interval: list[str] | None
    ) -> bool:
        """Add members and extents; tell whether anything was new."""
        before = (len(self.links), self.bbox, self.interval)
        self.links |= links
        if bbox is not None:
            self.bbox = bbox if self.bbox is None else _union(self.bbox, bbox)
        if interval is not None:
            ours = self.interval or interval
            self.interval = [min(ours[0], interval[0]), max(ours[1], interval[1])]
        return before != (len(self.links), self.bbox, self.interval)

    def add(self, commit: Commit) -> bool:
        """Add the partition of a commit; tell whether anything was new."""
        place = commit.place
        title = place.partition if place.partition is not None else "all"
        bbox = None if commit.bbox is None else _unwrapped(commit.bbox)
        return self.merge({place.segment: title}, bbox, _interval(commit))


class Derived:
    """Keeps the derived files of one root up to date with the commits of this process."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._collections: dict[tuple[str, ...], _Collection] = {}
        self._gathering = 0

    async def refresh(self, commit: Commit) -> None:
        """Bring the files of a new commit up to date. The commit stands whatever happens.

        A collection is written again at once while it is small, and later once for every
        hundredth part of new members: `flush` writes the rest. Inside `gathering` it is written
        every few seconds, and at the end.
        """
        try:
            await self._write_item(commit)
            collection = self._collections.setdefault(commit.artifact.asset, _Collection())
            if collection.add(commit):
                collection.unwritten += 1
            if self._gathering:
                due = collection.unwritten and monotonic() > collection.written + _EVERY_S
            else:
                due = collection.unwritten > len(collection.links) // 100
            if due:
                await self._write_collection(commit.place, collection)
        except GeoAssetsError as error:
            _LOG.warning(
                "%s is published, its STAC files are not: %s", commit.artifact.label, error
            )

    @asynccontextmanager
    async def gathering(self) -> AsyncIterator[None]:
        """For a block that commits many partitions: their collection is written few times."""
        self._gathering += 1
        try:
            yield
        finally:
            self._gathering -= 1
            try:
                await self.flush()
            except GeoAssetsError as error:
                _LOG.warning("All is published, a collection.json is not: %s", error)

    async def flush(self) -> None:
        """Write the collections that lag behind."""
        for asset, collection in self._collections.items():
            if collection.unwritten:
                await self._write_collection(Place(asset, None), collection)

    async def rebuild(self, asset: tuple[str, ...], *, limit: int) -> int:
        """Write all files of an asset anew from its commits; the number of partitions."""
        root = Place.of(asset, None)
        commits = [
            commit
            for commit in await each(
                lambda folder: self._newest(asset, folder),
                await self._objects.folders(root.asset_root),
                limit=limit,
            )
            if commit
        ]
        await each(self._write_item, commits, limit=limit)
        collection = _Collection()
        for commit in commits:
            collection.add(commit)
        if commits:
            self._collections[asset] = collection
            await self._objects.put(root.collection, _collection_json(asset, collection))
        return len(commits)

    async def _newest(self, asset: tuple[str, ...], folder: str) -> Commit | None:
        try:
            place = Place(asset, partition_of(folder))
        except InputError:
            return None
        sequence = await newest_sequence(self._objects, place)
        return await read_commit(self._objects, place, sequence) if sequence else None

    async def _write_item(self, commit: Commit) -> None:
        """Write `item.json`, again if a newer commit exists by then: the newest one stays."""
        place = commit.place
        while True:
            await self._objects.put(place.item, await encoded(item_json, commit))
            following = commit.artifact.sequence + 1
            if await self._objects.head(place.commit(following)) is None:
                return
            newest = await newest_sequence(self._objects, place, following)
            commit = await read_commit(self._objects, place, newest)

    async def _write_collection(self, place: Place, collection: _Collection) -> None:
        """Merge with what is stored and write it, if that changes it.

        A second caller leaves its members to the one that is writing.
        """
        if collection.writing:
            return
        collection.writing, collection.written = True, monotonic()
        try:
            while collection.unwritten:
                unwritten = collection.unwritten
                stored = await self._stored(place)
                complete = not stored.merge(collection.links, collection.bbox, collection.interval)
                collection.merge(stored.links, stored.bbox, stored.interval)
                if not complete:
                    body = await asyncio.to_thread(_collection_json, place.asset, stored)
                    await self._objects.put(place.collection, body)
                collection.unwritten -= unwritten
        finally:
            collection.writing = False

    async def _stored(self, place: Place) -> _Collection:
        try:
            body = await self._objects.get(place.collection)
            value = await asyncio.to_thread(json.loads, body)
            members = [link for link in value["links"] if link["rel"] == "item"]
            links = {partition_folder(link["href"]): link["title"] for link in members}
            return _Collection(links=links, **value[_MEMBERS])
        except FileNotFoundError:
            return _Collection()
        except (ValueError, KeyError, TypeError):
            _LOG.warning("%s is damaged and written anew", self._objects.address(place.collection))
            return _Collection()


def partition_folder(target: str) -> str:
    """The folder in an href that `_collection_json` wrote."""
    return target.removeprefix("./").removesuffix(f"/{ITEM}")


def _collection_json(asset: tuple[str, ...], collection: _Collection) -> bytes:
    name = "/".join(asset)
    root = {"rel": "root", "href": "./collection.json", "type": "application/json"}
    items = [
        {
            "rel": "item",
            "href": f"./{folder}/{ITEM}",
            "type": "application/geo+json",
            "title": title,
        }
        for folder, title in sorted(collection.links.items())
    ]
    value: dict[str, Any] = {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": collection_id(asset),
        "title": name,
        "description": f"The current versions of {name}, published by geo_assets.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [collection.bbox or _WORLD]},
            "temporal": {"interval": [collection.interval or [None, None]]},
        },
        _MEMBERS: {"bbox": collection.bbox, "interval": collection.interval},
        "links": [root, *items],
    }
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _unwrapped(bbox: BBox) -> list[float]:
    """A box that crosses the antimeridian as one that spans all longitudes."""
    west, south, east, north = bbox
    return [west, south, east, north] if west <= east else [-180.0, south, 180.0, north]


def _union(a: list[float], b: list[float]) -> list[float]:
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]


def _interval(commit: Commit) -> list[str]:
    """First and last moment in UTC, so that they compare as text."""
    properties = commit.artifact.properties
    start = properties.get("start_datetime") or commit.datetime or commit.created
    end = properties.get("end_datetime") or commit.datetime or commit.created
    return [
        datetime.fromisoformat(text).astimezone(UTC).isoformat().replace("+00:00", "Z")
        for text in (start, end)
    ]
