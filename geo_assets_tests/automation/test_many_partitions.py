"""A run of many partitions: each ends by itself, and Dagster knows how each ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_aws.s3 import S3Resource
from dagster_graphql.test.utils import execute_dagster_graphql

from geo_assets.instance import POSTGRES_URL
from geo_assets.partitions import RANGE_END, RANGE_START
from geo_assets.resources import GeoEngine, GeoStore
from geo_assets.runner import _peak_of
from geo_assets.settings import Settings
from geo_assets_tests.automation import small_defs
from geo_assets_tests.automation.small_defs import KEYS, PARTITIONS

SUBSET = "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS"
STORAGE = {"custom": {"module": "geo_assets.instance", "class": "Storage"}}
CHECKS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { partitionStatuses {
    ... on AssetCheckDefaultPartitionStatuses {
      succeeded: succeededPartitions failed: failedPartitions skipped: skippedPartitions
      broken: executionFailedPartitions running: inProgressPartitions } } } } } } } }"""


class Project:
    """The small code location on a root and an instance of its own."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root = root
        self.instance = instance
        (root / "source").mkdir(parents=True)
        for key in KEYS:
            self.write(key, f"text of {key}")

    def write(self, key: str, text: str) -> None:
        (self.root / "source" / key).write_text(text)

    def resources(self) -> dict:
        s3 = S3Resource()
        store = GeoStore(root=str(self.root / "store"), source=str(self.root / "source"), s3=s3)
        settings = Settings(scratch=self.root / "scratch", workers=2)
        return dict(small_defs.defs.resources or {}) | {
            "geo_store": store, "geo_engine": GeoEngine.from_settings(settings),
        }  # fmt: skip

    def run(self, first: str = KEYS[0], last: str = KEYS[-1]) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [small_defs.texts, small_defs.checks],
            instance=self.instance,
            resources=self.resources(),
            tags={RANGE_START: first, RANGE_END: last},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def states(self) -> tuple[list[str], list[str]]:
        """Materialized and failed partitions, as the UI shows them."""
        cache = get_and_update_asset_status_cache_value(
            self.instance, small_defs.texts.key, PARTITIONS
        )
        made = cache.deserialize_materialized_partition_subsets(PARTITIONS)
        failed = cache.deserialize_failed_partition_subsets(PARTITIONS)
        return sorted(made.get_partition_keys()), sorted(failed.get_partition_keys())

    def verdicts(self) -> dict[str, list[str]]:
        """Partitions by what the UI shows of their check."""
        origin = InProcessCodeLocationOrigin(
            LoadableTargetOrigin(executable_path=sys.executable, module_name=small_defs.__name__)
        )
        target = InProcessWorkspaceLoadTarget(origin)
        with WorkspaceProcessContext(self.instance, target) as process:
            answer = execute_dagster_graphql(
                process.create_request_context(),
                CHECKS,
                {"key": {"path": small_defs.texts.key.path}},
            )
        (check,) = answer.data["assetNodeOrError"]["assetChecksOrError"]["checks"]
        return {what: sorted(keys) for what, keys in check["partitionStatuses"].items() if keys}


@pytest.fixture(params=["", "1"], ids=["planned-one-by-one", "planned-as-subset"])
def project(request, tmp_path, monkeypatch):
    monkeypatch.setenv(SUBSET, request.param)
    monkeypatch.delenv(POSTGRES_URL, raising=False)
    home = str(_made(tmp_path / "home"))
    with dg.instance_for_test(temp_dir=home, overrides={"storage": STORAGE}) as instance:
        yield Project(tmp_path, instance)


@pytest.fixture
def quick(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield Project(tmp_path, instance)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.filterwarnings("ignore:.*environment_vars.*:DeprecationWarning")
def test_a_poisoned_partition_fails_alone_and_a_rerun_does_only_it(project):
    bad = KEYS[3]
    project.write(bad, "poison")
    (project.root / "source" / KEYS[6]).unlink()
    result = project.run()
    assert not result.success
    others = [key for key in KEYS if key not in (bad, KEYS[6])]
    assert project.states() == (others, [bad, KEYS[6]])
    assert project.verdicts() == {"succeeded": others, "broken": [bad, KEYS[6]]}
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    told = failure.step_failure_data.user_failure_data.description
    assert told.splitlines()[0].startswith(f"{bad}: A text is harmless")
    assert told.splitlines()[1].startswith(f"{KEYS[6]}: A text is there")

    project.write(bad, "antidote")
    project.write(KEYS[6], "found again")
    result = project.run()
    assert result.success
    assert project.states() == (KEYS, [])
    outcomes = {
        event.materialization.partition: event.materialization.metadata["geo_assets/outcome"].value
        for event in result.get_asset_materialization_events()
    }
    assert {key for key, how in outcomes.items() if how == "made"} == {bad, KEYS[6]}
    assert len(outcomes) == len(KEYS)
    assert project.verdicts() == {"succeeded": KEYS}


@pytest.mark.filterwarnings("ignore:.*environment_vars.*:DeprecationWarning")
def test_a_range_of_one_partition_tells_what_became_of_it(project):
    assert project.run(KEYS[1], KEYS[1]).success
    assert project.states() == (KEYS[1:2], [])
    assert project.verdicts() == {"succeeded": KEYS[1:2]}


def test_each_partition_has_its_own_event_metadata_and_tags(quick):
    result = quick.run()
    assert result.success
    assert max(map(_peak_of, result.all_events)) > 20 << 20
    records = quick.instance.fetch_materializations(small_defs.texts.key, limit=100).records
    events = {record.partition_key: record.asset_materialization for record in records}
    assert sorted(events) == KEYS
    versions = {event.metadata["geo_assets/version"].value for event in events.values()}
    assert len(versions) == len(KEYS)
    for event in events.values():
        assert event.tags["dagster/data_version"] == event.metadata["geo_assets/version"].value
        costs = {key: value.value for key, value in event.metadata.items()}
        assert costs["geo_assets/chunks_done"] == 1
        assert 0 <= costs["geo_assets/cpu_s"] < 1
        assert costs["geo_assets/bytes_written"] > costs["geo_assets/bytes_out"] > 0
        assert "geo_assets/retries" not in costs
        assert "geo_assets/loop_lag_max_ms" not in costs
    (total,) = quick.instance.fetch_observations(small_defs.texts.key, limit=100).records
    numbers = total.asset_observation.metadata
    assert numbers["geo_assets/chunks_done"].value == len(KEYS)
    assert numbers["geo_assets/loop_lag_max_ms"].value > 0
    assert numbers["geo_assets/worker_rss_peak_bytes"].value > 0
    assert "longest p0" in numbers["timeline"].value
    checks = quick.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(small_defs.texts.key, "readable"), limit=100
    )
    assert {check.event.dagster_event.asset_check_evaluation_data.partition for check in checks
            if check.event and check.status.value == "SUCCEEDED"} >= set(KEYS)  # fmt: skip


def test_nothing_is_observed_where_everything_is_current(quick):
    quick.run(KEYS[0], KEYS[1])
    quick.run(KEYS[0], KEYS[1])
    assert len(quick.instance.fetch_observations(small_defs.texts.key, limit=9).records) == 1


def test_nothing_is_kept_of_partitions_that_are_done(quick):
    quick.run()
    assert list((quick.root / "scratch").rglob("text.txt")) == []


def test_termination_keeps_what_is_committed_and_reports_it(quick, monkeypatch):
    monkeypatch.setattr(small_defs, "SECONDS", 1.0)
    ended: list[float] = []

    def stop_when_some_are_committed() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if len(list((quick.root / "store").rglob("000000000001.json"))) >= 2:
                break
            time.sleep(0.05)
        ended.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=stop_when_some_are_committed)
    thread.start()
    with pytest.raises(BaseException) as raised:
        result = quick.run()
        raise KeyboardInterrupt(result.success)
    thread.join()
    assert time.monotonic() - ended[0] < 5
    assert not isinstance(raised.value, AssertionError)
    committed = {
        path.parent.parent.name for path in (quick.root / "store").rglob("000000000001.json")
    }
    made, _ = quick.states()
    assert set(made) == committed
    assert 2 <= len(made) < len(KEYS)
