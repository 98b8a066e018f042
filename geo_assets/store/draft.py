"""One writer's attempt at one partition: staged objects that nobody sees until the commit."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from geo_assets.errors import ContractError, InputError, TransientError
from geo_assets.model import Artifact, Json, KernelResult, OutputFile, StoredObject
from geo_assets.store.bounded import each
from geo_assets.store.commit import SETTLING, conflict, publish, read_commit
from geo_assets.store.derived import Derived
from geo_assets.store.objects import ObjectStore
from geo_assets.store.paths import CHUNKS, Place, checked_name
from geo_assets.store.receipt import ChunkReceipt
from geo_assets.store.stac import BBox, Commit, now, plain
from geo_assets.store.threads import in_thread
from geo_assets.store.verify import digest, measure

_AT_ONCE = 8
_RECEIPTS_AT_ONCE = 32
_IN_MEMORY = 1 << 20


class Draft:
    """The staging area `data/<base>-<version>/` of one partition; made by `ArtifactStore.begin`.

    Everything in it is created and never changed, so attempts with the same base and version
    share it: what one of them finished, the next one finds. Nothing is visible before
    `commit`, and a draft that is dropped leaves only garbage that `collect_garbage` removes.
    """

    def __init__(
        self,
        objects: ObjectStore,
        derived: Derived,
        place: Place,
        version: str,
        current: Artifact | None,
    ) -> None:
        self.asset = place.asset
        self.partition = place.partition
        self.version = version
        self.base = current.sequence if current else 0
        """The number of the commit that this draft would follow."""
        self.data_prefix = place.version(self.base, version)
        """Where its objects lie, relative to the root."""
        self._objects = objects
        self._derived = derived
        self._place = place
        self.current = current
        """What was published when it began, or None."""

    async def finished(self) -> dict[str, ChunkReceipt]:
        """The chunks that earlier attempts finished, by id, verified byte by byte.

        One whose receipt is damaged or whose objects are not all there is left out, and done again.

        Raises:
            InputError: A staged object was damaged since it was written.
        """
        there = {meta.path async for meta in self._objects.list(self.data_prefix)}
        receipts = await each(
            self._receipt,
            (path for path in sorted(there) if path.startswith(f"{self.data_prefix}/{CHUNKS}/")),
            limit=_RECEIPTS_AT_ONCE,
        )
        whole = [r for r in receipts if r and all(self._path(o.name) in there for o in r.objects)]
        staged = [stored for receipt in whole for stored in receipt.objects]
        await each(self._verify, staged, limit=_AT_ONCE)
        return {receipt.id: receipt for receipt in whole}

    async def stage_chunk(self, chunk_id: str, result: KernelResult) -> ChunkReceipt:
        """Stage the files of a chunk, then its receipt.

        Raises:
            ContractError: The same chunk was staged with other bytes before, or a file
                changed after its kernel checked it.
            TransientError: The store gave no usable answer; staging again is safe.
        """
        if "/" in checked_name(chunk_id):
            raise ContractError("A chunk id is one path segment", repr(chunk_id), self._place.label)
        objects = tuple(await each(self.stage, result.files, limit=_AT_ONCE))
        receipt = ChunkReceipt(
            id=chunk_id,
            objects=objects,
            facts=plain(result.facts, f"{self._place.label}: {chunk_id}"),
        )
        path = f"{self.data_prefix}/{CHUNKS}/{chunk_id}.json"
        body = receipt.to_json()
        for attempt in range(SETTLING.attempts):
            if await self._objects.create(path, body):
                return receipt
            try:
                earlier = await self._receipt(path)
            except FileNotFoundError:
                await SETTLING.pause(attempt)
                continue
            if earlier is None:  # a power cut has emptied it
                await self._objects.put(path, body)
                return receipt
            if _identities(earlier.objects) == _identities(objects):
                return earlier
            raise _not_deterministic(self._objects.address(path), "another list of objects")
        raise _absent(self._objects.address(path))

    async def stage(self, file: OutputFile) -> StoredObject:
        """Stage one file, create-only; an object that exists is adopted if it is the same.

        Raises:
            ContractError: The name holds other bytes, or the file is not what was hashed.
            TransientError: The store gave no usable answer; staging again is safe.
        """
        path = self._path(file.name)
        body = await in_thread(lambda: _checked_body(file))
        expected = (file.size, file.sha256)
        for attempt in range(SETTLING.attempts):
            if await self._objects.create(path, body):
                break
            try:
                found = await digest(self._objects, path)
            except FileNotFoundError:
                await SETTLING.pause(attempt)
                continue
            if found == expected:
                break
            raise _not_deterministic(
                self._objects.address(path), f"SHA-256 {file.sha256} after {found[1]}"
            )
        else:
            raise _absent(self._objects.address(path))
        return StoredObject(
            name=file.name,
            size=file.size,
            sha256=file.sha256,
            media_type=file.media_type,
            roles=tuple(file.roles),
            facts=plain(file.facts, f"{self._place.label}: {file.name}"),
        )

    async def commit(
        self,
        objects: Sequence[StoredObject],
        *,
        properties: Mapping[str, Json],
        inputs: Mapping[str, str],
        run_id: str,
        bbox: BBox | None = None,
        datetime: str | None = None,
    ) -> Artifact:
        """Publish the staged objects as the current version, atomically.

        Readers see the version before or this one, whole. If the current version is this
        one already, or another writer published it meanwhile, that is success. Then
        `item.json` and `collection.json` are brought up to date; they are derived, so a
        failure there is logged and nothing more.

        Args:
            objects: All objects of the version, as `stage` and `stage_chunk` returned them.
            properties: Small JSON, published unchanged.
            inputs: Versions of the inputs by label.
            run_id: The run, named to a writer that loses against this commit.
            bbox: West, south, east, north in degrees, or None without a place.
            datetime: RFC 3339, or None: then `start_datetime` and `end_datetime` of the
                properties hold, or the moment of publishing.

        Raises:
            CommitConflict: Another version was published since `begin`.
            ContractError: A listed object is not staged as stated, or a value is not STAC.
            TransientError: The outcome is unknown; running again is safe.
        """
        artifact = Artifact(
            asset=self.asset,
            partition=self.partition,
            sequence=self.base + 1,
            version=self.version,
            data_prefix=self.data_prefix,
            objects=tuple(objects),
            properties=plain(properties, self._place.label),
            run_id=run_id,
        )
        commit = Commit(
            artifact=artifact,
            write_id=uuid.uuid4().hex,
            inputs=dict(inputs),
            bbox=bbox,
            datetime=datetime,
            created=now(),
        ).checked()
        if self.current and self.current.version == self.version:
            return await self._unchanged(self.current, artifact)
        await self._check_staged(artifact)
        published = await publish(self._objects, commit)
        await self._derived.refresh(published)
        return published.artifact

    async def _unchanged(self, current: Artifact, ours: Artifact) -> Artifact:
        """The current version is ours already: nothing is written, unless we are outdated."""
        winner = await self._successor()
        if winner is None:
            return current
        if winner.artifact.version == self.version:
            return winner.artifact
        raise conflict(ours, winner)

    async def _successor(self) -> Commit | None:
        """The commit that another writer put where ours would go."""
        try:
            return await read_commit(self._objects, self._place, self.base + 1)
        except FileNotFoundError:
            return None

    async def _check_staged(self, artifact: Artifact) -> None:
        """Every object of the version is there with its size; hashes were checked in staging."""
        names = [stored.name for stored in artifact.objects]
        if len(set(names)) != len(names):
            raise ContractError(
                "The objects of a version have different names",
                f"{len(names) - len(set(names))} repeated",
                artifact.label,
            )
        sizes = {meta.path: meta.size async for meta in self._objects.list(self.data_prefix)}
        for stored in artifact.objects:
            size = sizes.get(self._path(stored.name))
            if size != stored.size:
                if (winner := await self._successor()) is not None:
                    raise conflict(artifact, winner)  # garbage collection fenced us off
                raise ContractError(
                    "A commit lists objects that are staged",
                    "none" if size is None else f"{size} bytes",
                    self._objects.address(self._path(stored.name)),
                    "Stage the file, then commit what stage returned.",
                )

    async def _verify(self, stored: StoredObject) -> None:
        path = self._path(stored.name)
        found = await digest(self._objects, path)
        if found != (stored.size, stored.sha256):
            raise InputError(
                "A staged object keeps its bytes",
                f"SHA-256 {found[1]} instead of {stored.sha256}",
                self._objects.address(path),
                "Delete this object and run again.",
            )

    async def _receipt(self, path: str) -> ChunkReceipt | None:
        """The receipt of a chunk; None if it is damaged, and the chunk therefore not done."""
        return ChunkReceipt.from_json(await self._objects.get(path))

    def _path(self, name: str) -> str:
        return f"{self.data_prefix}/{checked_name(name)}"


def _checked_body(file: OutputFile) -> bytes | Path:
    """What to send: the bytes of a small file, else its path; hashed again in either case."""
    body = file.path.read_bytes() if file.size <= _IN_MEMORY else file.path
    found = measure(body) if isinstance(body, Path) else (len(body), sha256(body).hexdigest())
    if found != (file.size, file.sha256):
        raise ContractError(
            "A file stays as its kernel checked it",
            "other bytes",
            str(file.path),
            "Do not write to it after OutputFile.of.",
        )
    return body


def _identities(objects: Sequence[StoredObject]) -> list[tuple[str, int, str]]:
    return [(stored.name, stored.size, stored.sha256) for stored in objects]


def _not_deterministic(where: str, got: str) -> ContractError:
    return ContractError(
        "A chunk that is done again gives the same bytes",
        got,
        where,
        "Its kernel is not deterministic, or its version does not name all "
        "that decides the result.",
    )


def _absent(where: str) -> TransientError:
    return TransientError("An object can be created where none is", "refused each time", where)
