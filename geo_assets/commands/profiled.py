"""The process that py-spy looks into: makes one partition from published inputs, into a folder.

`python -m geo_assets.commands.profiled FOLDER DEFINITIONS ASSET [PARTITION]`
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from geo_assets.assets.costs import load_of
from geo_assets.assets.factory import planner_of
from geo_assets.commands import project
from geo_assets.commands.materializing import partitions_of
from geo_assets.engine.engine import Engine
from geo_assets.errors import ConfigError
from geo_assets.model import Artifact
from geo_assets.production import produce
from geo_assets.resources import GeoStore
from geo_assets.settings import Settings
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store
from geo_assets.store.observed import ObservedObjects


class _Inputs(ArtifactStore):
    """The published versions, but for those of one asset: it is made as if for the first time."""

    def __init__(self, published: ArtifactStore, hidden: tuple[str, ...]) -> None:
        super().__init__(published.objects)
        self._hidden = hidden

    async def newest(self, asset: Sequence[str], partition: str | None) -> Artifact | None:
        """The current version; none of the asset that is profiled."""
        if tuple(asset) == self._hidden:
            return None
        return await super().newest(asset, partition)


class _InputStore(GeoStore):
    """What the recipe of a profiled asset reads from."""

    def hide(self, asset: tuple[str, ...]) -> _InputStore:
        """The same store without the versions of one asset."""
        self._artifacts = _Inputs(self.artifacts(), asset)
        return self


def main(folder: Path, definitions: str, name: str, partition: str | None) -> None:
    """Make the partition, and leave in `folder` what came of it."""
    verdict: dict[str, Any] = {"refused": None, "error": "", "lines": []}
    try:
        loaded = project.load(definitions)
        key, store = _asked(loaded, name, partition)
        plan = planner_of(loaded.graph.get(key).assets_def)
        assert plan is not None
        asyncio.run(_make(plan(store), partition, folder / "store", verdict))
    except ConfigError as error:
        verdict["refused"] = [error.rule, error.got, error.where, error.fix]
    except Exception as error:  # noqa: BLE001 - told by the process that started this one
        verdict["error"] = str(error)
    (folder / "verdict.json").write_text(json.dumps(verdict), encoding="utf-8")


def _asked(
    loaded: project.Project, name: str, partition: str | None
) -> tuple[dg.AssetKey, _InputStore]:
    key = dg.AssetKey(name.split("/"))
    ours = [each for each in loaded.selected(None)[0] if loaded.is_ours(each)]
    if key not in ours:
        names = ", ".join(each.to_user_string() for each in ours)
        raise ConfigError("An asset that is profiled was made by a factory of geo_assets", name,
                          "", f"Name one of {names}.")  # fmt: skip
    definition = loaded.partitions(key)
    if (definition is None) != (partition is None):
        got = "none" if partition is None else partition
        raise ConfigError("A partition is named where the asset has some", got, name,
                          "Use --partition KEY, or leave it out.")  # fmt: skip
    if partition is not None:
        with project.open_instance(record=False) as instance:
            partitions_of(loaded, instance, definition, [partition], None)
    real = loaded.geo_store
    store = _InputStore(root=real.root, source=real.source, s3=real.s3)
    return key, store.hide(tuple(key.path))


async def _make(plan: Any, partition: str | None, root: Path, verdict: dict[str, Any]) -> None:
    store = ArtifactStore(ObservedObjects(await asyncio.to_thread(open_store, str(root))))
    async with (
        Engine.open(Settings.from_env()) as engine,
        engine.folder() as folder,
    ):
        with engine.telemetry.measure() as measure:
            staged = await produce(
                await plan(partition, folder), folder=folder, store=store, engine=engine,
                run_id="profile",
            )  # fmt: skip
            await staged.commit()  # type: ignore[union-attr]  # nothing is current in a new folder
        numbers = measure.snapshot()
        cpu, share = numbers["geo_assets/cpu_s"], numbers["geo_assets/cpu_utilisation"]
        told = f"CPU of the workers {cpu:.2f} s, which is {share:.0%} of what they could have had"
        verdict["lines"] = [load_of(measure).alt, told]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
