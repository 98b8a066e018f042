"""Backfills of small partitions: one run of ours, one run of a naive asset, one run per partition.

    python benchmarks/backfill.py [partitions]        the table, some five minutes
    python benchmarks/backfill.py --many [partitions] memory and event log of one large run

Each partition is one 256 x 256 px GeoTIFF. `ours` makes, commits, reports and checks each by
itself; `naive` writes all from one async asset with threads, and one failure loses them all;
`plain` is a run per partition, as a plain project does it (a few, extrapolated). Runs of ours are
on SQLite and on a PostgreSQL of their own (left out where there is none), the others on SQLite.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLAIN = 3
LONG_MS = 100
REST_S = 6.0
"""Before each run: ext4 is slow for five seconds after the files of the run before were deleted."""
LANES = "8"
INSTANCE = """
telemetry: {enabled: false}
storage: {custom: {module: geo_assets.instance, class: Storage}}
"""


@contextmanager
def home(partitions: int, *, postgres: bool, kernel_ms: int = 0) -> Iterator[dict[str, str]]:
    """The environment of a fresh instance and a fresh store."""
    from benchmarks.postgres import server

    time.sleep(REST_S)
    with tempfile.TemporaryDirectory(prefix="backfill-") as name:
        folder = Path(name)
        (folder / "home").mkdir()
        (folder / "home" / "dagster.yaml").write_text(INSTANCE)
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
            "DAGSTER_HOME": str(folder / "home"),
            "GEO_ASSETS_ROOT": str(folder / "store"),
            "GEO_ASSETS_SCRATCH": str(folder / "scratch"),
            "GEO_ASSETS_PARTITIONS": os.environ.get("GEO_ASSETS_PARTITIONS", LANES),
            "BENCH_PARTITIONS": str(partitions),
            "BENCH_KERNEL_MS": str(kernel_ms),
            "DAGSTER_EVENT_BATCH_SIZE": "500",
            "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
            "PYTHONPATH": str(ROOT),
        }
        env.pop("DAGSTER_POSTGRES_URL", None)
        if not postgres:
            yield env
            return
        with server() as url:
            yield env | {"DAGSTER_POSTGRES_URL": url}


def script(name: str, env: dict[str, str], *words: str) -> Any:
    """The line of JSON that a script prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(ROOT / "benchmarks" / name), *words],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    lines = [line for line in done.stdout.splitlines() if line.startswith(("[{", '{"'))]
    return json.loads(lines[-1])


def plain(partitions: int) -> float:
    """Seconds per partition of runs with the default executor."""
    with home(partitions, postgres=False) as env:
        begin = time.perf_counter()
        for number in range(PLAIN):
            subprocess.run(
                [Path(sys.executable).with_name("dagster"), "asset", "materialize",
                 "-f", str(ROOT / "benchmarks" / "backfill_defs.py"), "-a", "plain_defs",
                 "--select", "key:bench/plain", "--partition", f"t{number:05}"],
                env=env, capture_output=True, check=True, cwd=env["DAGSTER_HOME"],
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


def row(name: str, partitions: int, found: dict[str, Any], beyond_ms: float | None) -> str:
    """One line of the table; `beyond_ms` of kernels are not overhead."""
    rate, peak = partitions / found["run_s"] * 60, max(found["quarters_mib"])
    cpu = found["cpu_s"] / partitions * 1000
    over = "| "
    if beyond_ms is not None:
        over = " | ".join(
            f"{found[name] / partitions * 1000 - beyond_ms:.1f}" for name in ("asset_s", "run_s")
        )
    return (
        f"| {name} | {rate:,.0f} | {found['asset_s']:.1f} | {found['checks_s']:.1f} "
        f"| {over} | {cpu:.1f} | {peak:.0f} |"
    )


HEAD = (
    "| way | partitions/min, start to end | asset step, s | checks, s | overhead of each in the "
    "asset step, ms | in the whole run, ms | CPU of the run's process for each, ms | its peak, MiB "
    "|\n|---|---|---|---|---|---|---|---|"
)


def busy(found: dict[str, Any], partitions: int, cores: int) -> str:
    """How much of all cores kernels had, while they were made and over the whole run."""
    kernels, cpu = partitions * LONG_MS / 1000, found["kernels_cpu_s"]
    return (
        f"Kernels of {LONG_MS} ms, {partitions:,} partitions: they are at work on "
        f"{kernels / found['asset_s']:.2f} of {cores} CPUs during the asset's step, the start of "
        f"the workers included ({kernels / cores / found['asset_s']:.0%}; {cpu:.1f} s of CPU time "
        f"in {found['asset_s']:.1f} s), and on {kernels / found['run_s']:.2f} from run start to "
        f"run end ({kernels / cores / found['run_s']:.0%}), in which {found['checks_s']:.1f} s of "
        "checks follow."
    )


def table(partitions: int) -> list[str]:
    from benchmarks.postgres import initdb

    load, kernel = os.getloadavg()[0], kernel_ms()
    cores = len(os.sched_getaffinity(0))
    rows = [HEAD]
    for storage in ("PostgreSQL", "SQLite") if initdb() else ("SQLite",):
        with home(partitions, postgres=storage == "PostgreSQL") as env:
            made, again = script("backfill_run.py", env, "ours", "2")
        rows.append(row(f"ours, {storage}, with a check of each", partitions, made, kernel / cores))
        rows.append(row(f"ours, {storage}, all current already", partitions, again, 0.0))
    with home(partitions, postgres=False) as env:
        (naive,) = script("backfill_run.py", env, "naive", "1")
    rows.append(row("naive single run, SQLite, no checks", partitions, naive, None))
    rows.append(f"| one run per partition ({PLAIN} of them) | {60 / plain(20):,.1f} | | | | | | |")
    with home(partitions, postgres=bool(initdb()), kernel_ms=LONG_MS) as env:
        (long,) = script("backfill_run.py", env, "ours", "1")
    head = (
        f"{partitions:,} partitions, kernel {kernel:.1f} ms, {cores} CPUs, load {load:.1f} at the "
        f"start, {datetime.now(UTC):%Y-%m-%d}; `python benchmarks/backfill.py {partitions}`."
    )
    return [head, "\n".join(rows), busy(long, partitions, cores)]


def many(partitions: int) -> list[str]:
    """One large run: does its memory grow, and can its event log be used?"""
    from benchmarks.postgres import initdb

    with home(partitions, postgres=bool(initdb())) as env:
        (made,) = script("backfill_run.py", env, "ours", "1")
        workspace = Path(env["DAGSTER_HOME"]) / "workspace.yaml"
        target = {"python_module": {"module_name": "benchmarks.backfill_defs",
                                    "attribute": "ours_defs"}}  # fmt: skip
        workspace.write_text(json.dumps({"load_from": [target]}))
        times = script("backfill_queries.py", env, str(workspace), "bench/ours", made["run_id"])
    quarters = " / ".join(f"{size:.0f}" for size in made["quarters_mib"])
    storage = "PostgreSQL" if initdb() else "SQLite"
    head = (
        f"One run of {partitions:,} partitions with a check of each, {storage}, load "
        f"{os.getloadavg()[0]:.1f} at the end, {datetime.now(UTC):%Y-%m-%d}; "
        f"`python benchmarks/backfill.py --many {partitions}`. "
        f"{partitions / made['run_s'] * 60:,.0f} partitions/min from run start to run end; the run "
        f"is created in {made['planned_s']:.1f} s. "
        f"Largest size of the run's process in each quarter of the run: {quarters} MiB."
    )
    rows = ["| what the UI asks | first time, s | again, s |", "|---|---|---|"]
    rows += [f"| {name} | {first:.2f} | {again:.2f} |" for name, (first, again) in times.items()]
    return [head, "\n".join(rows)]


def main(words: list[str]) -> None:
    from benchmarks.measure import save

    if words[:1] == ["--many"]:
        sections = many(int((words[1:] or ["10000"])[0]))
        save("backfill-many", "One large run", sections)
    else:
        sections = table(int((words or ["1000"])[0]))
        save("backfill", "Backfill", sections)
    print("\n\n".join(sections))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(sys.argv[1:])
