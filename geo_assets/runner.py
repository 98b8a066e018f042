"""Runs a selection of assets in this process, on the instance that the UI shows."""

from __future__ import annotations

import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
_POLL_S = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended."""

    run_id: str
    success: bool
    seconds: float
    checks: tuple[dg.AssetCheckEvaluation, ...]
    errors: tuple[str, ...]


def run_assets(
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    keys: Sequence[dg.AssetKey],
    *,
    partitions: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _line: None,
) -> RunReport:
    """Materialize `keys` and run their checks as one run.

    `partitions` are contiguous in their definition; the run covers the range from the first to
    the last. `tell` gets a line for each thing that was made, checked or failed, as it happens.
    """
    started = time.monotonic()
    run_id = str(uuid.uuid4())
    tags = {RANGE_START: partitions[0], RANGE_END: partitions[-1]} if len(partitions) > 1 else {}
    with _narrated(instance, run_id, tell), warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=list(keys),
            partition_key=partitions[0] if len(partitions) == 1 else None,
            tags=tags,
            run_id=run_id,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    return RunReport(
        run_id=run_id,
        success=result.success,
        seconds=time.monotonic() - started,
        checks=tuple(result.get_asset_check_evaluations()),
        errors=tuple(_errors(result)),
    )


@contextmanager
def _narrated(
    instance: dg.DagsterInstance, run_id: str, tell: Callable[[str], None]
) -> Iterator[None]:
    """Tell what happens in the run while it happens, by following its event log."""
    ended = threading.Event()

    def follow() -> None:
        cursor: str | None = None
        while True:
            last_round = ended.wait(_POLL_S)
            records = instance.get_records_for_run(run_id, cursor=cursor)
            cursor = records.cursor
            for record in records.records:
                line = _line(record.event_log_entry)
                if line:
                    tell(line)
            if last_round and not records.has_more:
                return

    thread = threading.Thread(target=follow, name="geo-assets-narrator", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _line(entry: dg.EventLogEntry) -> str | None:
    event = entry.dagster_event
    if event is None:
        return f"    {entry.user_message}" if int(entry.level) == _INFO else None
    if event.is_step_materialization:
        made = event.step_materialization_data.materialization
        name = made.asset_key.to_user_string() + (f"[{made.partition}]" if made.partition else "")
        how = made.metadata.get("geo_assets/outcome")
        return f"  made     {name}{_current(how)}"
    if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        place = f"[{check.partition}]" if check.partition else ""
        verdict = "passed " if check.passed else "FOUND  "
        return f"  {verdict}  {check.check_name} of {check.asset_key.to_user_string()}{place}" + (
            "" if check.passed else f": {check.description}"
        )
    if event.is_step_failure:
        return f"  FAILED   {event.step_key}: {_first_line(event)}"
    return None


_INFO = 20


def _current(how: dg.MetadataValue | None) -> str:
    return " (already current)" if how is not None and "current" in str(how.value) else ""


def _first_line(event: dg.DagsterEvent) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else "failed"


def _errors(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.all_events:
        if event.is_step_failure:
            yield f"{event.step_key}: {_first_line(event)}"
