"""What the stack of the browser tests loads: a project with a map, over a small world."""

from __future__ import annotations

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.map import map_asset
from geo_assets_tests.whole.project import declared

defs = assemble(
    *declared(),
    map_asset(
        "map",
        scenes="core/scene_tiles",
        layers=["core/districts"],
        report="out/topology_report",
        partitions=dg.DynamicPartitionsDefinition(name="scenes"),
    ),
)
