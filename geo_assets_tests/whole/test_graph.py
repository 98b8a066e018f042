"""The whole graph through Dagster: what is made, what is said of it, and that again is nothing."""

from __future__ import annotations

import json

import pytest

from geo_assets_tests.adapters.conftest import stale_status
from geo_assets_tests.whole.conftest import DATES
from geo_assets_tests.whole.project import (
    EVENTS,
    SCENES,
    commits,
    failures,
    made,
    tags,
    verdicts,
)

DAYS = ("2026-06-01", "2026-06-02", "2026-06-03")


def test_every_run_succeeds_and_each_partition_has_one_commit(done):
    for result in (done.layer, done.scenes, done.events):
        assert result.success, failures(result)
    expected = {
        f"{place}/_commits/000000000001.json"
        for place in (
            *(f"{layer}/{name}/all" for layer, name in (("raw", "districts"), ("core", "districts"),
                                                        ("out", "topology_report"))),
            *(f"{layer}/{date}" for layer in ("raw/scenes", "core/scene_tiles") for date in DATES),
            *(f"{layer}/{day}" for layer in ("raw/events", "core/events") for day in DAYS),
        )
    }  # fmt: skip
    assert set(commits(done.project.root)) == expected


@pytest.mark.parametrize(
    ("which", "key", "partitions"),
    [
        ("layer", ("raw", "districts"), {None}),
        ("layer", ("out", "topology_report"), {None}),
        ("scenes", ("raw", "scenes"), set(DATES)),
        ("scenes", ("core", "scene_tiles"), set(DATES)),
        ("events", ("core", "events"), set(DAYS)),
    ],
)
def test_the_event_log_has_each_partition_with_what_was_committed(done, which, key, partitions):
    shown = made(getattr(done, which), *key)
    assert set(shown) == partitions
    for partition, metadata in shown.items():
        place = done.project.root.joinpath(*key, partition or "all")
        item = json.loads((place / "_commits/000000000001.json").read_text())
        assert metadata["geo_assets/commit"] == 1
        assert metadata["geo_assets/outcome"] == "made"
        assert metadata["dagster/uri"].startswith(str(place / "data" / "000000000000-"))
        assert metadata["dagster/uri"].endswith(metadata["geo_assets/version"])
        assert metadata["geo_assets/objects"] == len(item["assets"])
        assert metadata["geo_assets/wall_s"] > 0


@pytest.mark.parametrize("which", ["layer", "scenes", "events"])
def test_the_data_version_is_the_version_of_the_store(done, which):
    result = getattr(done, which)
    for one in result.materializations():
        version = one.metadata["geo_assets/version"].value
        assert one.tags["dagster/data_version"] == version
        assert one.tags["dagster/data_version_is_user_provided"] == "true"


def test_partitions_of_a_range_name_the_versions_that_they_read(done):
    up, down = tags(done.scenes, "raw", "scenes"), tags(done.scenes, "core", "scene_tiles")
    for date in DATES:
        read = down[date]["dagster/input_data_version/raw/scenes"]
        assert read == up[date]["dagster/data_version"]
    assert len({each["dagster/data_version"] for each in down.values()}) == 2


def test_every_check_speaks_for_every_partition(done):
    scenes = verdicts(done.scenes, "core", "scene_tiles")
    names = {"grid", "nodata", "cog", "readable", "seams", "objects", "geoparquet", "value_drift"}
    assert set(scenes) == {(name, date) for name in names for date in (*DATES, None)}
    assert all(scenes.values())
    events = verdicts(done.events, "core", "events")
    names = {"crs", "schema", "geometry", "objects", "row_drift"}
    assert set(events) == {(name, day) for name in names for day in (*DAYS, None)}


def test_the_checks_find_what_was_planted_by_id(done, world):
    found = {
        check.check_name: check.metadata["samples"].value
        for check in done.layer.checks
        if check.asset_key.path == ["out", "topology_report"] and not check.passed
    }
    planted = world.truth["districts"]["defects"]
    for check, kind in (("gaps", "gap"), ("overlaps", "overlap"), ("duplicates", "duplicate")):
        ids = [sorted(sample["feature"].split("+")) for sample in found[check]]
        assert ids == [sorted(pair) for pair in planted[kind]]
        assert all(14 < sample["lon"] < 15 and 50 < sample["lat"] < 51 for sample in found[check])
    assert [sample["feature"] for sample in found["shapes"]] == planted["bowtie"]
    assert verdicts(done.layer, "core", "districts") == {
        ("crs", None): True, ("schema", None): True, ("geometry", None): False,
        ("objects", None): True, ("row_drift", None): True,
    }  # fmt: skip


def test_a_layer_shows_its_schema_and_its_rows(done, world):
    core = made(done.layer, "core", "districts")[None]
    raw = made(done.layer, "raw", "districts")[None]
    assert core["dagster/row_count"] == raw["dagster/row_count"] == 61
    assert core["dagster/column_schema"].columns[0].name == "district_id"
    assert core["thumbnail"].startswith("![")
    assert core["geo_assets/crs_accuracy"] == "1 m"
    assert core["geo_assets/datum_shift_largest_m"] == 0
    assert "EPSG:3035" in core["reprojection"]
    assert "no datum shift; accuracy 1 m" in core["reprojection"]
    quarantined = made(done.events, "core", "events")
    for day in DAYS:
        bad = world.truth["events"]["defects"][day]["nan"]
        assert quarantined[day]["geo_assets/rows_delivered"] == 300
        assert quarantined[day]["geo_assets/rows_quarantined"] >= len(bad)
        total = (
            quarantined[day]["dagster/row_count"] + quarantined[day]["geo_assets/rows_quarantined"]
        )
        assert total == 300


def test_tiles_are_counted_and_drawn(done):
    for date, shown in made(done.scenes, "core", "scene_tiles").items():
        tiles = list((done.project.root / "core/scene_tiles" / date).rglob("*.tif"))
        assert shown["geo_assets/tiles"] == len(tiles) > 8
        assert shown["coverage"].startswith("![")
        assert 0 < shown["geo_assets/valid_share"] <= 1


def test_current_partitions_are_no_ops(done):
    before = {path: path.stat().st_mtime_ns for path in done.project.root.rglob("*")}
    keys = [*SCENES]
    result = done.project.run(done.instance, *keys, span=DATES)
    assert result.success, failures(result)
    for key in keys:
        for shown in made(result, *key).values():
            assert shown["geo_assets/outcome"].startswith("current already")
            assert shown["geo_assets/commit"] == 1
            assert "geo_assets/chunks" not in shown
    assert {path: path.stat().st_mtime_ns for path in done.project.root.rglob("*")} == before


def test_a_no_op_of_one_partition_leaves_what_is_downstream_fresh(done):
    raw, core = EVENTS
    result = done.project.run(done.instance, raw, partition="2026-06-02")
    assert result.success, failures(result)
    (shown,) = made(result, *raw).values()
    assert shown["geo_assets/outcome"].startswith("current already")
    defs = done.project.definitions()
    assert stale_status(done.instance, defs, core, "2026-06-02") == "FRESH"
