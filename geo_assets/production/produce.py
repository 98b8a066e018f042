"""From a recipe to a version that is staged whole, or is the current one already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from geo_assets.engine.engine import Engine
from geo_assets.engine.stream import Lost
from geo_assets.model import Artifact, Chunk, KernelResult
from geo_assets.production.bench import Bench, Progress, given_up
from geo_assets.production.recipe import Publication, Recipe
from geo_assets.progress import watched
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft


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
    alone: bool = True,
) -> Staged | Current:
    """Make one partition, up to but without its commit.

    `folder` holds the partition's files in flight; the caller removes it. `alone` is false where
    the run makes many partitions.

    Raises:
        Exception: The error of the first chunk given up; every other chunk that could be done is
            staged and will be adopted by the next try.
    """
    newest = await store.newest(recipe.asset, recipe.partition)
    if newest is not None and newest.version == recipe.version:
        return Current(artifact=newest, inputs=recipe.inputs)
    progress = watched(recipe.asset, recipe.partition, progress)
    engine.warm()
    draft = await store.begin_after(newest, recipe.asset, recipe.partition, recipe.version)
    bench = Bench(engine=engine, folder=folder, progress=progress, alone=alone)
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
        raise given_up(lost, total)
    return receipts
