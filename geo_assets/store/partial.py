"""Parts of a remote Parquet object in a local file that is otherwise a hole.

The file has the size of the object and the same bytes at the same places, as far as they were
fetched, so that whoever reads only these opens it as the ordinary file it is a part of.

What is verified: the footer, by the SHA-256 that its writer published with the object. It says
where the pages are; each page was written with a checksum, which the reader has to have verified
(`page_checksum_verification`). A page that was not fetched reads as zeros, which is no page. The
SHA-256 of the object cannot be verified without reading all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from geo_assets.errors import InputError
from geo_assets.model import StoredObject
from geo_assets.store.bounded import each, whole
from geo_assets.store.files import new_file, write_at
from geo_assets.store.objects import ObjectStore
from geo_assets.store.threads import in_thread

Span = tuple[int, int]
"""First byte and byte after the last."""

_GAP = 256 << 10
"""A request costs about as much time as so many bytes: smaller gaps are read along."""
_AT_ONCE = 4
_REQUEST = 8 << 20
"""Bytes of a request at most; so many requests are in memory at the same time."""


def readable_in_parts(stored: StoredObject) -> bool:
    """Whether the writer of an object has published what verifies a part of it."""
    return {"footer_bytes", "footer_sha256"} <= stored.facts.keys()


async def fetch_footer(objects: ObjectStore, path: str, stored: StoredObject, to: Path) -> None:
    """Make the local file, with the footer in its place.

    Raises:
        FileNotFoundError: There is no such object.
        InputError: The footer is not the one that was published.
    """
    length = int(stored.facts["footer_bytes"])
    footer = await objects.get_range(path, stored.size - length, length)
    if hashlib.sha256(footer).hexdigest() != stored.facts["footer_sha256"]:
        raise InputError("A footer has the SHA-256 that was published with it", "another",
                         objects.address(path), "Materialize the layer again.")  # fmt: skip

    def begin() -> None:
        with new_file(to) as file:
            file.truncate(stored.size)
            write_at(file, footer, stored.size - length)

    await in_thread(begin)


async def fetch_spans(objects: ObjectStore, path: str, spans: Sequence[Span], to: Path) -> None:
    """Put some bytes of an object into the local file, in bounded memory.

    Raises:
        FileNotFoundError: There is no such object.
        InputError: The object ends before a span does.
    """
    file = await in_thread(lambda: to.open("r+b", buffering=0))

    async def fetch(span: Span) -> None:
        start, stop = span
        body = await objects.get_range(path, start, stop - start)
        if len(body) != stop - start:
            raise InputError("An object has the size that was published", f"an end before {stop}",
                             objects.address(path), "Materialize the layer again.")  # fmt: skip
        await whole(write_at, file, body, start)

    try:
        await each(fetch, requests(spans), limit=_AT_ONCE)
    finally:
        await in_thread(file.close)


def requests(spans: Sequence[Span]) -> Iterator[Span]:
    """The spans to ask for: close ones joined, long ones cut."""
    joined: list[list[int]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1] + _GAP:
            joined[-1][1] = max(stop, joined[-1][1])
        else:
            joined.append([start, stop])
    for start, stop in joined:
        for first in range(start, stop, _REQUEST):
            yield first, min(first + _REQUEST, stop)
