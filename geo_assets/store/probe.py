"""Does an endpoint honour create-if-absent? Without it, commits would overwrite each other."""

from __future__ import annotations

import uuid

from geo_assets.errors import ConfigError, TransientError
from geo_assets.store.objects import ObjectStore
from geo_assets.store.paths import PROBE

PATH = f"{PROBE}/create-if-absent"

_honest: set[str] = set()


async def probe(objects: ObjectStore) -> None:
    """Refuse a store that overwrites where it should refuse. Asked once per process and root.

    Two small conditional PUTs to one fixed name, then a read: it leaves one tiny object and
    needs no right to delete.

    Raises:
        ConfigError: The second PUT replaced the first, or the store cannot be written.
    """
    if objects.uri in _honest:
        return
    first, second = (uuid.uuid4().hex.encode() for _ in range(2))
    await objects.create(PATH, first)
    created = await objects.create(PATH, second)
    try:
        # The reply of an overwriting server may have been lost: what is stored counts.
        overwritten = created or await objects.get(PATH) == second
    except FileNotFoundError:
        raise TransientError(
            "An object can be read after it was created", "no such object", objects.address(PATH)
        ) from None
    if overwritten:
        raise ConfigError(
            "A store refuses to create an object that exists",
            "it overwrote one",
            objects.uri,
            "This server ignores If-None-Match, so concurrent commits "
            "would be lost: update it, or use another one.",
        )
    _honest.add(objects.uri)
