"""Everything here relies on Dagster's internals; nothing else in the project does.

Each function says which behaviour it needs and why the public API does not give it;
`geo_assets_tests` holds a test of each, in `test_dagster_internals.py`, which fails when an upgrade
of Dagster changes it.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.metadata.metadata_value import MetadataValue
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEvent,
    StepMaterializationData,
)
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from geo_assets.dead_runs import PROCESS_TAG, free_dead_slots, process_tags

__all__ = ["PROCESS_TAG", "free_dead_slots", "process_tags"]

_RECORDS_AT_ONCE = 500

Interrupted = DagsterExecutionInterruptedError
"""What Dagster raises when a run is terminated; a cancelled asset must end with it."""


@dataclass(frozen=True, slots=True)
class VersionTags:
    """The tags that tell Dagster the data version of a partition and those of its inputs.

    Dagster writes them for outputs, with one version for all partitions of a step; events per
    partition have to bring their own. Without all of them it compares times, and every no-op
    upstream makes what is downstream stale.
    """

    run_id: str
    newest: Mapping[dg.AssetKey, Mapping[str, int]]
    """Of each upstream asset, the storage id of the newest materialization by partition."""

    @classmethod
    def of(cls, context: dg.AssetExecutionContext) -> VersionTags:
        """Those of a step with several partitions; one query for each upstream asset."""
        keys = set(context.partition_keys)
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        find = context.instance.get_latest_storage_id_by_partition
        deps = context.assets_def.asset_deps[context.asset_key]
        newest = {dep: find(dep, kind, keys) for dep in deps}
        return cls(run_id=context.run.run_id, newest=newest)

    def of_partition(self, version: str, inputs: Mapping[str, str]) -> dict[str, str]:
        """The tags of one partition.

        Args:
            version: Its data version.
            inputs: The version of each input by its label: `raw/scenes[2026-01-03]`.
        """
        tags = {
            DATA_VERSION_TAG: version,
            DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
            CODE_VERSION_TAG: self.run_id,  # what Dagster takes where code has no version
        }
        for label, input_version in inputs.items():
            name, _, partition = label.removesuffix("]").partition("[")
            key = dg.AssetKey(name.split("/"))
            pointer = self.newest.get(key, {}).get(partition)
            tags[get_input_data_version_tag(key)] = input_version
            tags[get_input_event_pointer_tag(key)] = str(pointer or NULL_EVENT_POINTER)
        return tags


def silent_output_metadata() -> dict[str, Any]:
    """Metadata of an output for which Dagster records no materialization event.

    A step that has reported every partition by itself still has to yield its output, or Dagster
    skips everything downstream; without this, each partition would be recorded twice.
    """
    return {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: MetadataValue.bool(True)}


class PartitionLog:
    """Records what became of single partitions of one step, many at a time.

    Dagster stores an event that an asset yields at once and by itself, while the event loop
    stands still: with a thousand partitions the database sets the pace. Here events are made
    without being stored, and stored together, in a thread if the caller likes.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._step = context.get_step_execution_context()
        self._instance = context.instance
        storage: Any = self._instance.event_log_storage
        subsets = "supports_partition_subset_in_asset_materialization_planned_events"
        self._subsets = bool(getattr(storage, subsets))

    def made(self, materialization: dg.AssetMaterialization) -> dg.EventLogEntry:
        """The entry of a partition that was made."""
        return self._entry(self._event(materialization))

    def failed(self, partition: str) -> dg.EventLogEntry | None:
        """The entry that makes a partition count as failed when the run has failed.

        A failed run has failed those partitions that it had planned and not made. With
        `DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS` one event plans them all, and Dagster
        does not look into it for this; without, there is an event for each already.
        """
        if not self._subsets:
            return None
        planned = AssetMaterializationPlannedData(
            self._context.asset_key, partition=partition, partitions_subset=None
        )
        event = DagsterEvent.build_asset_materialization_planned_event(
            self._context.job_name, self._step.step.key, planned
        )
        return self._entry(event)

    def store(self, entries: Sequence[dg.EventLogEntry]) -> None:
        """Write entries; blocks. May be called from any one thread at a time."""
        # Postgres writes a batch at once if its events are all of one type.
        for _, same in groupby(entries, key=lambda entry: entry.dagster_event_type):
            self._instance.event_log_storage.store_event_batch(list(same))

    def echo(self, materialization: dg.AssetMaterialization) -> None:
        """Hand an event to whoever executes this step in his own process, without storing it."""
        self._context.op_execution_context._events.append(self._event(materialization))  # noqa: SLF001

    def _event(self, materialization: dg.AssetMaterialization) -> DagsterEvent:
        step = self._step
        return DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name=step.job_name,
            step_handle=step.step.handle,
            node_handle=step.step.node_handle,
            step_kind_value=step.step.kind.value,
            logging_tags=step.event_tags,
            event_specific_data=StepMaterializationData(materialization),
            message="Materialized value.",
            pid=os.getpid(),
        )

    def _entry(self, event: DagsterEvent) -> dg.EventLogEntry:
        make: Any = dg.EventLogEntry
        entry: dg.EventLogEntry = make(
            error_info=None,
            level=logging.DEBUG,
            user_message="",
            run_id=self._context.run.run_id,
            timestamp=time.time(),
            step_key=self._step.step.key,
            job_name=self._context.job_name,
            dagster_event=event,
        )
        return entry


def failed_partitions(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: dg.PartitionsDefinition[Any]
) -> set[str]:
    """The partitions whose last run failed before they were made, as the UI shows them.

    The public API tells of materializations only.
    """
    cache = get_and_update_asset_status_cache_value(instance, asset, partitions, instance)
    if cache is None:
        return set()
    return set(cache.deserialize_failed_partition_subsets(partitions).get_partition_keys())


def checked_materializations(
    context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, partitions: Sequence[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """The newest materialization of each partition, for `log_partition_check`; a few queries."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    find = context.instance.get_latest_storage_id_by_partition
    ids = sorted(find(asset, kind, set(partitions)).values())
    found = {}
    for start in range(0, len(ids), _RECORDS_AT_ONCE):
        wanted = dg.AssetRecordsFilter(
            asset_key=asset, storage_ids=ids[start : start + _RECORDS_AT_ONCE]
        )
        records = context.instance.fetch_materializations(wanted, limit=_RECORDS_AT_ONCE).records
        for record in records:
            found[str(record.partition_key)] = AssetCheckEvaluationTargetMaterializationData(
                storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
            )
    return found


def log_partition_check(
    context: dg.AssetCheckExecutionContext,
    *,
    asset: dg.AssetKey,
    name: str,
    partition: str,
    passed: bool,
    severity: dg.AssetCheckSeverity,
    description: str,
    metadata: Mapping[str, Any],
    targets: Mapping[str, AssetCheckEvaluationTargetMaterializationData] | None = None,
) -> None:
    """Record a check's verdict on one partition of a run that covers several.

    Dagster gives the result that a check yields a partition only in runs of one partition, and
    drops evaluations that do not say which materialization they are of: one of `targets`, which
    are looked up if the caller has not done so for all partitions together.
    """
    if targets is None:
        targets = checked_materializations(context, asset, [partition])
    evaluation: Any = dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=name,
        passed=passed,
        severity=severity,
        description=description,
        metadata=dict(metadata),
        partition=partition,
        target_materialization_data=targets.get(partition),
    )
    context.op_execution_context.log_event(evaluation)


def describe_output(context: dg.OutputContext, partition: str, metadata: Mapping[str, Any]) -> None:
    """Metadata of one partition of an output that spans several.

    `OutputContext.add_output_metadata` gives all partitions the same.
    """
    context.step_context.add_asset_metadata(metadata, context.asset_key, partition)


def version_output(context: dg.OutputContext, version: str) -> None:
    """Make `version` the data version of an output, unless its asset has given one.

    An I/O manager knows the content, but has no public way to say so; Dagster would make up
    a version from the run, and everything downstream would be stale after every run.
    """
    step = context.step_context
    if not step.has_data_version(context.asset_key):
        step.set_data_version(context.asset_key, dg.DataVersion(version))


@contextmanager
def preview_features() -> Iterator[None]:
    """Declare things that Dagster still marks as preview or beta, without a warning to users.

    Checks with partitions and backfill policies are; the versions that work are pinned.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield
