"""`examples/regions`: days and regions in one run, retried as one rectangle, checked as a whole."""

from __future__ import annotations

import importlib.util
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from geo_assets.commands import project
from geo_assets.commands.materializing import materialize
from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets_tests.whole.project import QUIET

EXAMPLE = Path(__file__).parents[2] / "examples" / "regions"
EVENTS = [["raw", "events"], ["core", "events"]]
DAYS, REGIONS = ("2026-06-01", "2026-06-02", "2026-06-03"), ("north", "middle", "south")
CELLS = {f"{day}|{region}" for day in DAYS for region in REGIONS}
NIGHT = datetime(2026, 6, 5, 3, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    spec = importlib.util.spec_from_file_location("regions_data", EXAMPLE / "data.py")
    data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    folder = tmp_path_factory.mktemp("regions")
    data.build(folder, size_px=128, polygons=12, events=300)
    return folder


@pytest.fixture
def example(source, tmp_path, monkeypatch) -> project.Project:
    for name, folder in {"SOURCE": source, "ROOT": tmp_path / "store", "SCRATCH": tmp_path}.items():
        monkeypatch.setenv(f"GEO_ASSETS_{name}", str(folder))
    return project.load(str(EXAMPLE / "definitions.py"))


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "home").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "home")) as made:
        yield made


def run_job(example, instance, name: str, tags: dict | None = None) -> dg.ExecuteInProcessResult:
    return example.defs.resolve_job_def(name).execute_in_process(
        instance=instance, tags=tags, run_config=QUIET, raise_on_error=False
    )


def nightly(example, instance, name: str) -> dg.ScheduleExecutionData:
    (schedule,) = [item for item in example.defs.schedules if item.name == name]
    with dg.build_schedule_context(
        instance=instance,
        resources={"geo_store": example.geo_store},
        repository_def=example.defs.get_repository_def(),
        scheduled_execution_time=NIGHT,
    ) as context:
        return schedule.evaluate_tick(context)


def outcomes(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], str]:
    return {
        (event.asset_key.to_user_string(), event.materialization.partition):
        event.materialization.metadata["geo_assets/outcome"].value.partition(" ")[0]
        for event in result.get_asset_materialization_events()
    }  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")
def test_days_and_regions_are_made_retried_and_checked_as_rectangles(example, instance, source):
    keys, _ = example.selected("group:raw or group:core or group:out")
    broken = ("2026-06-01|south", "2026-06-03|north")
    bad = [source / "events" / cell.replace("|", "/") for cell in broken]
    saved = [file.with_suffix(".parquet").read_bytes() for file in bad]
    for file in bad:
        file.with_suffix(".parquet").write_bytes(b"damaged")
    reports = materialize(example, instance, keys, lambda _news: None)
    # the districts by day; the events by day and region; the scenes
    assert len(reports) == len(instance.get_runs()) == 3
    assert [report.success for report in reports] == [True, False, True]
    made = instance.get_materialized_partitions(dg.AssetKey(["raw", "events"]))
    assert made == CELLS - {"2026-06-01|south", "2026-06-03|north"}

    for file, body in zip(bad, saved, strict=True):
        file.with_suffix(".parquet").write_bytes(body)
    (request,) = nightly(example, instance, "daily_events_nightly").run_requests
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == (
        "2026-06-01|north",
        "2026-06-03|south",
    )
    result = run_job(example, instance, "daily_events", dict(request.tags))
    assert result.success
    did = outcomes(result)
    assert {cell for (asset, cell), how in did.items() if asset == "raw/events"} == CELLS
    assert {
        cell for (asset, cell), how in did.items() if (asset, how) == ("raw/events", "made")
    } == {"2026-06-01|south", "2026-06-03|north"}
    assert {
        cell for (asset, cell), how in did.items() if asset == "out/events_by_district"
    } == CELLS
    assert nightly(example, instance, "daily_events_nightly").run_requests == []

    _inputs_are_those_of_the_date(example)
    _all_is_checked(example, instance)


def _inputs_are_those_of_the_date(example) -> None:
    import asyncio

    store = example.artifacts
    joined = asyncio.run(store.inputs_of(("out", "events_by_district"), sorted(CELLS)))
    for cell, inputs in joined.items():
        day = cell.partition("|")[0]
        assert set(inputs) == {f"core/events[{cell}]", f"core/districts[{day}]"}
    scenes = asyncio.run(store.inputs_of(("out", "district_statistics"), list(DAYS[:2])))
    for scene, inputs in scenes.items():
        assert set(inputs) == {f"raw/scenes[{scene}]", f"core/districts[{scene}]"}


def _all_is_checked(example, instance) -> None:
    result = run_job(example, instance, "checks")
    assert result.success
    checked = Counter(
        check.asset_key.to_user_string()
        for check in result.get_asset_check_evaluations()
        if check.partition is not None and check.check_name in ("crs", "grid")
    )
    assert checked == {"core/events": len(CELLS), "core/districts": 3, "core/scene_tiles": 2}
    events = instance.event_log_storage
    history = events.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(["core", "events"]), "crs"), limit=200
    )
    of_run = [item for item in history if item.run_id == result.run_id and item.event]
    seen = {
        item.event.dagster_event.asset_check_evaluation_data.partition: item.status.value
        for item in of_run
    }
    assert {cell for cell, status in seen.items() if status == "SUCCEEDED"} >= CELLS


def test_the_daily_schedule_makes_all_regions_of_a_day_as_one_run(example, instance):
    (request,) = nightly(example, instance, "daily_events_schedule").run_requests
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == (
        "2026-06-04|north",
        "2026-06-04|south",
    )
    assert request.run_key == "2026-06-04"


def test_mappings_are_explicit_and_dagsters_own(example):
    graph = example.graph
    mappings = {
        (child.to_user_string(), parent.to_user_string()): graph.get(child).partition_mappings.get(
            parent
        )
        for child in graph.materializable_asset_keys
        for parent in graph.get(child).parent_keys
    }
    assert {pair: type(mapping).__name__ for pair, mapping in mappings.items()} == {
        ("core/events", "raw/events"): "IdentityPartitionMapping",
        ("core/districts", "raw/districts"): "IdentityPartitionMapping",
        ("core/scene_tiles", "raw/scenes"): "IdentityPartitionMapping",
        ("out/events_by_district", "core/events"): "IdentityPartitionMapping",
        ("out/events_by_district", "core/districts"): "MultiToSingleDimensionPartitionMapping",
        ("out/district_statistics", "raw/scenes"): "IdentityPartitionMapping",
        ("out/district_statistics", "core/districts"): "AllPartitionMapping",
    }
