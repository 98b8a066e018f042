"""Runs whose process was killed: Dagster counts them as running, and keeps their slots for them."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import psutil

PROCESS_TAG = "geo_assets/process"
"""The tag of a run that names the process it runs in: machine, process id and start time."""

_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def process_tags() -> dict[str, str]:
    """Tags for a run that this process executes itself, so that `free_dead_slots` knows of it."""
    own = psutil.Process()
    return {PROCESS_TAG: f"{_machine()}/{own.pid}/{_started(own)}"}


def free_dead_slots(instance: dg.DagsterInstance) -> list[str]:
    """Give the pools back what runs hold that are over or whose process is dead.

    A process that is killed keeps its places in Dagster's pools, and only a daemon frees them,
    minutes after the run has ended; of a run without a launcher it never learns that it has. To
    be called before a run is executed in this process, which would wait for ever.

    A run is judged by the process in its tags (`process_tags`), on the machine that process is
    on; runs of other machines, or without the tag, are left alone while they have not ended.

    Returns:
        The ids of the runs that held something and are dead. Those that had not ended are
        reported as failed.
    """
    storage = instance.event_log_storage
    holders = list(storage.get_concurrency_run_ids())
    freed = []
    for run in instance.get_runs(dg.RunsFilter(run_ids=holders)) if holders else ():
        ended = run.status in _ENDED
        if not ended and not _is_dead(instance, run):
            continue
        if not ended:
            instance.report_run_failed(run, "The process of this run was killed.")
        storage.free_concurrency_slots_for_run(run.run_id)
        freed.append(run.run_id)
    return freed


def _is_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    tag = run.tags.get(PROCESS_TAG, "")
    machine, _, process = tag.partition("/")
    if machine != _machine():
        return False
    if run.parent_run_id is not None:
        # A retry inherits the tags of the run that it repeats, until it sets its own.
        parent = instance.get_run_by_id(run.parent_run_id)
        if parent is not None and parent.tags.get(PROCESS_TAG) == tag:
            return False
    pid, _, started = process.partition("/")
    try:
        return _started(psutil.Process(int(pid))) != started
    except psutil.NoSuchProcess:
        return True


def _machine() -> str:
    """One boot of one machine, and in it one namespace of process ids: what a pid is unique in."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        return f"{boot.read_text().strip()}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return f"{os.uname().nodename}-{psutil.boot_time():.0f}"


def _started(process: psutil.Process) -> str:
    """When a process started: a pid alone is given to another process one day."""
    return f"{process.create_time():.2f}"
