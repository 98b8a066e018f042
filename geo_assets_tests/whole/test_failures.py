"""What goes wrong says what and where, touches nothing else, and is put right by running again."""

from __future__ import annotations

import asyncio
import os

import dagster as dg
import geopandas as gpd
import pytest

from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.io_manager import GeoIOManager
from geo_assets.store.artifact import Draft
from geo_assets_tests.whole.conftest import DATES
from geo_assets_tests.whole.project import (
    EVENTS,
    LAYER,
    QUIET,
    SCENES,
    Project,
    commits,
    declared,
    failures,
    made,
)

RIVAL = "f" * 32


def cut_off(path) -> None:
    """Lose the second half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def test_a_corrupt_scene_fails_alone_and_is_the_only_one_done_again(copied, instance, tmp_path):
    project = Project(source=copied.source, root=tmp_path / "new", scratch=copied.scratch)
    bad = copied.source / f"scenes/{DATES[1]}.tif"
    whole = bad.read_bytes()
    cut_off(bad)
    raw, tiles = SCENES
    broken = project.run(instance, raw, tiles, span=DATES)
    assert not broken.success
    said = failures(broken)
    assert set(said) == {"raw__scenes"}
    assert DATES[1] in said["raw__scenes"]
    assert DATES[0] not in said["raw__scenes"]
    assert f"{DATES[1]}.tif" in said["raw__scenes"], "the file is named"
    assert set(made(broken, *raw)) == {DATES[0]}
    assert instance.get_materialized_partitions(dg.AssetKey(raw)) == {DATES[0]}
    assert commits(project.root) == [f"raw/scenes/{DATES[0]}/_commits/000000000001.json"]

    bad.write_bytes(whole)
    mended = project.run(instance, raw, tiles, span=DATES)
    assert mended.success, failures(mended)
    outcomes = {key: each["geo_assets/outcome"] for key, each in made(mended, *raw).items()}
    assert outcomes[DATES[0]].startswith("current already")
    assert outcomes[DATES[1]] == "made"
    assert set(made(mended, *tiles)) == set(DATES)


def test_a_corrupt_shapefile_stops_nothing_else(copied, instance, tmp_path):
    layers = copied.source / "layers"
    points = gpd.GeoSeries.from_xy(range(200), range(200), crs="EPSG:32633")
    gpd.GeoDataFrame({"id": range(200)}, geometry=points).to_file(layers / "farms.shp")
    for suffix in (".shp", ".shx"):
        cut_off((layers / "farms").with_suffix(suffix))
    farms = vector_layer_asset("farms", source="layers/farms.shp", crs="EPSG:32633", key="id")
    project = Project(source=copied.source, root=tmp_path / "new", scratch=copied.scratch,
                      parts=(*declared(), farms))  # fmt: skip
    result = project.run(instance, ["raw", "farms"], ["core", "farms"], *LAYER)
    said = failures(result)
    assert set(said) == {"raw__farms"}
    assert "farms" in said["raw__farms"]
    assert "Traceback" not in said["raw__farms"], "bad data is no bug of ours"
    assert {path.split("/")[1] for path in commits(project.root)} == {
        "districts", "topology_report",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "partition", "said"),
    [
        (SCENES[1], DATES[0], "Materialize raw/scenes first"),
        (LAYER[1], None, "Materialize raw/districts first"),
        (LAYER[2], None, "Materialize core/districts first"),
        (EVENTS[1], "2026-06-02", "Materialize raw/events first"),
    ],
)
def test_a_missing_input_is_named_with_what_to_do(fresh, instance, key, partition, said):
    result = fresh.run(instance, key, partition=partition)
    (message,) = failures(result).values()
    assert said in message
    assert "Traceback" not in message
    assert commits(fresh.root) == []


def test_a_check_of_nothing_does_not_pass(fresh, instance):
    assets = fresh.definitions()
    checks = dg.AssetSelection.checks_for_assets(dg.AssetKey(LAYER[1]))
    only = dg.define_asset_job("checks", selection=checks)
    job = dg.Definitions.merge(assets, dg.Definitions(jobs=[only])).resolve_job_def("checks")
    result = job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
    found = result.get_asset_check_evaluations()
    assert len(found) == 5
    for check in found:
        assert not check.passed
        assert "nothing is materialized yet" in check.description


async def commit_first(draft: Draft) -> None:
    """Another writer publishes something else on the same base."""
    place = draft._place
    rival = Draft(draft._objects, draft._derived, place, RIVAL, draft.current)
    await rival.commit([], properties={}, inputs={}, run_id="the-run-that-won")


class Overtaken(GeoIOManager):
    """An I/O manager that another writer always beats."""

    def handle_output(self, context: dg.OutputContext, obj) -> None:
        asyncio.run(commit_first(obj.draft))
        super().handle_output(context, obj)


def test_a_commit_in_between_is_a_conflict_that_names_the_winners_run(fresh, instance):
    resources = fresh.definitions().resources
    manager = Overtaken(store=resources["geo_store"])
    result = fresh.run(instance, ["raw", "districts"], io_manager=manager)
    (message,) = failures(result).values()
    assert "the-run-that-won" in message
    assert made(result, "raw", "districts") == {}
    assert len(commits(fresh.root)) == 1


def test_a_lost_race_in_a_range_fails_its_partition_alone(fresh, instance, monkeypatch):
    commit = Draft.commit

    async def overtaken(self, objects, **options):
        if self.partition == "2026-06-02" and self.version != RIVAL:
            await commit_first(self)
        return await commit(self, objects, **options)

    monkeypatch.setattr(Draft, "commit", overtaken)
    raw, _ = EVENTS
    result = fresh.run(instance, raw, span=("2026-06-01", "2026-06-03"))
    assert not result.success
    (message,) = failures(result).values()
    assert message.startswith("2026-06-02: ")
    assert "the-run-that-won" in message
    assert set(made(result, *raw)) == {"2026-06-01", "2026-06-03"}


def test_a_delivery_that_is_only_touched_makes_nothing_new_and_a_changed_one_does(copied, instance):
    layer = copied.source / "layers/districts.gpkg"
    os.utime(layer, (1, 1))
    raw, core, _ = LAYER
    touched = copied.run(instance, raw, core)
    assert touched.success, failures(touched)
    for key in (raw, core):
        assert made(touched, *key)[None]["geo_assets/outcome"].startswith("current already")

    districts = gpd.read_file(layer)
    districts.iloc[1:].to_file(layer, layer="districts", driver="GPKG")
    changed = copied.run(instance, raw, core)
    assert changed.success, failures(changed)
    for key in (raw, core):
        assert made(changed, *key)[None]["geo_assets/commit"] == 2
        assert made(changed, *key)[None]["dagster/row_count"] == 60
    assert (copied.root / "core/districts/all/_commits/000000000001.json").exists()


def test_damage_done_to_a_published_tile_is_found_by_its_check(copied, instance):
    _, core = SCENES
    tile = min((copied.root / "core/scene_tiles" / DATES[0]).rglob("*.tif"))
    tile.chmod(0o644)
    body = bytearray(tile.read_bytes())
    body[len(body) // 2] ^= 0xFF
    tile.write_bytes(body)
    result = copied.run(instance, core, partition=DATES[0])
    assert made(result, *core)[DATES[0]]["geo_assets/outcome"].startswith("current already")
    sizes_alone = {"objects", "geoparquet", "value_drift"}
    read = [check for check in result.checks if check.check_name not in sizes_alone]
    assert len(read) >= 4
    for check in read:
        assert not check.passed
        assert "SHA-256" in check.description
        assert tile.name in check.description
