"""The small code location, with texts in runs of five and by day and region, and scenes.

Its sensor looks every two seconds, and its days are over every minute.
"""

from __future__ import annotations

import os
from functools import partial

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.automation import jobs, scenes
from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.grids import SquareGrid
from geo_assets_tests.automation import small_defs
from geo_assets_tests.automation.small_defs import CELLS, IN_FIVES, REGIONS

scenes.EVERY_S = 2
jobs.DAILY_CRON = "* * * * *"
TABLE = dg.MultiPartitionsDefinition(
    {
        "date": dg.DailyPartitionsDefinition(start_date="2024-01-01"),
        "region": dg.StaticPartitionsDefinition(REGIONS),
    }
)


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


cells = recipe_asset(
    CELLS, partial(small_defs.plan_texts, CELLS), description="Texts.", kinds=set(),
    partitions=TABLE,
)  # fmt: skip
cells_checks = make_checks(
    cells.key, [CheckRule(name="readable", fact="text", description="Opens.")], small_defs.look,
    TABLE,
)  # fmt: skip
defs = assemble(
    dg.Definitions(
        assets=[small_defs.texts, in_fives(), cells],
        asset_checks=[small_defs.checks, cells_checks],
    ),
    raster_tiles_asset(
        "scene_tiles",
        source="scenes/{scene}.tif",
        crs="EPSG:32633",
        grid=SquareGrid(crs="EPSG:32633", resolution=10.0, cell_px=64),
    ),
)
