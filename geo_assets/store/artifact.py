"""Versions of artifacts: what is published, and how to publish the next version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from geo_assets.errors import InputError
from geo_assets.model import Artifact, StoredObject
from geo_assets.store.bounded import Recent, each
from geo_assets.store.commit import newest_sequence, read_commit
from geo_assets.store.derived import Derived
from geo_assets.store.draft import Draft
from geo_assets.store.gc import Collected, collect
from geo_assets.store.objects import ObjectStore
from geo_assets.store.partial import Span, fetch_footer, fetch_spans, readable_in_parts
from geo_assets.store.paths import Place
from geo_assets.store.probe import probe
from geo_assets.store.receipt import ChunkReceipt
from geo_assets.store.stac import Commit
from geo_assets.store.threads import in_thread
from geo_assets.store.verify import check, measure

__all__ = ["ArtifactStore", "ChunkReceipt", "Collected", "Draft"]

_PARTITIONS_AT_ONCE = 32
_REMEMBERED = 4096
"""Places and files that a store knows from before; what is forgotten is only looked at again."""


class ArtifactStore:
    """The versions under one root. Holds no connection and no lock: any loop may use it."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self._derived = Derived(objects)
        self._seen: Recent[Place, int] = Recent(_REMEMBERED)
        self._verified: Recent[tuple[str, int, int], None] = Recent(_REMEMBERED)

    async def probe(self) -> None:
        """Refuse a root where commits would overwrite each other; asked once per process.

        Raises:
            ConfigError: The endpoint ignores create-if-absent, or cannot be written.
        """
        await probe(self.objects)

    async def newest(self, asset: Sequence[str], partition: str | None) -> Artifact | None:
        """The current version, or None if nothing was published."""
        commit = await self._newest(Place.of(asset, partition))
        return commit.artifact if commit else None

    async def newest_of(
        self, asset: Sequence[str], partitions: Sequence[str]
    ) -> dict[str, Artifact]:
        """The current versions of many partitions; those without one are absent."""
        places = [Place.of(asset, partition) for partition in partitions]
        commits = await each(self._newest, places, limit=_PARTITIONS_AT_ONCE)
        found = zip(partitions, commits, strict=True)
        return {partition: commit.artifact for partition, commit in found if commit}

    async def inputs_of(
        self, asset: Sequence[str], partitions: Sequence[str | None]
    ) -> dict[str | None, dict[str, str]]:
        """Of the current versions of many partitions: the version of each input by its label."""
        places = [Place.of(asset, partition) for partition in partitions]
        commits = await each(self._newest, places, limit=_PARTITIONS_AT_ONCE)
        found = zip(partitions, commits, strict=True)
        return {partition: dict(commit.inputs) for partition, commit in found if commit}

    async def at(self, asset: Sequence[str], partition: str | None, sequence: int) -> Artifact:
        """The version that a commit published, whether or not its objects are retained.

        Raises:
            InputError: There is no such commit.
        """
        place = Place.of(asset, partition)
        try:
            return (await read_commit(self.objects, place, sequence)).artifact
        except FileNotFoundError:
            raise InputError(
                "A commit exists", f"none with number {sequence}", place.label
            ) from None

    async def begin(self, asset: Sequence[str], partition: str | None, version: str) -> Draft:
        """Start or resume an attempt to publish `version` on top of the current one.

        Raises:
            ConfigError: The root cannot hold commits, or a name cannot be a path.
        """
        await probe(self.objects)
        current = await self._newest(Place.of(asset, partition))
        newest = current.artifact if current else None
        return await self.begin_after(newest, asset, partition, version)

    async def begin_after(
        self, newest: Artifact | None, asset: Sequence[str], partition: str | None, version: str
    ) -> Draft:
        """`begin` on top of what `newest` has just told, without asking the store again.

        If another writer has published meanwhile, the commit is a `CommitConflict`.
        """
        await probe(self.objects)
        return Draft(self.objects, self._derived, Place.of(asset, partition), version, newest)

    async def local_file(self, artifact: Artifact, name: str, scratch: Path) -> Path:
        """A local file with the bytes of an object, size and SHA-256 verified.

        In a local store it is the object itself: never write to it. Else it is downloaded
        below `scratch`, once per version.

        Raises:
            KeyError: The version has no such object.
            InputError: The stored bytes are damaged or were collected as garbage.
        """
        stored = artifact.object(name)
        path = f"{artifact.data_prefix}/{name}"
        try:
            if (own := self.objects.local_path(path)) is not None:
                await self.objects.head(path)  # refuses a symbolic link out of the root
                await in_thread(lambda: self._verify(own, stored))
                return own
            folder = hashlib.sha256(artifact.data_prefix.encode()).hexdigest()[:16]
            file = scratch / folder / name
            if not await in_thread(file.is_file):
                await self.objects.download(path, file, size=stored.size, sha256=stored.sha256)
            return file
        except FileNotFoundError:
            raise self._gone(path) from None

    async def partial_file(self, artifact: Artifact, name: str, scratch: Path) -> Path | None:
        """A local file of an object's size that has its footer only: `fetch_parts` adds to it.

        None where that cannot be: the store is local, or the object was not published with what
        verifies its parts. Then there is `local_file`.

        Raises:
            KeyError: The version has no such object.
            InputError: The stored bytes are damaged or were collected as garbage.
        """
        stored, path = artifact.object(name), f"{artifact.data_prefix}/{name}"
        if self.objects.local_path(path) is not None or not readable_in_parts(stored):
            return None
        folder = hashlib.sha256(artifact.data_prefix.encode()).hexdigest()[:16]
        file = scratch / f"{folder}-parts" / name
        try:
            await fetch_footer(self.objects, path, stored, file)
        except FileNotFoundError:
            raise self._gone(path) from None
        return file

    async def fetch_parts(
        self, artifact: Artifact, name: str, file: Path, spans: Sequence[Span]
    ) -> None:
        """Add some bytes of an object to its partial file.

        Args:
            artifact: The version.
            name: The object.
            file: What `partial_file` gave.
            spans: First byte and byte after the last of each part.

        Raises:
            InputError: The object is shorter than published, or was collected as garbage.
        """
        path = f"{artifact.data_prefix}/{artifact.object(name).name}"
        try:
            await fetch_spans(self.objects, path, spans, file)
        except FileNotFoundError:
            raise self._gone(path) from None

    def _gone(self, path: str) -> InputError:
        return InputError(
            "The objects of a version are kept while it is read",
            "none",
            self.objects.address(path),
            "It was collected as garbage or deleted "
            "by hand: read the newest version, or materialize it again.",
        )

    async def read(self, artifact: Artifact, name: str) -> bytes:
        """The bytes of a small object, size and SHA-256 verified.

        Raises:
            KeyError: The version has no such object.
            InputError: The stored bytes are damaged.
        """
        stored = artifact.object(name)
        path = f"{artifact.data_prefix}/{name}"
        body = await self.objects.get(path)
        digest = hashlib.sha256(body).hexdigest()
        check(self.objects.address(path), len(body), digest, stored.size, stored.sha256)
        return body

    def folder(self, artifact: Artifact) -> str:
        """The full address of the folder that holds the objects of a version."""
        return self.objects.address(artifact.data_prefix)

    def address(self, artifact: Artifact, name: str) -> str:
        """The full address of an object, for people: `s3://...` or an absolute path."""
        return self.objects.address(f"{artifact.data_prefix}/{artifact.object(name).name}")

    async def collect_garbage(
        self,
        asset: Sequence[str],
        partition: str | None,
        *,
        keep: int,
        abandon: bool = False,
        dry_run: bool = False,
    ) -> Collected:
        """Delete the objects of old versions and of dead attempts; see `gc`.

        Args:
            asset: The asset key.
            partition: The partition key.
            keep: Versions to retain, the current one included; at least 1.
            abandon: Also delete unfinished attempts on the current version. Their writers,
                if they still run, will get a `CommitConflict`.
            dry_run: Only say what would be deleted.
        """
        place = Place.of(asset, partition)
        return await collect(self.objects, place, keep=keep, abandon=abandon, dry_run=dry_run)

    async def rebuild(self, asset: Sequence[str]) -> int:
        """Write `collection.json` and every `item.json` of an asset anew from its commits.

        Returns:
            The number of partitions. It reads one commit for each of them.
        """
        return await self._derived.rebuild(tuple(asset), limit=_PARTITIONS_AT_ONCE)

    def gathering(self) -> AbstractAsyncContextManager[None]:
        """For a block that commits many partitions: their collection is written few times.

        It is up to date after the block.
        """
        return self._derived.gathering()

    async def flush(self) -> None:
        """Write what `commit` left to do later: large collections lag by a hundredth part."""
        await self._derived.flush()

    async def _newest(self, place: Place) -> Commit | None:
        sequence = await newest_sequence(self.objects, place, self._seen.get(place, 0))
        if not sequence:
            return None
        self._seen[place] = sequence
        return await read_commit(self.objects, place, sequence)

    def _verify(self, file: Path, stored: StoredObject) -> None:
        stat = file.stat()
        key = (str(file), stat.st_size, stat.st_mtime_ns)
        if key not in self._verified:
            size, sha256 = measure(file)
            check(str(file), size, sha256, stored.size, stored.sha256)
            self._verified[key] = None
