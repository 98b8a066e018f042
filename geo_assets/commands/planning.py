"""What a run would do, found out from commits and listings: nothing is fetched or computed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import dagster as dg

from geo_assets.assets.body import Plan
from geo_assets.assets.factory import planner_of
from geo_assets.commands.dry import (
    DECLARATION,
    NeedsWorkersError,
    NoEngine,
    PlanningStore,
    WouldFetchError,
)
from geo_assets.commands.materializing import partitions_of
from geo_assets.commands.project import Project
from geo_assets.commands.shared import size
from geo_assets.errors import GeoAssetsError, InputError
from geo_assets.production import Bench, Recipe
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.bounded import each

State: TypeAlias = Literal["current", "stale", "missing", "waits", "unknown"]

_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What would become of one partition."""

    asset: str
    partition: str | None
    state: State
    """`waits` is for an upstream asset that would be made first."""
    why: str = ""
    chunks: int | None = None
    """Chunks that would be done; None if only the run can tell."""
    input_bytes: int | None = None
    """What would be read of sources or of published inputs; None where those are made first."""
    largest_bytes: int | None = None
    """Memory that the largest chunk is expected to need."""


@dataclass(frozen=True, slots=True)
class _Context:
    artifacts: ArtifactStore
    changing: dict[tuple[dg.AssetKey, str | None], None] = field(default_factory=dict)
    """What would be made anew, and what waits for that."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of published inputs by their label."""


async def plan(
    project: Project,
    keys: Sequence[dg.AssetKey],
    partitions: Mapping[dg.AssetKey, Sequence[str | None]],
) -> list[Planned]:
    """What a run of `keys` (in topological order) would do with each partition."""
    store = project.geo_store
    context = _Context(store.artifacts())
    planning = PlanningStore(root=store.root, source=store.source, s3=store.s3)
    planned: list[Planned] = []
    for key in keys:
        node = project.graph.get(key)
        planner = planner_of(node.assets_def)
        made = None if planner is None else planner(planning)
        upstream = [parent for parent in node.parent_keys if parent in keys]

        async def one(
            partition: str | None,
            key: dg.AssetKey = key,
            made: Plan | None = made,
            upstream: Sequence[dg.AssetKey] = upstream,
        ) -> Planned:
            return await _planned(key, partition, made, upstream, context)

        planned += await each(one, partitions[key], limit=_AT_ONCE)
    return planned


async def _planned(
    key: dg.AssetKey,
    partition: str | None,
    made: Plan | None,
    upstream: Sequence[dg.AssetKey],
    context: _Context,
) -> Planned:
    asset = key.to_user_string()
    if made is None:
        return Planned(asset=asset, partition=partition, state="unknown",
                       why="an asset of your own: it is made in every run")  # fmt: skip
    changing = [
        parent
        for parent in upstream
        if (parent, partition) in context.changing or (parent, None) in context.changing
    ]
    newest = await context.artifacts.newest(key.path, partition)
    state: State = "missing" if newest is None else "stale"
    if changing:
        context.changing[key, partition] = None
        names = ", ".join(parent.to_user_string() for parent in changing)
        return Planned(asset=asset, partition=partition, state="waits", why=f"for {names}")
    with tempfile.TemporaryDirectory(prefix="geo_assets_") as folder:
        try:
            recipe = await made(partition, Path(folder))
        except WouldFetchError as error:
            context.changing[key, partition] = None
            return Planned(asset=asset, partition=partition, state=state, why=error.why(newest),
                           input_bytes=error.input_bytes)  # fmt: skip
        except InputError as error:
            return Planned(asset=asset, partition=partition, state="unknown", why=str(error))
        if newest is not None and recipe.version == newest.version:
            return Planned(asset=asset, partition=partition, state="current", chunks=0,
                           input_bytes=0)  # fmt: skip
        context.changing[key, partition] = None
        chunks, largest = await _chunks(recipe, Path(folder))
    why = "" if newest is None else await _why(recipe, newest.sequence, context)
    read = await _input_bytes(recipe, context)
    return Planned(asset=asset, partition=partition, state=state, why=why, chunks=chunks,
                   input_bytes=read, largest_bytes=largest)  # fmt: skip


async def _input_bytes(recipe: Recipe, context: _Context) -> int:
    """Bytes of the current versions that a recipe is made of."""
    for label in recipe.inputs:
        if label not in context.sizes:
            name, _, partition = label.removesuffix("]").partition("[")
            artifact = await context.artifacts.newest(name.split("/"), partition or None)
            objects = artifact.objects if artifact else ()
            context.sizes[label] = sum(stored.size for stored in objects)
    return sum(context.sizes[label] for label in recipe.inputs)


async def _chunks(recipe: Recipe, folder: Path) -> tuple[int | None, int | None]:
    engine: Any = NoEngine()
    try:
        chunks = await recipe.chunks(Bench(engine=engine, folder=folder))
    except (NeedsWorkersError, GeoAssetsError):
        return None, None
    if not chunks:  # all is done at the end, in one go
        return None, None
    return len(chunks), max(chunk.predicted_bytes for chunk in chunks)


async def _why(recipe: Recipe, sequence: int, context: _Context) -> str:
    """Which inputs have changed since the current version was made."""
    from geo_assets.store.commit import read_commit
    from geo_assets.store.paths import Place

    place = Place.of(recipe.asset, recipe.partition)
    before = (await read_commit(context.artifacts.objects, place, sequence)).inputs
    changed = [label for label, version in recipe.inputs.items() if before.get(label) != version]
    return f"{', '.join(changed)} changed" if changed else DECLARATION


def partitions_by_asset(
    project: Project,
    instance: dg.DagsterInstance,
    keys: Sequence[dg.AssetKey],
    single: Sequence[str],
    span: str | None,
) -> dict[dg.AssetKey, list[str | None]]:
    """The partitions that a run would cover."""
    found: dict[dg.AssetKey, list[str | None]] = {}
    wanted: dict[Any, list[str]] = {}
    for key in keys:
        definition = project.partitions(key)
        if definition is None:
            found[key] = [None]
            continue
        if definition not in wanted:
            _, wanted[definition] = partitions_of(project, instance, definition, single, span)
        found[key] = list(wanted[definition])
    return found


def rows(planned: Sequence[Planned]) -> Iterator[list[str]]:
    """A table by asset and state: partitions, chunks, bytes read, memory and why."""
    yield ["asset", "state", "partitions", "chunks", "reads", "memory", "why"]
    for asset in dict.fromkeys(item.asset for item in planned):
        of_asset = [item for item in planned if item.asset == asset]
        for state in dict.fromkeys(item.state for item in of_asset):
            items = [item for item in of_asset if item.state == state]
            chunks, read = _sum(item.chunks for item in items), _sum(i.input_bytes for i in items)
            largest = max((item.largest_bytes or 0 for item in items), default=0)
            reasons = list(dict.fromkeys(item.why for item in items if item.why))
            more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
            yield [
                asset,
                state,
                "-" if items[0].partition is None else str(len(items)),
                "?" if chunks is None else str(chunks or "-"),
                "?" if read is None else size(read) if read else "-",
                size(largest) if largest else "-" if state == "current" else "?",
                reasons[0] + more if reasons else "",
            ]


def _sum(numbers: Iterable[int | None]) -> int | None:
    """None if one is not known."""
    known = list(numbers)
    return None if None in known else sum(number or 0 for number in known)


def wait(
    project: Project,
    keys: Sequence[dg.AssetKey],
    partitions: Mapping[dg.AssetKey, Sequence[str | None]],
) -> list[Planned]:
    """`plan` from synchronous code."""
    return asyncio.run(plan(project, keys, partitions))
