"""What an asset has to say for one of its partitions to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from geo_assets.model import Chunk, StoredObject
from geo_assets.production.bench import Bench
from geo_assets.store.artifact import ChunkReceipt, Draft


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
    numbers: Mapping[str, int | float] = field(default_factory=dict)
    """Numbers of the same kind, such as what is other than in the version before."""


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
