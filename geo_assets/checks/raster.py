"""Checks of scene tiles, derived from their declaration."""

from __future__ import annotations

import dagster as dg

from geo_assets.declarations import SceneSeries


def tile_checks(series: SceneSeries) -> list[dg.AssetChecksDefinition]:
    """The checks of `core/<name>`."""
    del series
    return []
