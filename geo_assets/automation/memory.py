"""What a sensor remembers between two ticks, however much that is.

Dagster keeps a sensor's cursor in its database, once for every tick, so the cursor must be small.
It names an object in the store, and that holds what is known of each source object. The object
is written under a new name before the cursor is given to Dagster: a tick that dies on the way
leaves the old cursor, which still names the old object, and the next tick finds the same again.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from geo_assets.store.objects import ObjectStore

FOLDER = "_sensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a sensor is."""

    epoch: str
    """When it began from nothing; another one makes its runs new to Dagster."""
    number: int = 0
    """Grows with every change of what is remembered; 0 remembers nothing."""
    after: str | None = None
    """How far the present listing came."""

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """The cursor that Dagster kept, or a first one."""
        if not text:
            return cls(epoch=datetime.now(UTC).strftime("%Y%m%dT%H%M%S"))
        return cls(**json.loads(text))

    def text(self) -> str:
        """For Dagster to keep."""
        return json.dumps({"epoch": self.epoch, "number": self.number, "after": self.after})


class Memory:
    """The remembered digests of one series, in the store.

    Args:
        objects: The store that results are published in.
        name: The name of the series.
    """

    def __init__(self, objects: ObjectStore, name: str) -> None:
        self._objects = objects
        self._name = name

    async def recall(self, cursor: Cursor) -> dict[str, str]:
        """What the cursor stands for; nothing if the object is gone, so that all is new again."""
        if not cursor.number:
            return {}
        try:
            body = await self._objects.get(self._path(cursor))
        except FileNotFoundError:
            return {}
        return await asyncio.to_thread(lambda: dict(json.loads(gzip.decompress(body))))

    async def keep(self, cursor: Cursor, known: Mapping[str, str]) -> Cursor:
        """Remember `known`, and return the cursor that stands for it.

        What `cursor` stands for stays, because Dagster may not get to see the new one; what came
        before it is deleted.
        """
        body = await asyncio.to_thread(
            lambda: gzip.compress(json.dumps(known).encode(), compresslevel=1, mtime=0)
        )
        following = replace(cursor, number=cursor.number + 1)
        await self._objects.put(self._path(following), body)
        if cursor.number > 1:
            await self._objects.delete([self._path(replace(cursor, number=cursor.number - 1))])
        return following

    def _path(self, cursor: Cursor) -> str:
        return f"{FOLDER}/{self._name}/{cursor.epoch}-{cursor.number:09}.json.gz"
