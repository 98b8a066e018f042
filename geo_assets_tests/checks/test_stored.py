"""Checks of what is published: damage by hand is found, and a jump from one version to the next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from geo_assets.assembly import resources
from geo_assets.checks.stored import (
    damaged,
    previous,
    row_drift,
    stored_checks,
    thin_data,
    value_drift,
)
from geo_assets.errors import ConfigError
from geo_assets.model import Artifact, OutputFile, StoredObject
from geo_assets.settings import Settings
from geo_assets.store.artifact import ArtifactStore
from geo_assets.store.objects import open_store


async def _published(root: Path, version: str, *, rows: int) -> ArtifactStore:
    store = ArtifactStore(open_store(str(root)))
    draft = await store.begin(("core", "parcels"), None, version)
    stored = []
    for name in ("a.bin", "b.bin", "c.bin", "d.bin"):
        path = root.parent / f"{version}-{name}"
        path.write_bytes(f"{version} {name}".encode())
        stored.append(await draft.stage(OutputFile.of(path, name, "application/octet-stream")))
    await draft.commit(stored, properties={"rows": rows}, inputs={}, run_id="r",
                       bbox=None, datetime=None)  # fmt: skip
    return store


async def _newest(store: ArtifactStore) -> Artifact:
    newest = await store.newest(("core", "parcels"), None)
    assert newest is not None
    return newest


def _break(root: Path, artifact: Artifact) -> None:
    """Delete one object, cut one short, flip a byte of a third."""
    folder = root / artifact.data_prefix
    for path in folder.glob("*.bin"):
        path.chmod(0o644)
    (folder / "a.bin").unlink()
    (folder / "b.bin").write_bytes(b"1")
    body = (folder / "c.bin").read_bytes()
    (folder / "c.bin").write_bytes(body[:-1] + b"X")


async def test_every_kind_of_damage_is_found_and_named(tmp_path: Path):
    store = await _published(tmp_path / "root", "one", rows=1)
    artifact = await _newest(store)
    assert (await damaged(artifact, store)).total == 0
    assert (await damaged(artifact, store)).checked == 4

    _break(tmp_path / "root", artifact)

    found = await damaged(artifact, store)
    assert [(one.kind, one.feature) for one in found.samples] == [
        ("object_missing", "a.bin"), ("object_size", "b.bin"), ("object_bytes", "c.bin"),
    ]  # fmt: skip


async def test_rows_are_held_against_the_version_before(tmp_path: Path):
    root = tmp_path / "root"
    first = await _newest(await _published(root, "one", rows=100))
    store = await _published(root, "two", rows=70)
    second = await _newest(store)

    assert await previous(first, store) is None
    before = await previous(second, store)
    assert before is not None
    assert before.version == "one"
    assert row_drift(second, before, 0.3).total == 0
    found = row_drift(second, before, 0.29)
    assert found.samples[0].detail == "70 rows, 100 before: -30%, allowed is 29%."
    assert row_drift(first, None, 0.1).total == 0


def _tiles(*means: tuple[float, int], share: float = 1.0) -> Artifact:
    objects = tuple(
        StoredObject(
            name=f"{number}.tif", size=1, sha256="", media_type="image/tiff",
            facts={"stats": [{"min": 0.0, "max": 100.0, "mean": mean, "valid": valid}]},
        )
        for number, (mean, valid) in enumerate(means)
    )  # fmt: skip
    return Artifact(asset=("core", "tiles"), partition=None, sequence=1, version="v",
                    data_prefix="d", objects=objects,
                    properties={"numbers": {"valid_share": share}})  # fmt: skip


def test_mean_of_a_band_weighs_tiles_by_their_valid_pixels():
    before = _tiles((10.0, 300), (50.0, 100))  # a mean of 20
    assert value_drift(_tiles((29.0, 10)), before, 0.1).total == 0
    found = value_drift(_tiles((31.0, 10)), before, 0.1)
    assert found.samples[0].detail == "Band 1: mean 31, 20 before, which ranged from 0 to 100."
    assert value_drift(replace(before, objects=()), before, 0.1).total == 0


def test_too_few_pixels_with_data_are_told():
    assert thin_data(_tiles(share=0.5), 0.5).total == 0
    assert thin_data(_tiles(share=0.4), 0.5).counts == {"nodata_share": 1}


async def test_checks_run_in_dagster_and_only_damage_is_an_error(tmp_path: Path):
    root = tmp_path / "root"
    await _published(root, "one", rows=100)
    _break(root, await _newest(await _published(root, "two", rows=10)))
    settings = Settings(root=str(root), source=str(root), scratch=tmp_path / "scratch", workers=1)
    declared = stored_checks("core/parcels", row_change=0.2)
    defs = dg.Definitions.merge(
        declared,
        dg.Definitions(assets=[dg.AssetSpec(["core", "parcels"])],
                       resources=resources(settings), executor=dg.in_process_executor),
    )  # fmt: skip
    import asyncio

    def run() -> dg.ExecuteInProcessResult:
        job = defs.resolve_implicit_global_asset_job_def()
        with dg.DagsterInstance.ephemeral() as instance:
            return job.execute_in_process(instance=instance, raise_on_error=False)

    result = await asyncio.to_thread(run)
    found = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert not found["objects"].passed
    assert found["objects"].severity == dg.AssetCheckSeverity.ERROR
    assert "1 object_missing" in found["objects"].description
    assert not found["row_drift"].passed
    assert found["row_drift"].severity == dg.AssetCheckSeverity.WARN


def test_threshold_without_sense_is_refused():
    with pytest.raises(ConfigError, match="row_change is a positive share"):
        stored_checks("core/parcels", row_change=0.0)
