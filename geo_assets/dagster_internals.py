"""Everything here relies on Dagster's internals; nothing else in the project does.

Each function says which behaviour it needs and why the public API does not give it;
`geo_assets_tests/test_dagster_internals.py` holds a test of each, which fails when an upgrade of
Dagster changes it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.data_version import (
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    get_input_data_version_tag,
)
from dagster._core.definitions.metadata.metadata_value import MetadataValue
from dagster._core.execution.plan.execute_step import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.errors import DagsterExecutionInterruptedError

Interrupted = DagsterExecutionInterruptedError
"""What Dagster raises when a run is terminated; a cancelled asset must end with it."""


def version_tags(version: str, inputs: Mapping[dg.AssetKey, str]) -> dict[str, str]:
    """The tags that tell Dagster a partition's data version and those of its inputs.

    Dagster writes them for outputs, with one version for all partitions of a step; events per
    partition have to bring their own.
    """
    tags = {DATA_VERSION_TAG: version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
    return tags | {get_input_data_version_tag(key): value for key, value in inputs.items()}


def silent_output_metadata() -> dict[str, Any]:
    """Metadata of an output for which Dagster records no materialization event.

    A step that has reported every partition by itself still has to yield its output, or Dagster
    skips everything downstream; without this, each partition would be recorded twice.
    """
    return {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: MetadataValue.bool(True)}


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
) -> None:
    """Record a check's verdict on one partition of a run that covers several.

    Dagster gives the result that a check yields a partition only in runs of one partition, and
    drops evaluations that do not say which materialization they are of.
    """
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    records = context.instance.fetch_materializations(wanted, limit=1).records
    target = AssetCheckEvaluationTargetMaterializationData(
        storage_id=records[0].storage_id,
        run_id=records[0].run_id,
        timestamp=records[0].timestamp,
    ) if records else None
    context.op_execution_context.log_event(
        dg.AssetCheckEvaluation(
            asset_key=asset,
            check_name=name,
            passed=passed,
            severity=severity,
            description=description,
            metadata=dict(metadata),
            partition=partition,
            target_materialization_data=target,
        )
    )


@contextmanager
def preview_features() -> Iterator[None]:
    """Declare things that Dagster still marks as preview or beta, without a warning to users.

    Checks with partitions and backfill policies are; the versions that work are pinned.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield
