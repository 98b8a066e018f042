"""The code location of `backfill.py`: the same small work as three projects would do it.

Each partition is one 256 x 256 px GeoTIFF, written and read back (a kernel of some 10 ms).
`BENCH_PARTITIONS` says how many there are, `BENCH_KERNEL_MS` makes the kernel longer.
"""

# Dagster reads the annotations of asset functions as objects, not as text, so this module does
# without `from __future__ import annotations`.
# ruff: noqa: ARG001, ARG002 - protocols name arguments that this small work does not need

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.backfill_kernel import Tile, inspect, tile, write_tile
from geo_assets.assembly import assemble
from geo_assets.assets.factory import recipe_asset
from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.model import Chunk, fingerprint
from geo_assets.production import Bench, Publication

NUMBER = int(os.environ.get("BENCH_PARTITIONS", "20"))
PARTITIONS = dg.StaticPartitionsDefinition([f"t{number:05}" for number in range(NUMBER)])


def chunk(kernel: Any, spec: Any) -> Chunk:
    return Chunk(id="tile", kernel=kernel, spec=spec, predicted_bytes=30 << 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileRecipe:
    partition: str | None
    version: str
    asset: tuple[str, ...] = ("bench", "ours")
    inputs: Mapping[str, str] = field(default_factory=dict)

    async def chunks(self, bench: Bench) -> Sequence[Chunk]:
        return [chunk(tile, Tile(str(self.partition)))]

    async def fetch(self, chunk: Chunk, folder: Path) -> Chunk:
        return chunk

    async def finish(self, draft, receipts, bench: Bench) -> Publication:
        return Publication(objects=receipts[0].objects, bbox=(15.0, 45.1, 15.1, 45.2))


def planner(_store: Any) -> Any:
    async def plan(partition: str | None, folder: Path) -> TileRecipe:
        return TileRecipe(partition=partition, version=fingerprint("bench", partition))

    return plan


async def look(artifact, store, folder: Path) -> Sequence[Chunk]:
    file = await store.local_file(artifact, "tile.tif", folder)
    return [chunk(inspect, file)]


ours = recipe_asset(
    ("bench", "ours"), planner, description="Ours.", kinds=set(), partitions=PARTITIONS
)
checked = make_checks(
    ours.key, [CheckRule(name="readable", fact="values", description="Opens.")], look, PARTITIONS
)
FOLDER = Path(os.environ.get("GEO_ASSETS_ROOT") or tempfile.gettempdir())


@dg.asset(key=["bench", "plain"], partitions_def=PARTITIONS, group_name="bench")
def plain(context: dg.AssetExecutionContext) -> None:
    """As most projects do it: one run per partition, written straight to its place."""
    folder = FOLDER / "plain"
    folder.mkdir(parents=True, exist_ok=True)
    write_tile(folder / f"{context.partition_key}.tif", context.partition_key)


@dg.asset(
    key=["bench", "naive"], partitions_def=PARTITIONS, group_name="bench",
    backfill_policy=dg.BackfillPolicy.single_run(),
)  # fmt: skip
async def naive(context: dg.AssetExecutionContext) -> None:
    """A single run of an async asset: threads, no processes, no commit, all or nothing."""
    folder = FOLDER / "naive"
    folder.mkdir(parents=True, exist_ok=True)
    limit = asyncio.Semaphore(4)

    async def one(key: str) -> None:
        async with limit:
            await asyncio.to_thread(write_tile, folder / f"{key}.tif", key)

    await asyncio.gather(*(one(key) for key in context.partition_keys))


ours_defs = assemble(dg.Definitions(assets=[ours], asset_checks=[checked]))
plain_defs = dg.Definitions(assets=[plain, naive])
