"""What the project relies on inside Dagster: an upgrade that changes it fails here."""

from __future__ import annotations

import os
from collections.abc import Iterator

import dagster as dg
import psutil
import pytest

from geo_assets.dagster_internals import PROCESS_TAG, free_dead_slots, process_tags

POOL = "heavy"


@pytest.fixture
def instance(tmp_path) -> Iterator[dg.DagsterInstance]:
    overrides = {"concurrency": {"pools": {"default_limit": 1}}, "telemetry": {"enabled": False}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=overrides) as made:
        yield made


def holding_run(instance: dg.DagsterInstance, **options) -> dg.DagsterRun:
    """A run that holds the one slot of the pool."""
    run = instance.create_run_for_job(
        dg.job(name="some")(lambda: None), status=dg.DagsterRunStatus.STARTED, **options
    )
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(POOL)
    assert storage.claim_concurrency_slot(POOL, run.run_id, "step").is_claimed
    return run


def claimable(instance: dg.DagsterInstance) -> bool:
    status = instance.event_log_storage.claim_concurrency_slot(POOL, "new", "step")
    return bool(status.is_claimed)


def dead_process_tags() -> dict[str, str]:
    """The tags of a run whose process was killed."""
    process = psutil.Popen(["sleep", "60"])
    machine = process_tags()[PROCESS_TAG].split("/")[0]
    tag = f"{machine}/{process.pid}/{process.create_time():.2f}"
    process.kill()
    process.wait()
    return {PROCESS_TAG: tag}


def test_a_killed_run_gives_its_slot_back_and_is_failed(instance):
    run = holding_run(instance, tags=dead_process_tags())
    assert free_dead_slots(instance) == [run.run_id]
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert claimable(instance)
    assert free_dead_slots(instance) == []


def test_a_pid_that_another_process_got_is_a_dead_run(instance):
    machine, pid, _ = process_tags()[PROCESS_TAG].split("/")
    holding_run(instance, tags={PROCESS_TAG: f"{machine}/{pid}/1.00"})
    assert len(free_dead_slots(instance)) == 1


@pytest.mark.parametrize(
    "tags",
    [
        process_tags(),
        {},
        {PROCESS_TAG: f"another-machine/{os.getpid()}/1.00"},
    ],
    ids=["alive", "unknown", "elsewhere"],
)
def test_a_run_that_may_be_alive_keeps_its_slot(instance, tags):
    run = holding_run(instance, tags=tags)
    assert free_dead_slots(instance) == []
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED
    assert not claimable(instance)


def test_a_retry_is_not_judged_by_the_process_of_the_run_that_it_repeats(instance):
    dead = dead_process_tags()
    parent = instance.create_run_for_job(dg.job(name="some")(lambda: None), tags=dead)
    holding_run(instance, tags=dead, parent_run_id=parent.run_id, root_run_id=parent.run_id)
    assert free_dead_slots(instance) == []


def test_a_run_that_has_ended_holds_nothing(instance):
    run = holding_run(instance)
    instance.report_run_canceled(run)
    assert free_dead_slots(instance) == [run.run_id]
    assert claimable(instance)
