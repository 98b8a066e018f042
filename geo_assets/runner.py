"""Runs assets or checks in this process, on the instance that the UI shows, and tells of it."""

from __future__ import annotations

import logging
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import dagster as dg

from geo_assets.dagster_internals import Interrupted, free_dead_slots, process_tags
from geo_assets.partitions import RANGE_END, RANGE_START, THOROUGH_TAG, checked_in

PARTITION = "dagster/partition"
MEMORY_PEAK = "geo_assets/memory_peak_bytes"
OUTCOME = "geo_assets/outcome"
CHUNKS = "geo_assets/chunks"
CHECKS_JOB = "checks_of_what_is_committed"

INTERRUPTED = "interrupted; the next run goes on with what is not finished"

_POLL_S = 0.3
_PATIENCE = 10
"""Failed looks at the event log, one after another, that are too many once the run has ended."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing that happened in a run."""

    kind: Literal["began", "made", "checked", "failed", "ended"]
    step: str
    """What people read: `core/events`, or `checks of core/events`."""
    partition: str | None = None
    asset: str = ""
    """The asset that is made or checked, as a path."""
    check: str = ""
    passed: bool = True
    text: str = ""
    """The verdict of a check, or why a step failed."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """The numeric metadata of what was made."""
    current: bool = False
    """Nothing had to be done."""


Tell: TypeAlias = Callable[[News], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended."""

    run_id: str
    success: bool
    seconds: float
    checks: tuple[dg.AssetCheckEvaluation, ...]
    errors: tuple[str, ...]
    failed: tuple[str, ...] = ()
    """Assets whose step, or a blocking check of which, failed."""
    made: int = 0
    """Versions published."""
    current: int = 0
    """Partitions that were current already."""
    peak_bytes: int = 0
    """Memory of all processes together at its highest, as far as it was measured."""


def run_assets(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    keys: Sequence[dg.AssetKey],
    *,
    partitions: Sequence[str] = (),
    tell: Tell = lambda _news: None,
) -> RunReport:
    """Materialize `keys` and run their checks as one run.

    `partitions` are contiguous in their definition; the run covers the range from the first to
    the last. `tell` hears of each thing that was made, checked or failed, as it happens.

    Raises:
        KeyboardInterrupt: A signal ended the run, which has cleaned up.
    """
    job = defs.resolve_implicit_global_asset_job_def()
    return _execute(job, instance, partitions, tell, asset_selection=list(keys))


def run_checks(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    checks: Sequence[dg.AssetCheckKey],
    *,
    partitions: Sequence[str] = (),
    thorough: bool = True,
    tell: Tell = lambda _news: None,
) -> RunReport:
    """Run checks on what is committed, as one run that makes nothing; see `run_assets`.

    A thorough run reads every byte, also of objects of which no check needs the content.
    """
    job = dg.define_asset_job(CHECKS_JOB, selection=dg.AssetSelection.checks(*checks))
    with_job = dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
    tags = {THOROUGH_TAG: "true"} if thorough else {}
    return _execute(with_job.resolve_job_def(CHECKS_JOB), instance, partitions, tell, tags=tags)


def _execute(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    partitions: Sequence[str],
    tell: Tell,
    *,
    tags: Mapping[str, str] | None = None,
    **selection: Any,
) -> RunReport:
    started = time.monotonic()
    run_id = str(uuid.uuid4())
    free_dead_slots(instance)
    with _narrated(instance, run_id, tell), warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        result = job.execute_in_process(
            instance=instance,
            tags=process_tags() | _partition_tags(partitions) | dict(tags or {}),
            run_id=run_id,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
            **selection,
        )
    if any(_was_interrupted(event) for event in result.all_events):
        _count_as_canceled(instance, run_id)
        raise KeyboardInterrupt
    news = [item for event in result.all_events if (item := _news(event))]
    made = [item for item in news if item.kind == "made"]
    failed = [item for item in news if item.kind == "failed"]
    return RunReport(
        run_id=run_id,
        success=result.success,
        seconds=time.monotonic() - started,
        checks=tuple(result.get_asset_check_evaluations()),
        errors=tuple(f"{item.step}: {item.text}" for item in failed),
        failed=tuple(item.asset for item in failed),
        made=sum(not item.current for item in made),
        current=sum(item.current for item in made),
        peak_bytes=max((_peak_of(event) for event in result.all_events), default=0),
    )


def _peak_of(event: dg.DagsterEvent) -> int:
    """The memory that an event tells of: a step of many partitions observes its asset."""
    match event.event_type:
        case dg.DagsterEventType.ASSET_MATERIALIZATION:
            metadata = event.step_materialization_data.materialization.metadata
        case dg.DagsterEventType.ASSET_OBSERVATION:
            metadata = event.asset_observation_data.asset_observation.metadata
        case _:
            return 0
    peak = metadata.get(MEMORY_PEAK)
    return 0 if peak is None else int(str(peak.value))


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    """Whether the run ended by a signal: Dagster takes it for itself and returns normally."""
    if event.event_type == dg.DagsterEventType.PIPELINE_CANCELED:
        return True
    if event.event_type != dg.DagsterEventType.PIPELINE_FAILURE:
        return False
    error = event.job_failure_data.error
    return error is not None and error.cls_name in (Interrupted.__name__, "KeyboardInterrupt")


def _count_as_canceled(instance: dg.DagsterInstance, run_id: str) -> None:
    """Also where the signal came while no step was at work; see `geo_assets.interruption`."""
    run = instance.get_run_by_id(run_id)
    if run is not None and run.status == dg.DagsterRunStatus.FAILURE:
        instance.report_run_canceled(run, "A signal ended the run.")


def _partition_tags(partitions: Sequence[str]) -> dict[str, str]:
    if not partitions:
        return {}
    if len(partitions) == 1:
        return {PARTITION: partitions[0]}
    return {RANGE_START: partitions[0], RANGE_END: partitions[-1]}


@contextmanager
def _narrated(instance: dg.DagsterInstance, run_id: str, tell: Tell) -> Iterator[None]:
    """Tell what happens in the run while it happens, by following its event log."""
    ended = threading.Event()
    thread = threading.Thread(
        target=_follow, args=(instance, run_id, tell, ended), name="geo-narrator", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=_POLL_S * _PATIENCE * 4)


def _follow(instance: dg.DagsterInstance, run_id: str, tell: Tell, ended: threading.Event) -> None:
    """Tell every event of the run; a log that cannot be read for a while is waited for."""
    cursor: str | None = None
    failures = 0
    while failures < _PATIENCE or not ended.is_set():
        last_round = ended.wait(_POLL_S)
        try:
            page = instance.get_records_for_run(run_id, cursor=cursor)
        except Exception as error:  # noqa: BLE001 - telling must never harm the run
            failures += 1
            _log.debug("the event log cannot be read: %s", error)
            time.sleep(_POLL_S)
            continue
        failures, cursor = 0, page.cursor
        for record in page.records:
            event = record.event_log_entry.dagster_event
            news = _news(event) if event is not None else None
            if news is not None and not _told(tell, news):
                return
        if last_round and not page.has_more:
            return


def _told(tell: Tell, news: News) -> bool:
    try:
        tell(news)
    except Exception as error:  # noqa: BLE001 - such as a closed terminal
        _log.debug("nobody listens any more: %s", error)
        return False
    return True


def _news(event: dg.DagsterEvent) -> News | None:
    key = event.step_key or ""
    checked = checked_in(key)
    asset = checked or key.replace("__", "/")
    step = f"checks of {asset}" if checked else asset
    match event.event_type:
        case dg.DagsterEventType.STEP_START:
            return News(kind="began", step=step, asset=asset)
        case dg.DagsterEventType.STEP_SUCCESS:
            return News(kind="ended", step=step)
        case dg.DagsterEventType.ASSET_MATERIALIZATION:
            return _made(step, event.step_materialization_data.materialization)
        case dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            return News(kind="checked", step=step, partition=check.partition,
                        asset=check.asset_key.to_user_string(), check=check.check_name,
                        passed=check.passed, text=check.description or "")  # fmt: skip
        case dg.DagsterEventType.STEP_FAILURE:
            return News(kind="failed", step=step, asset=asset, text=_reason(event))
        case dg.DagsterEventType.PIPELINE_FAILURE if not _was_interrupted(event):
            # A step that failed has told its error already.
            failure = event.job_failure_data
            error = failure.error
            if error is not None and failure.first_step_failure_event is None:
                return News(kind="failed", step=event.job_name, text=error.message.strip())
    return None


def _made(step: str, made: dg.AssetMaterialization) -> News:
    numbers = {
        key: entry.value
        for key, entry in made.metadata.items()
        if isinstance(entry.value, int | float)
    }
    how = made.metadata.get(OUTCOME)
    current = how is not None and "current" in str(how.value)
    return News(kind="made", step=step, partition=made.partition, numbers=numbers, current=current)


def _reason(event: dg.DagsterEvent) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    text = error.message.strip() if error else "failed"
    return INTERRUPTED if "interrupted by SIG" in text else text
