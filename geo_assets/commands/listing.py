"""What is published, read from commits alone: neither Dagster nor a GIS library is imported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from geo_assets.commands.shared import size
from geo_assets.errors import InputError
from geo_assets.model import Artifact, Json
from geo_assets.settings import Settings
from geo_assets.store import catalog
from geo_assets.store.artifact import ArtifactStore, Collected
from geo_assets.store.objects import ObjectStore, open_store
from geo_assets.store.paths import Place
from geo_assets.store.stac import Commit

T = TypeVar("T")

OBJECTS_SHOWN = 20
_TEXT_SHOWN = 70


def published() -> ObjectStore:
    """The store that results are published in (`GEO_ASSETS_ROOT`)."""
    return open_store(Settings.from_env().root)


def asset_key(text: str) -> tuple[str, ...]:
    """`core/events` as an asset key."""
    return tuple(part for part in text.split("/") if part)


async def all_assets(objects: ObjectStore) -> dict[tuple[str, ...], list[Commit]]:
    """The newest commits of every asset."""
    return {key: await catalog.current(objects, key) for key in await catalog.assets(objects)}


async def newest(objects: ObjectStore, asset: str, partition: str | None) -> list[Commit]:
    """The newest commits of an asset, or of one of its partitions.

    Raises:
        InputError: Nothing of the kind is published.
    """
    key = asset_key(asset)
    commits = await catalog.current(objects, key) if key else []
    if partition is not None:
        commits = [commit for commit in commits if commit.artifact.partition == partition]
    if not commits:
        place = asset if partition is None else f"{asset}[{partition}]"
        raise InputError("An asset is one that is published", "nothing",
                         f"{objects.uri}: {place}", "`geo-assets ls` lists them.")  # fmt: skip
    return commits


def asset_rows(assets: Mapping[tuple[str, ...], Sequence[Commit]]) -> Iterator[list[str]]:
    """A table of assets: partitions, objects, bytes, when last published."""
    yield ["asset", "partitions", "objects", "size", "published"]
    for key, commits in assets.items():
        artifacts = [commit.artifact for commit in commits]
        alone = [artifact.partition for artifact in artifacts] == [None]
        yield [
            "/".join(key),
            "-" if alone else str(len(artifacts)),
            str(sum(len(artifact.objects) for artifact in artifacts)),
            size(sum(map(weight, artifacts))),
            when(max((commit.created for commit in commits), default="")),
        ]


def partition_rows(commits: Sequence[Commit]) -> Iterator[list[str]]:
    """A table of partitions: commit, version, objects, bytes, when published."""
    yield ["partition", "commit", "version", "objects", "size", "published"]
    for commit in commits:
        artifact = commit.artifact
        yield [
            artifact.partition or "-",
            str(artifact.sequence),
            artifact.version[:12],
            str(len(artifact.objects)),
            size(weight(artifact)),
            when(commit.created),
        ]


def version_rows(history: Sequence[Commit]) -> Iterator[list[str]]:
    """A table of versions, newest first."""
    yield ["commit", "version", "objects", "size", "published", "run"]
    for commit in history:
        artifact = commit.artifact
        yield [
            str(artifact.sequence),
            artifact.version[:12],
            str(len(artifact.objects)),
            size(weight(artifact)),
            when(commit.created),
            f"gc {commit.fence[:8]}" if commit.fence else artifact.run_id[:8],
        ]


def object_rows(objects: ObjectStore, artifact: Artifact) -> Iterator[list[str]]:
    """A table of objects with their full addresses."""
    yield ["size", "address"]
    for stored in artifact.objects[:OBJECTS_SHOWN]:
        yield [size(stored.size), objects.address(f"{artifact.data_prefix}/{stored.name}")]
    if len(artifact.objects) > OBJECTS_SHOWN:
        yield ["", f"... {len(artifact.objects) - OBJECTS_SHOWN} more"]


def property_rows(properties: Mapping[str, Any]) -> Iterator[list[str]]:
    """A table of properties; groups of plain values one by one, long texts cut."""
    flat: dict[str, Any] = {}
    for name, value in sorted(properties.items()):
        if isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values()):
            flat |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            flat[name] = value
    for name, value in flat.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > _TEXT_SHOWN:
            text = f"{text[:_TEXT_SHOWN]}… ({len(text):,} characters)"
        yield [name, text]


def as_json(objects: ObjectStore, commits: Sequence[Commit]) -> str:
    """Everything that the newest commits say, with addresses."""
    values: list[Json] = [
        {
            "asset": "/".join(commit.artifact.asset),
            "partition": commit.artifact.partition,
            "commit": commit.artifact.sequence,
            "version": commit.artifact.version,
            "created": commit.created,
            "run_id": commit.artifact.run_id,
            "inputs": dict(commit.inputs),
            "properties": dict(commit.artifact.properties),
            "objects": [
                {
                    "uri": objects.address(f"{commit.artifact.data_prefix}/{stored.name}"),
                    "size": stored.size,
                    "sha256": stored.sha256,
                    "media_type": stored.media_type,
                }
                for stored in commit.artifact.objects
            ],
        }
        for commit in commits
    ]
    return json.dumps(values, indent=1, ensure_ascii=False)


def table(rows: Iterator[list[str]]) -> Iterator[str]:
    """Rows as lines with aligned columns."""
    cells = list(rows)
    columns = max((len(row) for row in cells), default=0)
    widths = [max(len(row[at]) for row in cells if at < len(row)) for at in range(columns)]
    for row in cells:
        yield "  ".join(
            f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)
        ).rstrip()


def weight(artifact: Artifact) -> int:
    """Bytes of all objects of a version."""
    return sum(stored.size for stored in artifact.objects)


def when(created: str) -> str:
    """`2026-11-24 04:30:12`, local time."""
    if not created:
        return "-"
    return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M:%S")


async def collect(
    objects: ObjectStore, keys: Sequence[tuple[str, ...]], *, keep: int, dry_run: bool
) -> list[tuple[str, Collected]]:
    """Delete old versions of every partition of the assets, or say what would be deleted."""
    store = ArtifactStore(objects)
    done = []
    for key in keys:
        for commit in await catalog.current(objects, key):
            artifact = commit.artifact
            collected = await store.collect_garbage(
                key, artifact.partition, keep=keep, dry_run=dry_run
            )
            done.append((artifact.label, collected))
    return done


async def history(objects: ObjectStore, commit: Commit) -> list[Commit]:
    """Every version of the commit's partition, newest first."""
    place = Place.of(commit.artifact.asset, commit.artifact.partition)
    return await catalog.history(objects, place)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Wait for a coroutine."""
    return asyncio.run(work)
