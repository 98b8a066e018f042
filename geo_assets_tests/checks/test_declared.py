"""Which checks a declaration brings: those that always make sense, and those it asks for."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.errors import ConfigError
from geo_assets.grids import SquareGrid

GRID = SquareGrid("EPSG:32633", 10.0, 256)


def _checks(declared: dg.Definitions) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for group in declared.asset_checks or ():
        for key in group.check_keys:
            found.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    return found


def _tiles(**options: Any) -> dict[str, set[str]]:
    return _checks(raster_tiles_asset(source="{scene}.tif", grid=GRID, **options))


def _layer(**options: Any) -> dict[str, set[str]]:
    return _checks(vector_layer_asset("parcels", source="a.gpkg", crs="EPSG:4326", **options))


def test_scenes_have_those_that_need_no_limits() -> None:
    core = {"grid", "nodata", "cog", "seams", "readable", "objects", "geoparquet"}
    assert _tiles() == {"raw/scenes": {"objects"}, "core/scene_tiles": core | {"value_drift"}}
    assert _tiles(value_change=None)["core/scene_tiles"] == core


def test_scenes_have_those_that_are_asked_for() -> None:
    found = _tiles(aligned=True, value_range=(0, 255), min_valid_share=0.5)
    assert found["raw/scenes"] == {"objects", "alignment"}
    assert found["core/scene_tiles"] >= {"value_range", "nodata_share"}


def test_layers_have_those_of_their_rows() -> None:
    core = {"crs", "schema", "geometry", "objects"}
    assert _layer() == {"raw/parcels": {"objects"}, "core/parcels": core | {"row_drift"}}
    assert _layer(row_change=None)["core/parcels"] == core


@pytest.mark.parametrize(
    "options", [{"value_range": (5, 1)}, {"min_valid_share": 0}, {"value_change": -1}]
)
def test_limits_without_sense_are_refused_and_the_declaration_named(options: Any) -> None:
    with pytest.raises(ConfigError, match="scene_tiles"):
        _tiles(**options)
