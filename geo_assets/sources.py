"""Where sources lie: patterns that name their objects, listing and fetching them.

A pattern is a path with placeholders: `{scene}` or `{partition}` is the partition key, `{band}`
the band of a series with one file per band, `*` anything within one path segment. Two placeholders
such as `{date}` and `{region}` are the two parts of the key, which Dagster orders by their names.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from geo_assets.errors import ConfigError, InputError
from geo_assets.model import Json
from geo_assets.store.objects import ObjectMeta, ObjectStore, S3Access, open_store
from geo_assets.store.observed import ObservedObjects

_SPECIAL = re.compile(r"\{(?P<name>\w+)\}|\*")
_SIDECARS = {".shp": (".shx", ".dbf", ".prj", ".cpg", ".qpj", ".sbn", ".sbx")}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceObject:
    """One object of a source."""

    path: str
    """Path in the source's store."""
    size: int
    modified: str
    """Time of the last change as the store tells it, ISO 8601."""
    band: str | None = None
    """The band that a file of a one-file-per-band series holds."""

    def identity(self) -> dict[str, Json]:
        """What tells a changed object from an unchanged one without reading it."""
        return {"path": self.path, "size": self.size, "modified": self.modified}


@dataclass(frozen=True, slots=True)
class SourcePattern:
    """A parsed pattern, relative to the store that it is looked up in."""

    text: str
    bands: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    """Placeholders whose value is known; the values are taken literally."""

    def fill(self, **values: str) -> SourcePattern:
        """The pattern with the values of some placeholders known."""
        return replace(self, known={**self.known, **values})

    def of_partition(self, partition: str) -> SourcePattern:
        """The pattern of one partition.

        Raises:
            InputError: The key has another number of parts than the pattern.
        """
        names = self._dimensions()
        parts = partition.split("|") if len(names) > 1 else [partition]
        if len(parts) != len(names) and names:
            raise InputError(f"A partition key has a part for each of {', '.join(names)}",
                             repr(partition), self.text)  # fmt: skip
        return self.fill(**dict(zip(names, parts, strict=False)))

    def key(self, values: Mapping[str, str] | None) -> str | None:
        """The partition key of an object that matched with `values`, if it did."""
        names = self._dimensions()
        return "|".join(values[name] for name in names) if values and names else None

    def _dimensions(self) -> list[str]:
        names = {name for _, name in self._tokens() if name not in (None, "*", "band")}
        return sorted(str(name) for name in names)

    @property
    def literal(self) -> str:
        """The path up to the first place that is still open."""
        parts: list[str] = []
        for literal, special in self._tokens():
            parts.append(literal)
            if special is not None and special not in self.known:
                break
            parts.append(self.known.get(special or "", ""))
        return "".join(parts)

    @property
    def is_path(self) -> bool:
        """Whether nothing is open any more: `literal` is the one path that matches."""
        return all(name is None or name in self.known for _, name in self._tokens())

    def match(self, path: str) -> Mapping[str, str] | None:
        """The open placeholders' values if `path` matches the whole pattern."""
        seen: set[str] = set()
        regex = "".join(
            re.escape(literal) + self._group(special, seen) for literal, special in self._tokens()
        )
        found = re.fullmatch(regex, path)
        return None if found is None else found.groupdict()

    def _tokens(self) -> Iterator[tuple[str, str | None]]:
        """Pairs of literal text and what follows it: a placeholder's name, `*`, or None."""
        end = 0
        for special in _SPECIAL.finditer(self.text):
            yield self.text[end : special.start()], special["name"] or "*"
            end = special.end()
        yield self.text[end:], None

    def _group(self, name: str | None, seen: set[str]) -> str:
        if name is None:
            return ""
        if name == "*":
            return "[^/]*"
        if name in self.known:
            return re.escape(self.known[name])
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        if name == "band":
            return f"(?P<band>{'|'.join(map(re.escape, self.bands))})"
        return f"(?P<{name}>[^/]+)"


class Sources:
    """Lists and fetches sources from one base folder, bucket or URL.

    Patterns that carry a scheme or start with `/` are looked up where they say; others under
    the base.
    """

    def __init__(self, base: str, s3: S3Access | None = None) -> None:
        self._base = base
        self._s3 = s3
        self._stores: dict[str, ObjectStore] = {}

    async def partitions(self, text: str, bands: Sequence[str] = ()) -> AsyncIterator[str]:
        """The partition keys that have at least one object, each once, in listing order."""
        store, pattern = self.opened(text, bands)
        seen: set[str] = set()
        async for meta in store.list(pattern.literal.rpartition("/")[0]):
            key = pattern.key(pattern.match(meta.path))
            if key and key not in seen:
                seen.add(key)
                yield key

    async def find(
        self, text: str, *, partition: str | None = None, bands: Sequence[str] = ()
    ) -> list[SourceObject]:
        """The objects of one partition, in band order, sidecars after their main file.

        Raises:
            InputError: Nothing matches, a band is missing, or two objects claim one place.
        """
        store, pattern = self.opened(text, bands)
        if partition is not None:
            pattern = pattern.of_partition(partition)
        where = f"{store.uri}/{pattern.text}" + (f" [{partition}]" if partition else "")
        matches = [
            (meta, (pattern.match(meta.path) or {}).get("band"))
            async for meta in _candidates(store, pattern)
        ]
        if not matches:
            raise InputError("A source exists where the declaration says", "nothing", where,
                             "Check GEO_ASSETS_SOURCE and the pattern.")  # fmt: skip
        found = [_source(meta, band) for meta, band in matches]
        if bands:
            return _in_band_order(found, bands, where)
        if len(found) > 1:
            raise InputError("One object belongs to one partition",
                             ", ".join(item.path for item in found), where,
                             "Make the pattern match one of them, or declare bands.")  # fmt: skip
        return found + await _sidecars(store, found[0])

    async def fetch(self, text: str, item: SourceObject, folder: Path) -> Path:
        """Copy one object into `folder` under its own name and return its path there."""
        store, _ = self.opened(text)
        target = folder / PurePosixPath(item.path).name
        await store.download(item.path, target, size=item.size)
        return target

    def address(self, text: str, item: SourceObject) -> str:
        """Where the object lies, for people."""
        return self.opened(text)[0].address(item.path)

    def opened(self, text: str, bands: Sequence[str] = ()) -> tuple[ObjectStore, SourcePattern]:
        """The store that a pattern is looked up in, and the pattern relative to it."""
        base, relative = split_base(text, self._base)
        if base not in self._stores:
            self._stores[base] = ObservedObjects(open_store(base, s3=self._s3))
        return self._stores[base], SourcePattern(relative, tuple(bands))


def split_base(text: str, base: str) -> tuple[str, str]:
    """The store to open and the pattern inside it."""
    scheme, separator, rest = text.partition("://")
    if not separator and not text.startswith("/"):
        return base, text
    body = rest if separator else text
    special = _SPECIAL.search(body)
    literal = body if special is None else body[: special.start()]
    folder, slash, _ = literal.rpartition("/")
    if separator and not slash:
        raise ConfigError("A source URI names a bucket or host before its first placeholder",
                          repr(text))  # fmt: skip
    root = f"{scheme}://{folder}" if separator else folder or "/"
    return root, body[len(folder) + 1 :]


async def _candidates(store: ObjectStore, pattern: SourcePattern) -> AsyncIterator[ObjectMeta]:
    if pattern.is_path:
        meta = await store.head(pattern.literal)
        if meta is not None:
            yield meta
        return
    async for meta in store.list(pattern.literal.rpartition("/")[0]):
        if pattern.match(meta.path) is not None:
            yield meta


async def _sidecars(store: ObjectStore, main: SourceObject) -> list[SourceObject]:
    stem, dot, extension = main.path.rpartition(".")
    wanted = _SIDECARS.get(f"{dot}{extension}".lower(), ())
    metas = [await store.head(stem + suffix) for suffix in wanted]
    return [_source(meta, None) for meta in metas if meta is not None]


def _source(meta: ObjectMeta, band: str | None) -> SourceObject:
    return SourceObject(
        path=meta.path, size=meta.size, modified=meta.modified.isoformat(), band=band
    )


def _in_band_order(
    found: list[SourceObject], bands: Sequence[str], where: str
) -> list[SourceObject]:
    by_band: dict[str | None, list[SourceObject]] = {}
    for item in found:
        by_band.setdefault(item.band, []).append(item)
    wrong = {band: len(by_band.get(band, [])) for band in bands if len(by_band.get(band, [])) != 1}
    if wrong:
        counts = ", ".join(f"{number} for {band}" for band, number in wrong.items())
        raise InputError("A scene has exactly one file for each declared band", counts, where,
                         "Check bands and the pattern.")  # fmt: skip
    return [by_band[band][0] for band in bands]
