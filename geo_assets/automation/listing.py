"""Looks through a source for what is new, changed or gone, a part of the listing at a time.

What is remembered of each object is a digest of its size and time, by its path. A listing comes
in the order of paths, so any stretch of it can be compared with what is remembered of the same
stretch, and the next look goes on where this one stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC

from geo_assets.declarations import SceneSeries
from geo_assets.errors import InputError
from geo_assets.partitions import scene_key
from geo_assets.sources import SourcePattern, Sources
from geo_assets.store.objects import ObjectMeta

SETTLED_S = 5.0
"""A file in a folder is looked at when it has not changed for so long: it may still be copied.
Buckets show objects when they are complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where one look stops; the next one goes on from there."""

    seconds: float = 20.0
    """Dagster gives a sensor 60 s for everything."""
    partitions: int = 5000
    """New and changed partitions of one look."""


@dataclass(slots=True, kw_only=True)
class Look:
    """What a stretch of the listing said."""

    known: dict[str, str]
    """Digest by path, brought up to date."""
    after: str | None = None
    """Where the next look goes on; None at the end of the listing."""
    listed: int = 0
    fresh: dict[str, None] = field(default_factory=dict)
    """Keys with new or changed objects, whole, in the order of the listing."""
    incomplete: dict[str, None] = field(default_factory=dict)
    """Keys with new or changed objects that lack a band."""
    gone: dict[str, None] = field(default_factory=dict)
    """Keys of which objects were deleted."""
    malformed: list[InputError] = field(default_factory=list)
    """Objects that are not named like a scene, and were not there before."""


async def look(
    sources: Sources,
    series: SceneSeries,
    known: Mapping[str, str],
    after: str | None,
    *,
    limits: Limits,
) -> Look:
    """Compare the listing with what is known, from `after` on.

    Args:
        sources: Where the series lies.
        series: Its pattern and bands.
        known: `Look.known` of the look before; empty at first.
        after: `Look.after` of the look before.
        limits: Where to stop.
    """
    store, pattern = sources.opened(series.source, series.bands)
    settled = time.time() - SETTLED_S if store.local_path("x") is not None else None
    ends = time.monotonic() + limits.seconds
    found = Look(known=dict(known), after=after)
    seen: set[str] = set()
    changed: dict[str, None] = {}
    async for meta in store.list(pattern.literal.rpartition("/")[0], after=after):
        seen.add(meta.path)
        found.listed += 1
        found.after = meta.path
        if settled is None or meta.modified.timestamp() < settled:
            _compare(found, meta, pattern, changed)
        if len(changed) >= limits.partitions or time.monotonic() > ends:
            break
    else:
        found.after = None
    _forget(found, pattern, seen, after)
    _sort(found, series, pattern, changed)
    return found


def _compare(
    found: Look, meta: ObjectMeta, pattern: SourcePattern, changed: dict[str, None]
) -> None:
    digest = _digest(meta)
    before = found.known.get(meta.path)
    if before == digest:
        return
    found.known[meta.path] = digest
    try:
        changed[scene_key(pattern.match(meta.path), meta.path)] = None
    except InputError as error:
        if before is None:
            found.malformed.append(error)


def _forget(found: Look, pattern: SourcePattern, seen: set[str], after: str | None) -> None:
    """Drop what is known of the stretch that was listed and was not in the listing."""
    until = found.after
    for path in [
        path
        for path in found.known
        if path not in seen and (after is None or path > after) and (until is None or path <= until)
    ]:
        del found.known[path]
        key = _key(pattern, path)
        if key is not None:
            found.gone[key] = None


def _sort(
    found: Look, series: SceneSeries, pattern: SourcePattern, changed: Mapping[str, None]
) -> None:
    """Tell whole scenes from those that still lack a band."""
    if not series.bands:
        found.fresh = dict(changed)
        return
    there: dict[str, set[str]] = {key: set() for key in changed}
    for path in found.known if changed else ():
        values = pattern.match(path)
        if values is not None and values["scene"] in there:
            there[values["scene"]].add(values["band"])
    for key in changed:
        whole = len(there[key]) == len(series.bands)
        (found.fresh if whole else found.incomplete)[key] = None


def _key(pattern: SourcePattern, path: str) -> str | None:
    try:
        return scene_key(pattern.match(path), path)
    except InputError:
        return None


def _digest(meta: ObjectMeta) -> str:
    text = f"{meta.size} {meta.modified.astimezone(UTC).isoformat()}"
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def told(items: Mapping[str, object] | list[InputError], most: int = 10) -> Iterator[str]:
    """The first few of many, as text, and how many more there are."""
    for place, item in enumerate(items):
        if place == most:
            yield f"and {len(items) - most} more"
            return
        yield str(item)
