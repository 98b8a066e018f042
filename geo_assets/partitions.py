"""Partitions: keys come from object names, runs cover ranges of keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dagster as dg

from geo_assets.declarations import SceneSeries
from geo_assets.errors import ConfigError, InputError
from geo_assets.store.paths import encode_segment

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
"""The tags by which one run covers a range of partitions, both ends included."""

THOROUGH_TAG = "geo_assets/thorough"
"""The tag of a run that reads every byte of what it checks.

A run that makes things need not: it has read back and hashed each object that it published.
`geo-assets check` and the job `checks` are there to find what has happened since.
"""

_CHECK, _BY = "check_", "__by_"


def check_step(asset: Sequence[str], family: str = "") -> str:
    """The name of the step that makes a group of checks of an asset."""
    return f"{_CHECK}{'__'.join(asset)}{_BY + family if family else ''}"


def checked_in(step: str) -> str | None:
    """The asset whose checks a step makes, as a path; None for a step that makes something."""
    if not step.startswith(_CHECK):
        return None
    return step.removeprefix(_CHECK).partition(_BY)[0].replace("__", "/")


WORTH_A_RUN = 500
"""Partitions between two wanted ones that cost about as much as a run of their own.

A current partition in the middle of a range is looked at and left alone, in some 10 ms; a run
takes seconds to start.
"""

MOST_RUNS = 10
"""Ranges that one tick asks for at most: wanted keys far apart then share a range."""

_UNFIT = ("...", "|", *map(chr, range(32)), "\x7f")
"""What Dagster refuses in keys, uses between the two keys of a pair, or cannot show."""


def scene_partitions(series: SceneSeries) -> dg.DynamicPartitionsDefinition:
    """The dynamic partitions of a scene series; their set is named as the raw asset is."""
    return dg.DynamicPartitionsDefinition(name=series.scenes)


def scene_key(values: Mapping[str, str] | None, path: str) -> str:
    """The partition key of a source object: what stands at `{scene}` in its path, unchanged.

    Therefore it is reversible; a key that could not be a partition and a path segment is refused.

    Args:
        values: What the placeholders of the pattern are in `path`, None where it does not match.
        path: The object.

    Raises:
        InputError: The object is not named like a scene, or its name cannot be a key.
    """
    if values is None:
        raise InputError("An object of a series is named as the pattern says", "another name", path)
    key = values["scene"]
    unfit = [text for text in _UNFIT if text in key]
    if unfit:
        raise InputError("A partition key is plain text", f"{unfit[0]!r} in {key!r}", path,
                         "Rename the object.")  # fmt: skip
    try:
        encode_segment(key)
    except ConfigError as error:
        raise InputError(error.rule, error.got, path, "Rename the object.") from None
    return key


def placeholders(partitions: dg.PartitionsDefinition[Any] | None) -> tuple[str, ...]:
    """What stands for the key of a partition in the pattern of a source."""
    if partitions is None:
        return ()
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        return tuple(dimension.name for dimension in partitions.partitions_defs)
    return ("partition",)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRange:
    """Contiguous partitions of one run, both ends included."""

    start: str
    end: str
    wanted: int
    """How many of them are what the run is for; the others are current already."""

    def tags(self) -> dict[str, str]:
        """The run tags that make one run cover the range."""
        return {RANGE_START: self.start, RANGE_END: self.end}


def enclosing_ranges(
    wanted: Collection[str],
    order: Sequence[str],
    *,
    worth: int = WORTH_A_RUN,
    most: int = MOST_RUNS,
) -> list[KeyRange]:
    """Few ranges that together hold all wanted keys: scattered keys close to each other share one.

    Args:
        wanted: Keys; those that `order` lacks are left out.
        order: All keys in the order of the partitions definition.
        worth: Ranges further apart than this many keys are separate.
        most: Number of ranges at most; the widest gaps separate them.
    """
    chosen = set(wanted)
    places = [place for place, key in enumerate(order) if key in chosen]
    gaps = [(after - before, at) for at, (before, after) in enumerate(pairwise(places), 1)]
    wide = sorted((gap for gap in gaps if gap[0] > worth), reverse=True)[: most - 1]
    cuts = [0, *sorted(at for _, at in wide), len(places)]
    return [
        KeyRange(start=order[places[first]], end=order[places[last - 1]], wanted=last - first)
        for first, last in pairwise(cuts)
        if first < last
    ]
