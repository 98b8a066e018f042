"""STAC 1.1 Items: what a commit is made of and read back from.

A commit is an Item whose `properties` are those of the producer, unchanged, next to
`created`, `datetime` and our own under `geo_assets:`. Its assets are the objects of the
version, with size and SHA-256 by the file extension (a multihash), and hrefs relative to
where the file lies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

from geo_assets.errors import ContractError, InputError
from geo_assets.model import Artifact, Json, StoredObject
from geo_assets.store.paths import Place

STAC_VERSION = "1.1.0"
FORMAT = 1
"""Version of what is under `geo_assets:`; a reader refuses a higher one."""

FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROJECTION_EXTENSION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_OURS = "geo_assets:"
_SHA256_MULTIHASH = "1220"
_dumps = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode

BBox: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north in degrees of EPSG:4326; west > east crosses the antimeridian."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Everything that one commit states."""

    artifact: Artifact
    write_id: str
    """Random; tells our own commit from another writer's after a lost reply."""
    inputs: Mapping[str, str]
    """Versions of the inputs by their labels."""
    bbox: BBox | None
    datetime: str | None
    """RFC 3339, or None if the properties hold `start_datetime` and `end_datetime`."""
    created: str
    """When it was published, RFC 3339."""
    fence: str | None = None
    """The id of the garbage collection that repeated an earlier version to stop writers."""

    @property
    def place(self) -> Place:
        """Where it belongs."""
        return Place.of(self.artifact.asset, self.artifact.partition)

    def checked(self) -> Commit:
        """This commit, if readers everywhere will take it.

        Raises:
            ContractError: The bbox or a property is not what STAC allows.
        """
        label, properties = self.artifact.label, self.artifact.properties
        if self.bbox is not None:
            _check_bbox(self.bbox, label)
        taken = [
            key for key in properties if key in ("datetime", "created") or key.startswith(_OURS)
        ]
        if taken:
            raise ContractError("A property does not use a name of the commit", taken[0], label)
        times = (self.datetime, properties.get("start_datetime"), properties.get("end_datetime"))
        for text in times:
            if text is not None:
                _check_time(text, label)
        if self.datetime is None and not {"start_datetime", "end_datetime"} <= set(properties):
            return replace(self, datetime=self.created)
        return self


def plain(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Properties or facts as every reader will see them: what JSON makes of them.

    Raises:
        ContractError: A value is no JSON, or NaN.
    """
    try:
        result: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ContractError(
            "Properties and facts are JSON, without NaN",
            str(error),
            where,
            "Convert numpy values, and write NaN as None.",
        ) from None
    return result


def now() -> str:
    """This moment as RFC 3339 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def commit_json(commit: Commit) -> bytes:
    """The commit as it lies in `_commits/`."""
    sequence = commit.artifact.sequence
    links = [_link("predecessor-version", f"./{sequence - 1:012d}.json")] if sequence > 1 else []
    return _encode(commit, up="../", links=links)


def item_json(commit: Commit) -> bytes:
    """The same version as the partition's `item.json`, the face for ordinary tools."""
    canonical = f"./_commits/{commit.artifact.sequence:012d}.json"
    return _encode(commit, up="./", links=[_link("canonical", canonical)])


def parse_commit(body: bytes, where: str) -> Commit:
    """The inverse of `commit_json`.

    Raises:
        InputError: The bytes are no commit of a format that is known here.
    """
    try:
        item = json.loads(body)
        properties = item["properties"]
        ours = {
            key.removeprefix(_OURS): properties.pop(key)
            for key in list(properties)
            if key.startswith(_OURS)
        }
        if ours["format"] > FORMAT:
            raise InputError(
                "A commit has a format that this version reads",
                str(ours["format"]),
                where,
                "Update geo_assets.",
            )
        when, created = properties.pop("datetime"), properties.pop("created")
        artifact = Artifact(
            asset=tuple(ours["asset"]),
            partition=ours["partition"],
            sequence=ours["sequence"],
            version=ours["version"],
            data_prefix=ours["data_prefix"],
            objects=tuple(_objects(item["assets"])),
            properties=properties,
            run_id=ours["run_id"],
        )
        return Commit(
            artifact=artifact,
            write_id=ours["write_id"],
            inputs=ours["inputs"],
            bbox=tuple(item["bbox"]) if item.get("bbox") else None,
            datetime=when,
            created=created,
            fence=ours.get("fence"),
        )
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            "A commit is a STAC Item written by geo_assets",
            repr(error)[:200],
            where,
            "It was damaged or written by hand: restore it.",
        ) from None


def collection_id(asset: tuple[str, ...]) -> str:
    """The STAC id of an asset's collection."""
    return "/".join(asset)


def _encode(commit: Commit, *, up: str, links: list[dict[str, Json]]) -> bytes:
    """The Item of a file that sees its partition's folder as `up`."""
    artifact, place = commit.artifact, commit.place
    collection = f"{'../' if up == './' else '../../'}collection.json"
    properties: dict[str, Any] = {
        **artifact.properties,
        "datetime": commit.datetime,
        "created": commit.created,
        f"{_OURS}format": FORMAT,
        f"{_OURS}asset": list(artifact.asset),
        f"{_OURS}partition": artifact.partition,
        f"{_OURS}sequence": artifact.sequence,
        f"{_OURS}version": artifact.version,
        f"{_OURS}data_prefix": artifact.data_prefix,
        f"{_OURS}run_id": artifact.run_id,
        f"{_OURS}write_id": commit.write_id,
        f"{_OURS}inputs": dict(commit.inputs),
    }
    if commit.fence is not None:
        properties[f"{_OURS}fence"] = commit.fence
    projected = any(key.startswith("proj:") for key in artifact.properties)
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [FILE_EXTENSION, *([PROJECTION_EXTENSION] if projected else [])],
        "id": place.segment,
        "collection": collection_id(artifact.asset),
        "geometry": None if commit.bbox is None else _geometry(commit.bbox),
        **({} if commit.bbox is None else {"bbox": list(commit.bbox)}),
        "properties": properties,
        "links": [
            _link("root", collection),
            _link("parent", collection),
            _link("collection", collection),
            *links,
        ],
        "assets": {},
    }
    data = artifact.data_prefix.removeprefix(f"{place.root}/")
    # Object by object, because one call for all of a large version would hold the
    # interpreter, and with it the event loop, for as long as it takes.
    assets = (
        f"{json.dumps(stored.name)}: {_dumps(_asset(stored, f'{up}{data}/{stored.name}'))}"
        for stored in artifact.objects
    )
    head = _dumps(item).removesuffix("{}}")
    return f"{head}{{{', '.join(assets)}}}}}".encode()


def _asset(stored: StoredObject, path: str) -> dict[str, Json]:
    asset: dict[str, Json] = {
        "href": path,
        "type": stored.media_type,
        "roles": list(stored.roles),
        "file:size": stored.size,
        "file:checksum": _SHA256_MULTIHASH + stored.sha256,
    }
    if stored.facts:
        asset[f"{_OURS}facts"] = dict(stored.facts)
    return asset


def _objects(assets: Mapping[str, Mapping[str, Any]]) -> Iterator[StoredObject]:
    for name, asset in assets.items():
        yield StoredObject(
            name=name,
            size=asset["file:size"],
            sha256=asset["file:checksum"].removeprefix(_SHA256_MULTIHASH),
            media_type=asset["type"],
            roles=tuple(asset["roles"]),
            facts=asset.get(f"{_OURS}facts", {}),
        )


def _geometry(bbox: BBox) -> dict[str, Any]:
    west, south, east, north = bbox
    if west <= east:
        return {"type": "Polygon", "coordinates": [_ring(west, south, east, north)]}
    halves = [[_ring(west, south, 180.0, north)], [_ring(-180.0, south, east, north)]]
    return {"type": "MultiPolygon", "coordinates": halves}


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _check_bbox(bbox: BBox, label: str) -> None:
    west, south, east, north = bbox
    sane = all(math.isfinite(value) for value in bbox) and -90 <= south <= north <= 90
    if not sane or not (-180 <= west <= 180 and -180 <= east <= 180):
        raise ContractError(
            "A bounding box is west, south, east, north in degrees",
            str(bbox),
            label,
            "Reproject the extent to EPSG:4326.",
        )


def _check_time(text: str, label: str) -> None:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise ContractError(
            "A datetime is RFC 3339 with a time zone",
            repr(text),
            label,
            "Write 2026-01-03T10:00:00Z.",
        )


def _link(relation: str, target: str) -> dict[str, Json]:
    return {"rel": relation, "href": target, "type": "application/json"}
