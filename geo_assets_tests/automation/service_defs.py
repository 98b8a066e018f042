"""The small code location with a sensor of scenes that looks often, and texts in runs of five."""

from __future__ import annotations

import os
from functools import partial

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.automation import scenes
from geo_assets.grids import SquareGrid
from geo_assets_tests.automation import small_defs

scenes.EVERY_S = 2
IN_FIVES = ("core", "in_fives")


def in_fives() -> dg.AssetsDefinition:
    before = os.environ.get("GEO_ASSETS_RUN_PARTITIONS", "")
    os.environ["GEO_ASSETS_RUN_PARTITIONS"] = "5"
    try:
        return recipe_asset(
            IN_FIVES, partial(small_defs.plan_texts, IN_FIVES), description="Texts.", kinds=set(),
            partitions=small_defs.PARTITIONS,
        )  # fmt: skip
    finally:
        os.environ["GEO_ASSETS_RUN_PARTITIONS"] = before


defs = assemble(
    dg.Definitions(assets=[small_defs.texts, in_fives()], asset_checks=[small_defs.checks]),
    raster_tiles_asset(
        "scene_tiles",
        source="scenes/{scene}.tif",
        crs="EPSG:32633",
        grid=SquareGrid(crs="EPSG:32633", resolution=10.0, cell_px=64),
    ),
)
