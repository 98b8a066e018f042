"""The code location of `partitions.py`: two assets as the factories make them, with checks."""

# Dagster reads the annotations of asset functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.factory import recipe_asset
from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.model import Chunk

NUMBER = int(os.environ.get("BENCH_PARTITIONS", "10"))
KEYS = [f"t{number:06}" for number in range(NUMBER)]
DYNAMIC = dg.DynamicPartitionsDefinition(name="benchmark")
FIXED = dg.StaticPartitionsDefinition(KEYS)
RULES = [CheckRule(name="readable", fact="values", description="Opens.")]


def planner(_store: Any) -> Any:
    raise NotImplementedError  # nothing is run here


async def look(_artifact: Any, _store: Any, _folder: Path) -> Sequence[Chunk]:
    raise NotImplementedError


assets, checks = [], []
for name, partitions in (("dynamic", DYNAMIC), ("fixed", FIXED)):
    asset = recipe_asset(
        ("core", name), planner, description="Not run.", kinds=set(), partitions=partitions
    )
    assets.append(asset)
    checks.append(make_checks(asset.key, RULES, look, partitions))

defs = assemble(dg.Definitions(assets=assets, asset_checks=checks))
