"""Where things lie under a root, and the one encoding that names become path segments by.

```
<asset key>/collection.json
<asset key>/<partition>/item.json
<asset key>/<partition>/_commits/000000000007.json
<asset key>/<partition>/data/000000000006-<version>/<name>
<asset key>/<partition>/data/000000000006-<version>/_chunks/<chunk id>.json
```

An asset without partitions uses the segment `all` for `<partition>`, which no partition key
encodes to. Therefore no two (asset, partition) pairs share an object, also when one asset
key is the beginning of another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from geo_assets.errors import ConfigError, ContractError, InputError

UNPARTITIONED = "all"
COMMITS = "_commits"
DATA = "data"
CHUNKS = "_chunks"
ITEM = "item.json"
COLLECTION = "collection.json"
PROBE = "_probe"

MAX_SEGMENT = 180
"""Characters of one encoded segment: a file system allows 255, temporary names need some."""
MAX_PATH = 900
"""Bytes of a path under the root: S3 allows 1024 with the prefix of the root."""

_RESERVED = frozenset({UNPARTITIONED, COMMITS, DATA, CHUNKS, ITEM, COLLECTION, PROBE})
_PLAIN = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9_.=-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_VERSION = re.compile(r"[A-Za-z0-9]{1,128}")
_COMMIT_NAME = re.compile(r"([0-9]{12})\.json")
_DATA_NAME = re.compile(r"([0-9]{12})-[A-Za-z0-9]{1,128}")


@lru_cache(maxsize=4096)
def encode_segment(text: str) -> str:
    """One path segment for any key part or partition key, different for different keys.

    Letters, digits and `-_.=` stay as they are, everything else becomes `~XX` of its UTF-8
    bytes, and so does the first character of a name that starts with a dot or is one of ours
    (`data`, `item.json`). It is percent-encoding with another sign: a `%` in a path is not a
    `%` in its URL, and tools disagree on which of the two a STAC href is; a `~` is the same
    in both. On a file system that ignores case, keys that differ only in case meet; on all
    others no two keys do.

    Raises:
        ConfigError: The key is empty, or too long for a file name once encoded.
    """
    if not text:
        raise ConfigError("A key part or partition key is not empty", "''")
    segment = "".join(
        char if char.isascii() and (char.isalnum() or char in "-_.=") else _escape(char)
        for char in text
    )
    if segment.startswith(".") or segment in _RESERVED:
        segment = _escape(segment[0]) + segment[1:]
    if len(segment) > MAX_SEGMENT:
        raise ConfigError(
            f"A key becomes a file name of at most {MAX_SEGMENT} characters",
            f"{len(segment)} for {text[:40]!r}",
            "",
            "Use a shorter key.",
        )
    return segment


def decode_segment(segment: str) -> str:
    """The inverse of `encode_segment`.

    Raises:
        InputError: `segment` is nothing that `encode_segment` makes.
    """
    try:
        text = unquote_to_bytes(segment.replace("~", "%")).decode("utf-8", "surrogatepass")
        if encode_segment(text) == segment:
            return text
    except (UnicodeDecodeError, ConfigError):
        pass
    raise InputError("A folder under an asset is an encoded partition key", repr(segment))


def checked_name(name: str) -> str:
    """`name` if it can be the name of an object in a version.

    Raises:
        ContractError: A segment is empty, hidden, ours, or has characters besides letters,
            digits and `-_.=`.
    """
    segments = name.split("/")
    plain = all(_PLAIN.fullmatch(part) and len(part) <= MAX_SEGMENT for part in segments)
    if not plain or segments[0] == CHUNKS or len(name) > MAX_PATH // 2:
        raise ContractError(
            "An object name is made of plain segments",
            repr(name),
            "",
            "Use letters, digits and -_.= between slashes.",
        )
    return name


def checked_path(path: str, root: str) -> str:
    """`path` if it stays inside the root, whoever made it.

    Raises:
        InputError: A segment is empty, `.`, `..` or hidden, or holds a control character.
    """
    segments = path.split("/")
    if _CONTROL.search(path) or any(not part or part.startswith(".") for part in segments):
        raise InputError("A path stays inside its root and names no hidden file", repr(path), root)
    return path


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one partition of one asset."""

    asset: tuple[str, ...]
    partition: str | None

    @classmethod
    def of(cls, asset: Sequence[str], partition: str | None) -> Place:
        """The place of an asset key and a partition key.

        Raises:
            ConfigError: A name is empty, too long, or the asset key is a bare string.
        """
        if isinstance(asset, str) or not asset:
            raise ConfigError(
                "An asset key is a sequence of parts", repr(asset), "", "Write ['raw', 'scenes']."
            )
        place = cls(tuple(asset), partition)
        if len(place.root) > MAX_PATH // 2:
            raise ConfigError(
                "An asset key and a partition key make a path that stores allow",
                f"{len(place.root)} characters",
                place.label,
                "Use shorter keys.",
            )
        return place

    @property
    def label(self) -> str:
        """`raw/scenes[2026-01-03]`, as in messages."""
        name = "/".join(self.asset)
        return name if self.partition is None else f"{name}[{self.partition}]"

    @property
    def asset_root(self) -> str:
        """The folder of the asset."""
        return "/".join(encode_segment(part) for part in self.asset)

    @property
    def segment(self) -> str:
        """The folder of the partition, below that of the asset."""
        return UNPARTITIONED if self.partition is None else encode_segment(self.partition)

    @property
    def root(self) -> str:
        """The folder of the partition, below the root of the store."""
        return f"{self.asset_root}/{self.segment}"

    @property
    def commits(self) -> str:
        """The folder of the commits."""
        return f"{self.root}/{COMMITS}"

    @property
    def data(self) -> str:
        """The folder of all versions' objects."""
        return f"{self.root}/{DATA}"

    @property
    def item(self) -> str:
        """The path of the derived STAC Item."""
        return f"{self.root}/{ITEM}"

    @property
    def collection(self) -> str:
        """The path of the asset's derived STAC Collection."""
        return f"{self.asset_root}/{COLLECTION}"

    def commit(self, sequence: int) -> str:
        """The path of a commit."""
        return f"{self.commits}/{sequence:012d}.json"

    def version(self, base: int, version: str) -> str:
        """The folder of the objects that one attempt stages.

        Raises:
            ConfigError: The version has characters besides letters and digits.
        """
        if not _VERSION.fullmatch(version):
            raise ConfigError(
                "A version is a fingerprint of letters and digits", repr(version), self.label
            )
        return f"{self.data}/{base:012d}-{version}"


def partition_of(segment: str) -> str | None:
    """The partition key of a folder below an asset.

    Raises:
        InputError: The folder is not one that a partition has.
    """
    return None if segment == UNPARTITIONED else decode_segment(segment)


def sequence_of(path: str) -> int | None:
    """The number of the commit at `path`, or None if that is no commit."""
    match = _COMMIT_NAME.fullmatch(path.rsplit("/", 1)[-1])
    return int(match[1]) if match else None


def base_of(folder: str) -> int | None:
    """The base of the folder `000000000006-<version>`, or None if it is no such folder."""
    match = _DATA_NAME.fullmatch(folder)
    return int(match[1]) if match else None


def is_spare(path: str) -> bool:
    """Whether losing a file costs some work and nothing else.

    `item.json` and `collection.json` are written anew from the commits; a chunk without its
    receipt is done again.
    """
    above, _, below = path.partition(f"/{DATA}/")
    if below:
        return below.split("/")[1:2] == [CHUNKS]
    return above.rpartition("/")[2] in (ITEM, COLLECTION)


def _escape(char: str) -> str:
    return "".join(f"~{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
