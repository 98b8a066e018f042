"""Jobs have the names that people expect; schedules ask for what is outdated, and for no more."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from geo_assets.automation.jobs import automation
from geo_assets.automation.outdated import outdated
from geo_assets.model import OutputFile
from geo_assets.partitions import RANGE_END, RANGE_START, THOROUGH_TAG

DAYS = dg.DailyPartitionsDefinition(start_date="2026-06-01")
SCENES = dg.DynamicPartitionsDefinition(name="scenes")
RAW, CORE = ("raw", "scenes"), ("core", "scene_tiles")


@pytest.fixture
def instance():
    """A schedule opens the instance by its reference, which an ephemeral one has not."""
    with dg.instance_for_test() as made:
        yield made


def asset(key: str, partitions=None, deps=()):
    @dg.asset(key=key.split("/"), partitions_def=partitions, deps=list(deps))
    def made() -> None: ...

    return made


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    raw = asset("raw/scenes", SCENES)
    assets = [
        raw, asset("core/scene_tiles", SCENES, [raw]),
        asset("raw/events", DAYS), asset("core/districts"),
    ]  # fmt: skip
    nothing = dg.ResourceDefinition.none_resource()

    @dg.asset_check(asset=raw)
    def readable() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    project = dg.Definitions(
        assets=assets, asset_checks=[readable], resources={"geo_store": nothing}
    )
    return dg.Definitions.merge(project, automation(project))


def commit(geo_store, asset, key, version, inputs=None, text="x"):
    """Publish a version by hand."""
    store = geo_store.artifacts()

    async def publish():
        draft = await store.begin(asset, key, version)
        path = Path(geo_store.root) / f"{version}.txt"
        path.write_text(text)
        stored = await draft.stage(OutputFile.of(path, "text.txt", "text/plain"))
        await draft.commit([stored], properties={}, inputs=inputs or {}, run_id="run")

    asyncio.run(publish())


def find(geo_store, keys, **options):
    options = {"seconds": 60.0} | options
    return asyncio.run(outdated(geo_store.artifacts(), [RAW, CORE], keys, **options))


def nightly(definitions, name, instance, geo_store):
    (schedule,) = [found for found in definitions.schedules if found.name == name]
    with dg.build_schedule_context(
        instance=instance,
        resources={"geo_store": geo_store},
        repository_def=definitions.get_repository_def(),
        scheduled_execution_time=datetime(2026, 6, 5, 3, 30, tzinfo=UTC),
    ) as context:
        return schedule.evaluate_tick(context)


def test_jobs_have_expected_names(definitions):
    names = {job.name for job in definitions.resolve_all_job_defs()}
    assert {"ingest", "tiles", "daily_events", "checks"} <= names


def test_the_job_that_checks_reads_every_byte(definitions):
    thorough = {job.name for job in definitions.resolve_all_job_defs() if THOROUGH_TAG in job.tags}
    assert thorough == {"checks"}


def test_versions_tell_what_is_outdated(geo_store):
    commit(geo_store, RAW, "current", "r1")
    commit(geo_store, CORE, "current", "c1", {"raw/scenes[current]": "r1"})
    commit(geo_store, RAW, "stale", "r1")
    commit(geo_store, CORE, "stale", "c2", {"raw/scenes[stale]": "r1"})
    commit(geo_store, RAW, "stale", "r2", text="newer")
    commit(geo_store, RAW, "half", "r3")
    assert find(geo_store, ["current", "stale", "half", "never"]) == {"stale", "half"}


def test_an_input_without_partitions_counts(geo_store):
    commit(geo_store, RAW, "a", "r1", {"core/zones": "z1"})
    commit(geo_store, CORE, "a", "c1")
    assert find(geo_store, ["a"]) == {"a"}
    commit(geo_store, ("core", "zones"), None, "z1")
    assert find(geo_store, ["a"]) == set()


def test_without_time_everything_left_is_outdated(geo_store):
    assert find(geo_store, ["a", "b"], seconds=-1.0) == {"a", "b"}


def test_the_nightly_run_covers_what_is_outdated(definitions, instance, geo_store):
    keys = ["a", "b", "c", "d"]
    instance.add_dynamic_partitions("scenes", keys)
    for key in keys:
        commit(geo_store, RAW, key, "r1")
        commit(geo_store, CORE, key, "c1", {f"raw/scenes[{key}]": "r1"})
    assert "current" in nightly(definitions, "tiles_nightly", instance, geo_store).skip_message
    for key in ("b", "d"):
        commit(geo_store, RAW, key, "r2", text="newer")
    (request,) = nightly(definitions, "tiles_nightly", instance, geo_store).run_requests
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("b", "d")
    assert request.tags["geo_assets/wanted"] == "2"


def test_the_day_that_is_over_is_made(definitions, instance, geo_store):
    data = nightly(definitions, "daily_events_schedule", instance, geo_store)
    assert [request.partition_key for request in data.run_requests] == ["2026-06-04"]
