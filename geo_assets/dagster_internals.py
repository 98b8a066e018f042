"""Everything here relies on Dagster's internals; nothing else in the project does.

Each function says which behaviour it needs and why the public API does not give it;
`geo_assets_tests` holds a test of each, in `test_dagster_internals.py`, which fails when an upgrade
of Dagster changes it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from dagster._core.definitions.dependency import NodeHandle
from dagster._core.definitions.metadata.metadata_value import MetadataValue
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from geo_assets.dead_runs import PROCESS_TAG, free_dead_slots, process_tags
from geo_assets.partition_log import PartitionLog

__all__ = ["PROCESS_TAG", "PartitionLog", "free_dead_slots", "process_tags"]

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


def names_partitions(context: dg.AssetCheckExecutionContext) -> bool:
    """Whether the run of a check is of one partition or of a range of them.

    The context of a check has `partition_keys`, which raise when there are none, and no way to ask
    for a range.
    """
    run = context.op_execution_context
    return run.has_partition_key or run.has_partition_key_range


def sum_of_partitions(result: dg.AssetCheckResult, *, blocking: bool) -> dg.AssetCheckEvaluation:
    """A check's result over all partitions of an asset, for a run that names none.

    Of an `AssetCheckResult` Dagster looks up the materialization that was checked, and fails where
    the asset has partitions and the run has not; an evaluation is taken as it is.
    """
    assert result.asset_key is not None
    assert result.check_name is not None
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
        blocking=blocking,
    )


def chosen_checks(
    context: dg.AssetExecutionContext, asset: dg.AssetKey
) -> Iterator[tuple[Callable[..., Any], set[str]]]:
    """The functions of a run's check steps, and the names of the checks of `asset` they make.

    A context tells of its own step only.
    """
    job = context.op_execution_context.job_def
    for node in job.nodes:
        definition = job.asset_layer.get_assets_def_for_node(NodeHandle(node.name, None))
        keys = definition.check_keys if definition else ()
        names = {key.name for key in keys if key.asset_key == asset}
        function = getattr(getattr(node.definition, "compute_fn", None), "decorated_fn", None)
        if names and function is not None:
            yield function, names


def checked_materializations(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
    asset: dg.AssetKey,
    partitions: Sequence[str],
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """The newest materialization of each partition: what a verdict is of. A few queries, blocking.

    The public way to it reads every event whole, with all its metadata.
    """
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    find = context.instance.get_latest_storage_id_by_partition
    ids = sorted(find(asset, kind, set(partitions)).values())
    records: Any = []
    if ids:
        records = context.instance.get_asset_event_summary_records(kind, asset, storage_ids=ids)
    return {
        str(record.partition): AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for record in records
    }


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
