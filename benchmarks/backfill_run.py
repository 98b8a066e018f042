"""What happens inside the process of a measured run; prints one line of JSON.

    python benchmarks/backfill_run.py <asset> <times>

The run is executed as a run worker does it: nobody collects its events in memory.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RANGE = "dagster/asset_partition_range_"
SAMPLE_S = 0.25


class Memory:
    """The resident size of this process over time, MiB."""

    def __init__(self) -> None:
        self.sizes: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._end.wait(SAMPLE_S):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.sizes.append(pages * page / 2**20)

    def quarters(self) -> list[float]:
        """The largest size in each quarter of the time."""
        self._end.set()
        self._thread.join()
        size = max(1, len(self.sizes) // 4)
        return [max(self.sizes[at * size : (at + 1) * size] or [0.0]) for at in range(4)]


def run(name: str) -> dict[str, Any]:
    """One range run over all partitions."""
    import dagster as dg
    from dagster._core.definitions.job_base import InMemoryJob
    from dagster._core.execution.api import execute_run_iterator

    from benchmarks import backfill_defs as code

    key = dg.AssetKey(["bench", name])
    keys = code.PARTITIONS.get_partition_keys()
    defs = code.ours_defs if name == "ours" else code.plain_defs
    whole = defs.resolve_implicit_global_asset_job_def()
    job = whole.get_subset(asset_selection={key})
    with dg.DagsterInstance.get() as instance:
        begin = time.perf_counter()
        config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        if name != "ours":  # whose definitions say so already
            config["execution"] = {"config": {"in_process": {}}}
        made = instance.create_run_for_job(
            job, run_config=config, asset_selection=frozenset({key}),
            tags={f"{RANGE}start": keys[0], f"{RANGE}end": keys[-1]},
        )  # fmt: skip
        planned, cpu, memory = time.perf_counter() - begin, time.process_time(), Memory()
        steps, failed = {}, ""
        for event in execute_run_iterator(InMemoryJob(job), made, instance):
            if event.is_step_success:
                steps[event.step_key] = event.step_success_data.duration_ms / 1000
            if event.is_failure:
                failed += f"{event.message} {event.event_specific_data}"
        cpu = time.process_time() - cpu
        record = instance.get_run_record_by_id(made.run_id)
        assert record.dagster_run.is_success, failed[:3000]
        asset = steps.pop("bench__ours" if name == "ours" else f"bench__{name}")
        seen = instance.fetch_observations(key, limit=1).records if name == "ours" else []
        costs = seen[0].asset_observation.metadata if seen else {}
        return {
            "run_id": made.run_id, "planned_s": planned,
            "run_s": record.end_time - record.start_time,
            "asset_s": asset, "checks_s": sum(steps.values()), "cpu_s": cpu,
            "kernels_cpu_s": costs["geo_assets/cpu_s"].value if costs else 0.0,
            "quarters_mib": memory.quarters(),
        }  # fmt: skip


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    results = [run(sys.argv[1]) for _ in range(int(sys.argv[2]))]
    print(json.dumps(results))
