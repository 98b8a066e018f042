"""`raw/...`: a source as it was delivered, fetched whole, opened under guards and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from geo_assets.model import Chunk, Json, OutputFile, fingerprint, sha256_file
from geo_assets.production import Bench, Publication
from geo_assets.sources import SourceObject, Sources
from geo_assets.store.artifact import ArtifactStore, ChunkReceipt, Draft

FORMAT = 2
"""Raised when the layout or the meaning of raw artifacts changes."""


class Inspection(Protocol):
    """What is specific to one kind of source."""

    @property
    def media_type(self) -> str:
        """Of files that the inspection does not publish itself."""
        ...

    def chunk(self, files: Sequence[Path]) -> Chunk:
        """The work that opens the fetched files and tells what they are."""
        ...

    def picture(self, files: Sequence[Path]) -> Chunk | None:
        """The work that draws the files, if they can be drawn; it gives `thumbnail` as a fact."""
        ...

    def describe(self, facts: Mapping[str, Any]) -> Publication:
        """What the facts mean for the version; its objects are those to add to the files."""
        ...

    def config(self) -> Json:
        """What changes the verdict of the inspection."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRecipe:
    """One partition of a raw asset: the files of a source, byte for byte."""

    asset: tuple[str, ...]
    partition: str | None
    version: str
    files: tuple[Path, ...]
    identities: tuple[Mapping[str, Json], ...]
    inspection: Inspection
    inputs: Mapping[str, str]

    async def chunks(self, bench: Bench) -> Sequence[Chunk]:
        """One: the inspection."""
        del bench
        return [self.inspection.chunk(self.files)]

    async def fetch(self, chunk: Chunk, folder: Path) -> Chunk:
        """Nothing: the files were fetched to know the version."""
        del folder
        return chunk

    async def finish(
        self, draft: Draft, receipts: Sequence[ChunkReceipt], bench: Bench
    ) -> Publication:
        """Stage the files that the inspection has not published itself, and a picture."""
        described = self.inspection.describe(receipts[0].facts)
        published = {stored.name for stored in receipts[0].objects}
        kept = []
        for place, path in enumerate(self.files):
            if path.name not in published:
                roles = ("data",) if place == 0 else ("sidecar",)
                output = await asyncio.to_thread(
                    OutputFile.of, path, path.name, self.inspection.media_type, roles=roles
                )
                kept.append(await draft.stage(output))
        properties = dict(described.properties) | {
            "sources": list(self.identities),
            "rules": _rules(self.inspection),
        }
        drawing = self.inspection.picture(self.files)
        if drawing is not None:
            drawn = await bench.run(drawing)
            kept += [await draft.stage(file) for file in drawn.files]
            properties["thumbnail"] = drawn.facts["thumbnail"]
            properties["histogram"] = drawn.facts.get("bands", [])
        return Publication(
            objects=(*receipts[0].objects, *kept),
            properties=properties,
            bbox=described.bbox,
            datetime=described.datetime,
        )


async def plan_raw(
    *,
    asset: tuple[str, ...],
    partition: str | None,
    pattern: str,
    bands: Sequence[str],
    inspection: Inspection,
    sources: Sources,
    store: ArtifactStore,
    folder: Path,
) -> RawRecipe:
    """Find the source's objects and fetch them, unless they are those of the current version.

    The version is made of the bytes' hashes, so a source that was only touched, copied or moved
    to another bucket makes nothing downstream stale.
    """
    found = await sources.find(pattern, partition=partition, bands=bands)
    identities = tuple(item.identity() for item in found)
    newest = await store.newest(asset, partition)
    unchanged = newest is not None and newest.properties.get("sources") == list(identities)
    same_rules = newest is not None and newest.properties.get("rules") == _rules(inspection)
    if newest is not None and unchanged and same_rules:
        version = newest.version
        files: tuple[Path, ...] = ()
    else:
        files = await _fetch(sources, pattern, found, folder)
        hashes = [await asyncio.to_thread(sha256_file, path) for path in files]
        names: list[Json] = [
            [path.name, digest] for path, digest in zip(files, hashes, strict=True)
        ]
        version = fingerprint("raw", names, _rules(inspection))
    return RawRecipe(
        asset=asset,
        partition=partition,
        version=version,
        files=files,
        identities=identities,
        inspection=inspection,
        inputs={},
    )


def _rules(inspection: Inspection) -> Json:
    """What decides, beside the source's bytes, what is published."""
    return [FORMAT, inspection.config()]


async def _fetch(
    sources: Sources, pattern: str, found: Sequence[SourceObject], folder: Path
) -> tuple[Path, ...]:
    place = folder / "source"
    await asyncio.to_thread(place.mkdir)
    return tuple([await sources.fetch(pattern, item, place) for item in found])
