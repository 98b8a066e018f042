"""Small versions in a store of their own, published as assets publish them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from geo_assets.assembly import resources
from geo_assets.model import Artifact, OutputFile
from geo_assets.settings import Settings
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store


@dataclass(frozen=True)
class Shelf:
    """A store in a folder."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(open_store(str(self.root)))

    async def publish(
        self,
        asset: str,
        version: str,
        files: Sequence[tuple[Path, str]] = (),
        *,
        partition: str | None = None,
        datetime: str | None = None,
        facts: Mapping[str, Any] | None = None,
        **properties: Any,
    ) -> Artifact:
        """Publish files (path and media type) under their names."""
        key = tuple(asset.split("/"))
        draft = await self.store.begin(key, partition, version)
        stored = [
            await draft.stage(OutputFile.of(path, path.name, media, facts=facts))
            for path, media in files
        ]
        return await draft.commit(
            stored, properties=properties, inputs={}, run_id="r", bbox=None, datetime=datetime
        )

    def path(self, artifact: Artifact, name: str) -> Path:
        """Where an object lies, made writable."""
        path = self.root / artifact.data_prefix / name
        path.chmod(0o644)
        return path

    async def check(
        self,
        *parts: dg.Definitions,
        asset: str,
        partitions: Any = None,
        tags: Any = None,
        partition: str | None = None,
    ) -> dict[str, dg.AssetCheckEvaluation]:
        """Run checks as Dagster does; the evaluations by name."""
        settings = Settings(root=str(self.root), source=str(self.root), workers=1,
                            scratch=self.folder / "scratch")  # fmt: skip
        spec = dg.AssetSpec(asset.split("/"), partitions_def=partitions)
        defs = dg.Definitions.merge(
            *parts,
            dg.Definitions(assets=[spec], resources=resources(settings),
                           executor=dg.in_process_executor),
        )  # fmt: skip
        keys = [
            key for part in parts for each in part.asset_checks or () for key in each.check_keys
        ]
        job = dg.define_asset_job("job", selection=dg.AssetSelection.checks(*keys))
        defs = dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))

        every = dict(tags or {}) | ({"dagster/partition": partition} if partition else {})

        def run() -> dg.ExecuteInProcessResult:
            with dg.DagsterInstance.ephemeral() as instance:
                return defs.resolve_job_def("job").execute_in_process(
                    instance=instance, raise_on_error=False, tags=every
                )

        result = await asyncio.to_thread(run)
        return {one.check_name: one for one in result.get_asset_check_evaluations()}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)
