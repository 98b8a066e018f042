"""Frozen value types that every floor of the house speaks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
"""A value that JSON can hold."""

MAX_SAMPLES = 50
"""Defects that a finding names one by one; the rest are only counted."""

GEOTIFF = "image/tiff; application=geotiff"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
PARQUET = "application/vnd.apache.parquet"
JSON = "application/json"

_HASH_BLOCK = 1 << 20


def fingerprint(*parts: Json) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of `parts` as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One finding of a rule."""

    kind: str
    """What is wrong, in snake_case: `self_intersection`, `gap`, `nodata_missing`."""
    feature: str | None = None
    """The id of the feature, as text."""
    window: tuple[int, int, int, int] | None = None
    """Pixels concerned: column offset, row offset, width, height."""
    lon: float | None = None
    """Longitude of the place in EPSG:4326, degrees."""
    lat: float | None = None
    """Latitude of the place in EPSG:4326, degrees."""
    size_m: float | None = None
    """Extent of the defect in metres (a width, a length or a distance, as the kind says)."""
    detail: str = ""
    """One sentence for a reader."""

    def as_dict(self) -> dict[str, Json]:
        """The fields that are set, ready for JSON."""
        values: dict[str, Json] = {"kind": self.kind, "detail": self.detail}
        values |= {"feature": self.feature, "lon": self.lon, "lat": self.lat, "size_m": self.size_m}
        if self.window is not None:
            values["window"] = list(self.window)
        return {key: value for key, value in values.items() if value not in (None, "")}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Defect:
        """The inverse of `as_dict`."""
        fields: dict[str, Any] = dict(value)
        if "window" in fields:
            fields["window"] = tuple(fields["window"])
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a rule found: small, whatever the size of the data."""

    checked: int
    """How many features, pixels or objects were looked at."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Number of defects by kind; kinds without defects are absent."""
    samples: tuple[Defect, ...] = ()
    """The first defects, at most `MAX_SAMPLES`."""

    @property
    def total(self) -> int:
        """Number of all defects."""
        return sum(self.counts.values())

    @classmethod
    def of(cls, defects: Iterable[Defect], *, checked: int) -> Findings:
        """Count `defects` by kind and keep the first `MAX_SAMPLES`."""
        counts: dict[str, int] = {}
        samples: list[Defect] = []
        for defect in defects:
            counts[defect.kind] = counts.get(defect.kind, 0) + 1
            if len(samples) < MAX_SAMPLES:
                samples.append(defect)
        return cls(checked=checked, counts=counts, samples=tuple(samples))

    def __add__(self, other: Findings) -> Findings:
        counts = dict(self.counts)
        for kind, number in other.counts.items():
            counts[kind] = counts.get(kind, 0) + number
        return Findings(
            checked=self.checked + other.checked,
            counts=counts,
            samples=(self.samples + other.samples)[:MAX_SAMPLES],
        )

    def as_dict(self) -> dict[str, Json]:
        """The findings as JSON."""
        return {
            "checked": self.checked,
            "counts": dict(self.counts),
            "samples": [defect.as_dict() for defect in self.samples],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Findings:
        """The inverse of `as_dict`."""
        samples = tuple(Defect.from_dict(sample) for sample in value["samples"])
        return cls(checked=value["checked"], counts=value["counts"], samples=samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """One file that a kernel wrote and re-opened, ready to be staged."""

    path: Path
    """Where it lies on this machine."""
    name: str
    """Its place in the version, `/`-separated: `10/523/381.tif`."""
    media_type: str
    """The IANA media type."""
    size: int
    """Bytes."""
    sha256: str
    """SHA-256 of the bytes, hexadecimal."""
    roles: tuple[str, ...] = ("data",)
    """STAC asset roles."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Small JSON facts about this file, published with it."""

    @classmethod
    def of(
        cls,
        path: Path,
        name: str,
        media_type: str,
        *,
        roles: tuple[str, ...] = ("data",),
        facts: Mapping[str, Any] | None = None,
    ) -> OutputFile:
        """Measure and hash the file at `path`."""
        return cls(
            path=path,
            name=name,
            media_type=media_type,
            size=path.stat().st_size,
            sha256=sha256_file(path),
            roles=roles,
            facts=facts or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelResult:
    """What a kernel hands back: files on disk and small facts."""

    files: tuple[OutputFile, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Small JSON facts about the chunk: counts, findings, cells without data."""


Kernel: TypeAlias = Callable[[Any, Path], KernelResult]
"""A module-level function: a frozen spec and an empty work folder in, a result out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The unit of CPU work handed to one worker."""

    id: str
    """Unique within the partition, one safe path segment: `10-523-381`."""
    kernel: Kernel
    """What to do; importable by name in a worker."""
    spec: Any
    """A frozen dataclass of plain values and local paths; small, picklable."""
    predicted_bytes: int
    """Memory the worker is expected to need on top of its resting size."""
    timeout_s: float = 900.0
    """Seconds after which the worker is killed."""

    def with_spec(self, spec: Any) -> Chunk:
        """The same chunk with another spec."""
        return replace(self, spec=spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One immutable object of a version."""

    name: str
    """Its place in the version, `/`-separated."""
    size: int
    """Bytes."""
    sha256: str
    """SHA-256 of the bytes, hexadecimal."""
    media_type: str
    roles: tuple[str, ...] = ("data",)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What one partition of an asset materializes to: a lazy handle on one version.

    It names objects and reads none; it is small, picklable and stays valid as long as the
    version is retained.
    """

    asset: tuple[str, ...]
    """The asset key, which is also the storage path."""
    partition: str | None
    """The partition key, or None for an asset without partitions."""
    sequence: int
    """The number of the commit that published it."""
    version: str
    """The fingerprint; also Dagster's data version."""
    data_prefix: str
    """Where its objects lie: relative to the root, `/`-separated, no trailing `/`."""
    objects: tuple[StoredObject, ...]
    """Every object of the version."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Small JSON properties that the producer published: CRS, schema, counts, findings."""
    run_id: str = ""
    """The run that committed it."""

    @property
    def label(self) -> str:
        """`raw/scenes[2026-01-03]`: how messages name it."""
        name = "/".join(self.asset)
        return name if self.partition is None else f"{name}[{self.partition}]"

    def object(self, name: str) -> StoredObject:
        """The object called `name`.

        Raises:
            KeyError: The version holds no such object.
        """
        for stored in self.objects:
            if stored.name == name:
                return stored
        msg = f"{self.label} has no object {name!r}"
        raise KeyError(msg)

    def with_role(self, role: str) -> tuple[StoredObject, ...]:
        """The objects that carry a STAC role, in order."""
        return tuple(stored for stored in self.objects if role in stored.roles)
