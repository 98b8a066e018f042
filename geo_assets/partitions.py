"""Partitions: scenes are dynamic, events are daily; keys come from object names."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from geo_assets.declarations import SceneSeries
from geo_assets.sources import Sources

CURRENT = None
"""The partition of an asset that has none."""


def scene_partitions(series: SceneSeries) -> dg.DynamicPartitionsDefinition:
    """The dynamic partitions of a scene series; their set is named as the raw asset is."""
    return dg.DynamicPartitionsDefinition(name=series.scenes)


async def new_scenes(
    series: SceneSeries, sources: Sources, known: Sequence[str]
) -> list[str]:
    """Scene keys that the source has and `known` lacks, in listing order."""
    seen = set(known)
    found = sources.partitions(series.source, series.bands)
    return [key async for key in found if key not in seen]
