"""What the project relies on inside Dagster, and that it is needed: an upgrade fails here first."""

# Dagster reads the annotations of assets as objects, so this module does without
# `from __future__ import annotations`.

import warnings

import dagster as dg
import pytest

from geo_assets.dagster_internals import (
    Interrupted,
    PartitionLog,
    VersionTags,
    checked_materializations,
    names_partitions,
    preview_features,
    silent_output_metadata,
    sum_of_partitions,
)
from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets_tests.adapters.conftest import materializations, stale_status

PARTS = dg.StaticPartitionsDefinition(["a", "b"])
UP, DOWN = dg.AssetKey(["raw", "x"]), dg.AssetKey(["core", "x"])


def test_an_interruption_is_no_exception_that_code_swallows_by_accident():
    assert issubclass(Interrupted, BaseException)
    assert not issubclass(Interrupted, Exception)


def reporting(*, silent: bool):
    """An asset that reports each of its partitions by itself, then yields one output."""

    @dg.asset(key=UP, partitions_def=PARTS, output_required=False)
    def asset(context: dg.AssetExecutionContext):
        for key in context.partition_keys:
            yield dg.AssetMaterialization(asset_key=UP, partition=key, metadata={"own": True})
        yield dg.Output(None, metadata=silent_output_metadata() if silent else {})

    return asset


def test_a_silent_output_records_no_second_materialization_and_downstream_runs(bench):
    @dg.asset(key=DOWN, partitions_def=PARTS, deps=[UP])
    def down() -> None: ...

    result = bench.run(reporting(silent=True), down, span=("a", "b"))
    assert result.success
    made = materializations(result, "raw", "x")
    assert {key: "own" in event.metadata for key, event in made.items()} == {"a": True, "b": True}
    assert sorted(materializations(result, "core", "x")) == ["a", "b"]


def test_partitions_stored_together_have_milliseconds_of_their_own(bench):
    """Of events in one millisecond, the UI lists the newest and leaves out the others."""

    @dg.asset(key=UP, partitions_def=PARTS, output_required=False)
    def asset(context: dg.AssetExecutionContext):
        log = PartitionLog(context)
        made = [dg.AssetMaterialization(asset_key=UP, partition=key) for key in "ab" * 200]
        entries = [log.made(each) for each in made]
        times = [int(entry.timestamp * 1000) for entry in entries]
        assert len(set(times)) == 400
        assert times == sorted(times)
        log.store(entries[:2])
        yield dg.Output(None, metadata=silent_output_metadata())

    assert bench.run(asset, span=("a", "b")).success


def test_without_it_each_partition_is_recorded_twice(bench):
    result = bench.run(reporting(silent=False), span=("a", "b"))
    assert len(result.get_asset_materialization_events()) == 4


@dg.asset(key=UP, partitions_def=PARTS)
def up() -> None: ...


@dg.asset(key=DOWN, partitions_def=PARTS, deps=[up])
def down() -> None: ...


def reported(key: dg.AssetKey, version: str, inputs: dict[str, str], *, complete: bool = True):
    """An asset that reports its partitions one by one, as ours do."""

    @dg.asset(key=key, partitions_def=PARTS, output_required=False, deps=[UP] if inputs else [])
    def asset(context: dg.AssetExecutionContext):
        tags = VersionTags.of(context).of_partition(version, inputs)
        if not complete:
            tags = {name: value for name, value in tags.items() if "code_version" not in name}
        yield dg.AssetMaterialization(asset_key=key, partition="a", tags=tags)
        yield dg.Output(None, metadata=silent_output_metadata())

    return asset


def status_after(bench, again: str, *, complete: bool = True) -> str:
    """Whether the downstream partition is fresh after its input was materialized once more."""
    for asset in (
        reported(UP, "v1", {}, complete=complete),
        reported(DOWN, "w", {"raw/x[a]": "v1"}, complete=complete),
        reported(UP, again, {}, complete=complete),
    ):
        assert bench.run(asset, span=("a", "b")).success
    return stale_status(bench.instance, dg.Definitions(assets=[up, down]), DOWN.path, "a")


@pytest.mark.parametrize(
    ("again", "status"), [("v1", "FRESH"), ("v2", "STALE")], ids=["no-op", "other content"]
)
def test_only_another_version_upstream_makes_a_partition_stale(bench, again, status):
    assert status_after(bench, again) == status


def test_without_all_tags_dagster_compares_times(bench):
    assert status_after(bench, "v1", complete=False) == "STALE"


def checking(body):
    with preview_features():

        @dg.asset_check(asset=UP, partitions_def=PARTS)
        def verdict(context: dg.AssetCheckExecutionContext):
            body(context)
            return dg.AssetCheckResult(passed=True)

    return verdict


def run_check(bench, check) -> list[dg.AssetCheckEvaluation]:
    result = bench.run(reporting(silent=True), check, span=("a", "b"))
    assert result.success
    return list(result.get_asset_check_evaluations())


def test_a_check_is_recorded_for_its_partition_and_its_materialization(bench):
    def body(context: dg.AssetCheckExecutionContext) -> None:
        log = PartitionLog(context)
        targets = checked_materializations(context, UP, context.partition_keys)
        entries = [
            log.checked(
                dg.AssetCheckEvaluation(
                    asset_key=UP, check_name="verdict", partition=key, passed=key == "a",
                    severity=dg.AssetCheckSeverity.ERROR, description="said", metadata={"n": 1},
                    target_materialization_data=targets[key],
                )
            )
            for key in context.partition_keys
        ]  # fmt: skip
        log.store(entries)
        for entry in entries:
            log.echo(entry)

    evaluations = run_check(bench, checking(body))
    by_partition = {each.partition: each for each in evaluations}
    assert {key: by_partition[key].passed for key in "ab"} == {"a": True, "b": False}
    for key in "ab":
        wanted = dg.AssetRecordsFilter(asset_key=UP, asset_partitions=[key])
        (record,) = bench.instance.fetch_materializations(wanted, limit=1).records
        target = by_partition[key].target_materialization_data
        assert target.storage_id == record.storage_id


def test_without_it_a_run_of_several_partitions_has_no_verdict_of_any(bench):
    evaluations = run_check(bench, checking(lambda _context: None))
    assert [each.partition for each in evaluations] == [None]


def test_preview_features_hide_warnings_from_users_and_only_inside():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with preview_features():
            dg.Output(1, data_version=dg.DataVersion("v"))
        assert caught == []
        dg.Output(1, data_version=dg.DataVersion("v"))
    assert [each.category for each in caught] == [dg.BetaWarning]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, False),
        ({"dagster/partition": "a"}, True),
        ({RANGE_START: "a", RANGE_END: "b"}, True),
    ],
)
def test_a_check_knows_whether_its_run_names_partitions(tags, expected):
    asked: list[bool] = []
    check = checking(lambda context: asked.append(names_partitions(context)))
    job = dg.define_asset_job("job", selection=dg.AssetSelection.all_asset_checks())
    defs = dg.Definitions(assets=[up], asset_checks=[check], jobs=[job])
    defs.resolve_job_def("job").execute_in_process(tags=tags, raise_on_error=False)
    assert asked == [expected]


@pytest.mark.parametrize("summed", [True, False])
def test_a_run_without_partitions_takes_an_evaluation_and_no_result(bench, summed):
    with preview_features():

        @dg.multi_asset_check(
            specs=[dg.AssetCheckSpec("verdict", asset=UP, blocking=True, partitions_def=PARTS)],
            can_subset=True,
        )
        def verdict():
            result = dg.AssetCheckResult(asset_key=UP, check_name="verdict", passed=True)
            yield sum_of_partitions(result, blocking=True) if summed else result

    job = dg.define_asset_job("job", selection=dg.AssetSelection.all_asset_checks())
    defs = dg.Definitions(assets=[up], asset_checks=[verdict], jobs=[job])
    assert bench.run(up, span=("a", "b")).success
    result = defs.resolve_job_def("job").execute_in_process(
        instance=bench.instance, raise_on_error=False
    )
    assert result.success is summed
    assert [each.passed for each in result.get_asset_check_evaluations()] == [True] * summed
