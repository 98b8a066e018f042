"""A code location whose partitions are texts: `texts[<key>]` holds what `source/<key>` does."""

# Dagster reads the annotations of asset functions as objects, not as text, so this module does
# without `from __future__ import annotations`.

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assembly import assemble
from geo_assets.assets.factory import recipe_asset
from geo_assets.checks.body import CheckRule, make_checks
from geo_assets.errors import InputError
from geo_assets.model import Chunk, fingerprint
from geo_assets.production import Bench, Publication
from geo_assets.resources import GeoStore
from geo_assets_tests.automation.small_kernel import Text, inspect, write

NUMBER = int(os.environ.get("SMALL_PARTITIONS", "10"))
SECONDS = float(os.environ.get("SMALL_SECONDS", "0"))
TEXTS, IN_FIVES, CELLS = ("core", "texts"), ("core", "in_fives"), ("core", "cells")
REGIONS = ["north", "middle", "south"]
KEYS = [f"p{number:05}" for number in range(NUMBER)]
PARTITIONS = dg.StaticPartitionsDefinition(KEYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    partition: str | None
    text: str
    version: str
    asset: tuple[str, ...]
    inputs: Mapping[str, str] = field(default_factory=dict)

    async def chunks(self, bench: Bench) -> Sequence[Chunk]:
        return [_chunk(write, Text(self.text, SECONDS))]

    async def fetch(self, chunk: Chunk, folder: Path) -> Chunk:
        return chunk

    async def finish(self, draft, receipts, bench: Bench) -> Publication:
        return Publication(objects=receipts[0].objects)


def _chunk(kernel: Any, spec: Any) -> Chunk:
    return Chunk(id="text", kernel=kernel, spec=spec, predicted_bytes=10 << 20)


def plan_texts(asset: tuple[str, ...], store: GeoStore) -> Any:
    async def plan(partition: str | None, folder: Path) -> Recipe:
        path = Path(store.source) / str(partition)
        try:
            text = path.read_text()
        except FileNotFoundError:
            raise InputError("A text is there", "none", str(partition)) from None
        return Recipe(asset=asset, partition=partition, text=text, version=fingerprint(text))

    return plan


async def look(artifact, store, folder: Path) -> Sequence[Chunk]:
    return [_chunk(inspect, await store.local_file(artifact, "text.txt", folder))]


texts = recipe_asset(
    TEXTS, partial(plan_texts, TEXTS), description="Texts.", kinds=set(),
    partitions=PARTITIONS,
)  # fmt: skip
checks = make_checks(
    texts.key, [CheckRule(name="readable", fact="text", description="Opens.")], look, PARTITIONS
)
defs = assemble(dg.Definitions(assets=[texts], asset_checks=[checks]))
