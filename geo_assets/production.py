"""How one partition of an asset is made: the same way for every asset.

```
current already? -> no-op
begin a draft -> adopt finished chunks -> stream the rest through the engine -> stage
-> finish (index, picture, contract) -> Staged, which the I/O manager commits
```

A run that dies anywhere before the commit has published nothing; the next run with the same
inputs finds the chunks that were staged and does only the others.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from geo_assets.engine.engine import Engine
from geo_assets.engine.scope import finish
from geo_assets.engine.stream import Lost
from geo_assets.errors import GeoAssetsError
from geo_assets.model import Artifact, Chunk, KernelResult, StoredObject
from geo_assets.progress import watched
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft

Progress = Callable[[int, int], None]
"""Called with chunks done and chunks in all, after each chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What a finished version says about itself."""

    objects: tuple[StoredObject, ...]
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Small JSON properties, published in the commit."""
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in EPSG:4326 degrees."""
    datetime: str | None = None
    """RFC 3339 time that the data is of."""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Markdown by title, shown with the materialization: what is true of this run, such as
    resumed chunks, and therefore no part of the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where one partition is made."""

    engine: Engine
    folder: Path
    """The partition's own, for files in flight."""
    progress: Progress = lambda _done, _total: None

    async def run(self, chunk: Chunk) -> KernelResult:
        """Do one chunk in a worker; its files stay until the run ends."""
        return await self.engine.run(chunk)

    async def run_all(self, chunks: Sequence[Chunk]) -> list[KernelResult]:
        """Do chunks whose results are merged afterwards; their files go into the folder.

        For steps that are short enough to be done again as a whole: nothing is staged, so a run
        that dies has nothing to resume.

        Returns:
            Results in the order of `chunks`.

        Raises:
            Exception: The error of the first chunk given up.
        """

        async def stage(chunk: Chunk, result: KernelResult) -> KernelResult:
            return await asyncio.to_thread(_moved, result, self.folder / "parts" / chunk.id)

        results: dict[str, KernelResult] = {}
        async with aclosing(self.engine.stream(chunks, stage=stage)) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, Lost):
                    raise _given_up([outcome], len(chunks))
                results[outcome.chunk.id] = outcome.value
                self.progress(len(results), len(chunks))
        return [results[chunk.id] for chunk in chunks]


class Recipe(Protocol):
    """How to make one partition of one asset."""

    @property
    def asset(self) -> tuple[str, ...]:
        """The asset key."""
        ...

    @property
    def partition(self) -> str | None:
        """The partition key, if the asset has partitions."""
        ...

    @property
    def version(self) -> str:
        """Fingerprint of everything that determines the bytes."""
        ...

    @property
    def inputs(self) -> Mapping[str, str]:
        """Version of each input by its label."""
        ...

    async def chunks(self, bench: Bench) -> Sequence[Chunk]:
        """The CPU work, split the same way on every machine."""
        ...

    async def fetch(self, chunk: Chunk, folder: Path) -> Chunk:
        """Bring the inputs of `chunk` into `folder`, once for all chunks, and name them in it."""
        ...

    async def finish(
        self, draft: Draft, receipts: Sequence[ChunkReceipt], bench: Bench
    ) -> Publication:
        """Stage what is made from all chunks together and describe the version."""
        ...


class Merged:
    """The half of a recipe whose chunks are merged by `finish` and none of them staged.

    Such a step is short enough to be done again as a whole: see `Bench.run_all`.
    """

    __slots__ = ()

    async def chunks(self, bench: Bench) -> Sequence[Chunk]:
        """None are staged."""
        del bench
        return []

    async def fetch(self, chunk: Chunk, folder: Path) -> Chunk:
        """Nothing: `finish` brings the inputs."""
        del folder
        return chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A version whose objects are all in place and checked, but which is not current yet."""

    draft: Draft
    publication: Publication
    inputs: Mapping[str, str]
    run_id: str
    chunks: int
    """How many chunks the version has."""
    resumed: int
    """How many of them an earlier run had finished."""

    async def commit(self) -> Artifact:
        """Make it the current version; atomic.

        Raises:
            CommitConflict: Another run committed a different version meanwhile.
        """
        return await self.draft.commit(
            self.publication.objects,
            properties=self.publication.properties,
            inputs=self.inputs,
            run_id=self.run_id,
            bbox=self.publication.bbox,
            datetime=self.publication.datetime,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The version that would be made is the current one already: nothing was done."""

    artifact: Artifact
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Version of each input by its label, as they are now."""


async def produce(
    recipe: Recipe,
    *,
    folder: Path,
    store: ArtifactStore,
    engine: Engine,
    run_id: str,
    progress: Progress = lambda _done, _total: None,
) -> Staged | Current:
    """Make one partition, up to but without its commit.

    `folder` holds the partition's files in flight; the caller removes it.

    Raises:
        Exception: The error of the first chunk given up; every other chunk that could be done is
            staged and will be adopted by the next try.
    """
    newest = await store.newest(recipe.asset, recipe.partition)
    if newest is not None and newest.version == recipe.version:
        return Current(artifact=newest, inputs=recipe.inputs)
    progress = watched(recipe.asset, recipe.partition, progress)
    draft = await store.begin(recipe.asset, recipe.partition, recipe.version)
    bench = Bench(engine=engine, folder=folder, progress=progress)
    chunks = await recipe.chunks(bench)
    finished = await draft.finished()
    resumed = {chunk.id: finished[chunk.id] for chunk in chunks if chunk.id in finished}
    todo = [chunk for chunk in chunks if chunk.id not in resumed]
    fresh = await _run_chunks(recipe, draft, engine, todo, folder, progress, len(chunks))
    receipts = resumed | fresh
    publication = await recipe.finish(draft, [receipts[chunk.id] for chunk in chunks], bench)
    return Staged(
        draft=draft,
        publication=publication,
        inputs=recipe.inputs,
        run_id=run_id,
        chunks=len(chunks),
        resumed=len(resumed),
    )


async def _run_chunks(
    recipe: Recipe,
    draft: Draft,
    engine: Engine,
    todo: Sequence[Chunk],
    folder: Path,
    progress: Progress,
    total: int,
) -> dict[str, ChunkReceipt]:
    async def stage(chunk: Chunk, result: KernelResult) -> ChunkReceipt:
        return await draft.stage_chunk(chunk.id, result)

    async def fetch(chunk: Chunk) -> Chunk:
        return await recipe.fetch(chunk, folder)

    receipts: dict[str, ChunkReceipt] = {}
    lost: list[Lost] = []
    async with aclosing(engine.stream(todo, fetch=fetch, stage=stage)) as outcomes:
        async for outcome in outcomes:
            if isinstance(outcome, Lost):
                lost.append(outcome)
            else:
                receipts[outcome.chunk.id] = outcome.value
            progress(total - len(todo) + len(receipts) + len(lost), total)
    if lost:
        raise _given_up(lost, total)
    return receipts


def _given_up(lost: Sequence[Lost], total: int) -> Exception:
    first = min(lost, key=lambda outcome: outcome.chunk.id)
    where = f"chunk {first.chunk.id}"
    if total > 1:
        where += f" ({len(lost)} of {total} chunks given up)"
    if isinstance(first.error, GeoAssetsError):
        return first.error.located(where)
    first.error.add_note(where)
    return first.error


def _moved(result: KernelResult, folder: Path) -> KernelResult:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for file in result.files:
        path = folder / Path(file.name).name
        shutil.move(file.path, path)
        files.append(replace(file, path=path))
    return replace(result, files=tuple(files))


@asynccontextmanager
async def work_folder(scratch: Path) -> AsyncIterator[Path]:
    """A folder of its own for one partition, removed afterwards."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=scratch))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


class OnceByKey:
    """Does an awaitable job once per key, however many tasks ask for it at the same time.

    A task that is cancelled leaves the job to the others; when the last one that waits is
    cancelled, so is the job, and it has ended before that task goes on.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, asyncio.Future[Any]] = {}
        self._waiting: Counter[asyncio.Future[Any]] = Counter()

    async def get(self, key: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """The result of `make` for `key`; a failed job is forgotten, so that a retry runs again."""
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = asyncio.ensure_future(make())
        self._waiting[job] += 1
        try:
            return await asyncio.shield(job)
        except BaseException:
            if not job.done() and self._waiting[job] == 1:
                job.cancel()
                await finish(asyncio.wait([job]))
            if job.done() and (job.cancelled() or job.exception() is not None):
                self._forget(key, job)
            raise
        finally:
            self._waiting[job] -= 1

    def _forget(self, key: str, job: asyncio.Future[Any]) -> None:
        """Unless a retry has put another job in its place."""
        if self._jobs.get(key) is job:
            del self._jobs[key]
