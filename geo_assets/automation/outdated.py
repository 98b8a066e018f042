"""Which partitions are not what they would be if they were made now: by versions, not by time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from geo_assets.store.artifact import ArtifactStore

_BATCH = 256


async def outdated(
    store: ArtifactStore,
    assets: Sequence[tuple[str, ...]],
    keys: Sequence[str | None],
    *,
    seconds: float,
) -> set[str | None]:
    """The partitions of which some of `assets` are missing or were made of older inputs.

    A partition of which there is nothing at all is not among them: it may never have been
    delivered.

    Args:
        store: What is published.
        assets: Assets with the same partitions.
        keys: The partitions.
        seconds: When they are over, all that was not looked at counts as outdated: a partition
            that turns out to be current costs a run some milliseconds.
    """
    ends = time.monotonic() + seconds
    current = _Versions(store)
    found: set[str | None] = set()
    for start in range(0, len(keys), _BATCH):
        if time.monotonic() > ends:
            return found | set(keys[start:])
        batch = keys[start : start + _BATCH]
        made = await asyncio.gather(*(store.inputs_of(asset, batch) for asset in assets))
        await current.look_up(
            label for each in made for inputs in each.values() for label in inputs
        )
        for key in batch:
            inputs = [each.get(key) for each in made]
            if any(each is not None for each in inputs) and not all(
                each is not None and current.are(each) for each in inputs
            ):
                found.add(key)
    return found


class _Versions:
    """The current versions of inputs, each looked up once."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._by_label: dict[str, str | None] = {}

    async def look_up(self, labels: Iterable[str]) -> None:
        new: dict[tuple[str, ...], set[str | None]] = {}
        for label in set(labels) - set(self._by_label):
            name, bracket, partition = label.removesuffix("]").partition("[")
            new.setdefault(tuple(name.split("/")), set()).add(partition if bracket else None)
        for asset, partitions in new.items():
            name = "/".join(asset)
            keys = sorted(key for key in partitions if key is not None)
            newest = await self._store.newest_of(asset, keys)
            for key in keys:
                self._by_label[f"{name}[{key}]"] = newest[key].version if key in newest else None
            if None in partitions:
                whole = await self._store.newest(asset, None)
                self._by_label[name] = whole.version if whole else None

    def are(self, inputs: dict[str, str]) -> bool:
        """Whether all inputs still have these versions."""
        return all(self._by_label.get(label) == version for label, version in inputs.items())
