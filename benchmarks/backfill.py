"""Backfills of small partitions: one run of ours, one run of a naive asset, one run per partition.

    python benchmarks/backfill.py [partitions]

Each partition is one 256 x 256 px GeoTIFF. `ours` makes, commits, reports and checks each by
itself; `naive` writes all from one async asset with threads, and one failure loses them all;
`plain` is a run per partition, as a plain project does it (a few, extrapolated). All use SQLite
under a fresh `DAGSTER_HOME`, or the database of the `dagster.yaml` that `BENCH_INSTANCE` names.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLAIN = 3
RANGE = "dagster/asset_partition_range_"


def environment(folder: Path, partitions: int) -> dict[str, str]:
    home = folder / "home"
    home.mkdir(parents=True)
    given = os.environ.get("BENCH_INSTANCE")
    config = Path(given).read_text() if given else "telemetry: {enabled: false}\n"
    (home / "dagster.yaml").write_text(config)
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
        "DAGSTER_HOME": str(home),
        "GEO_ASSETS_ROOT": str(folder / "store"),
        "GEO_ASSETS_SCRATCH": str(folder / "scratch"),
        "GEO_ASSETS_PARTITIONS": os.environ.get("GEO_ASSETS_PARTITIONS", "8"),
        "BENCH_PARTITIONS": str(partitions),
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
        "PYTHONPATH": str(ROOT),
    }


def measured(name: str, partitions: int) -> str:
    """One range run in a process of its own; the line that it prints."""
    with tempfile.TemporaryDirectory(prefix="backfill-") as folder:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, "--run", name],
            env=environment(Path(folder), partitions), capture_output=True, text=True, check=True,
        )  # fmt: skip
    return done.stdout.strip().splitlines()[-1]


def run(name: str) -> None:
    """Inside that process: seconds from run start to run end, CPU, memory."""
    import resource

    import dagster as dg

    from benchmarks import backfill_defs as code

    keys = code.PARTITIONS.get_partition_keys()
    defs = code.ours_defs if name == "ours" else code.plain_defs
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.get() as instance:
        for _ in range(2 if name == "ours" else 1):  # the second finds everything current
            begin, cpu = time.perf_counter(), time.process_time()
            result = job.execute_in_process(
                instance=instance, asset_selection=[dg.AssetKey(["bench", name])],
                tags={f"{RANGE}start": keys[0], f"{RANGE}end": keys[-1]},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )  # fmt: skip
            assert result.success
            wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
            record = instance.get_run_record_by_id(result.run_id)
            inner = record.end_time - record.start_time
            step = next(event for event in result.all_events if event.is_step_success)
            asset_s = step.step_success_data.duration_ms / 1000
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{wall:.2f} {inner:.2f} {asset_s:.2f} {cpu:.2f} {peak:.0f}", end=" ")
    print()


def plain(partitions: int) -> float:
    """Seconds per partition of runs with the default executor."""
    with tempfile.TemporaryDirectory(prefix="backfill-") as folder:
        env = environment(Path(folder), partitions)
        begin = time.perf_counter()
        for number in range(PLAIN):
            subprocess.run(
                [Path(sys.executable).with_name("dagster"), "asset", "materialize",
                 "-f", str(ROOT / "benchmarks" / "backfill_defs.py"), "-a", "plain_defs",
                 "--select", "key:bench/plain", "--partition", f"t{number:05}"],
                env=env, capture_output=True, check=True, cwd=folder,
            )  # fmt: skip
        return (time.perf_counter() - begin) / PLAIN


def kernel_ms() -> float:
    from benchmarks.backfill_kernel import write_tile

    with tempfile.TemporaryDirectory() as folder:
        write_tile(Path(folder) / "warm.tif", "warm")
        begin = time.perf_counter()
        for number in range(50):
            write_tile(Path(folder) / "tile.tif", f"t{number:05}")
        return (time.perf_counter() - begin) / 50 * 1000


def main() -> None:
    from benchmarks.measure import save

    partitions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    load = os.getloadavg()[0]
    kernel = kernel_ms()
    ours = list(map(float, measured("ours", partitions).split()))
    naive = list(map(float, measured("naive", partitions).split()))
    alone = plain(partitions)
    made, again = ours[:5], ours[5:]
    cores = len(os.sched_getaffinity(0))
    overhead = made[2] / partitions * 1000 - kernel / cores
    rows = [
        ("ours, with a check of each", partitions / made[1] * 60, made[2], made[3], made[4]),
        ("ours, all current already", partitions / again[1] * 60, again[2], again[3], again[4]),
        ("naive single run, no checks", partitions / naive[1] * 60, naive[2], naive[3], naive[4]),
        (f"one run per partition ({PLAIN} of them)", 60 / alone, float("nan"), float("nan"),
         float("nan")),
    ]  # fmt: skip
    cpu_ms = made[3] / partitions * 1000
    table = "\n".join(
        f"| {name} | {rate:,.0f} | "
        + " | ".join("" if math.isnan(value) else f"{value:,.1f}" for value in rest)
        + " |"
        for name, rate, *rest in rows
    )
    section = f"""{partitions} partitions, kernel {kernel:.1f} ms, {cores} CPUs, load {load:.1f} at
the start, {datetime.now(UTC):%Y-%m-%d}; `python benchmarks/backfill.py {partitions}`.

| way | partitions/min, start to end | asset step, s | CPU of the process, s | its peak, MiB |
|---|---|---|---|---|
{table}

Overhead of ours beyond the kernels (on {cores} CPUs): {overhead:.1f} ms per partition in the
asset's step. CPU of the run's process: {cpu_ms:.1f} ms, checks and events included."""
    save("backfill", "Backfill", [section])
    print(section)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--run"]:
        run(sys.argv[2])
    else:
        main()
