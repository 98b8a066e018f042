"""What the UI asks for after a run of many partitions, timed; prints one line of JSON.

    python benchmarks/backfill_queries.py <workspace.yaml> <asset key with slashes> [run id]

Each query is asked twice, through Dagster's GraphQL schema with a code server behind it, as the
webserver does; the first answer fills its caches.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

STATUS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numMaterialized numPartitions numFailed }
  assetPartitionStatuses { __typename
    ... on DefaultPartitionStatuses { materializedPartitions failedPartitions }
    ... on TimePartitionStatuses { ranges { status startKey endKey } } } } } }"""
KEYS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeysByDimension { partitionKeys } } } }"""
EVENTS = """query($run: ID!, $after: String) { logsForRun(runId: $run, afterCursor: $after,
  limit: 1000) { ... on EventConnection { events { __typename ... on MessageEvent {
  message timestamp level stepKey } } cursor hasMore } } }"""
ONE = """query($key: AssetKeyInput!, $part: [String!]) { assetNodeOrError(assetKey: $key) {
  ... on AssetNode { assetMaterializations(partitions: $part, limit: 1) {
  metadataEntries { label } } } } }"""
CHECKS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name } } } } } }"""


def ask(workspace: str, asset: str, run: str | None) -> dict[str, list[float]]:
    """Seconds of both answers by query."""
    import dagster as dg
    from dagster._core.workspace.load import load_workspace_process_context_from_yaml_paths
    from dagster_graphql.test.utils import execute_dagster_graphql

    key = {"path": asset.split("/")}
    queries: dict[str, tuple[str, dict[str, Any]]] = {
        "partition status of the asset": (STATUS, {"key": key}),
        "all partition keys": (KEYS, {"key": key}),
        "checks of the asset": (CHECKS, {"key": key}),
    }
    if run:
        queries["first 1,000 events of the run"] = (EVENTS, {"run": run, "after": None})
        queries["one partition's materialization"] = (ONE, {"key": key, "part": ["t00007"]})
    times: dict[str, list[float]] = {}
    with (
        dg.DagsterInstance.get() as instance,
        load_workspace_process_context_from_yaml_paths(instance, [workspace]) as process,
    ):
        for name, (query, variables) in queries.items():
            for _ in range(2):
                begin = time.perf_counter()
                result = execute_dagster_graphql(process.create_request_context(), query, variables)
                times.setdefault(name, []).append(time.perf_counter() - begin)
            assert result.data and all(result.data.values()), (name, result.errors, result.data)
    return times


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1], sys.argv[2], (sys.argv[3:] or [None])[0])))
