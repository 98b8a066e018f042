"""Assets with very many partitions: loading the definitions, and what the UI asks for.

    python benchmarks/partitions.py [partitions]     100,000: some two minutes

Every partition of a dynamic set was materialized once; the same for fixed keys. On a PostgreSQL of
its own, or on SQLite where there is none. Definitions are loaded in a process of their own, with
the libraries they import; the same definitions with ten partitions say what those cost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOAD = """
import time; begin = time.perf_counter()
from benchmarks import partitions_defs
partitions_defs.defs.get_repository_def().load_all_definitions()
print(round(time.perf_counter() - begin, 3))
"""
ASSETS = {"dynamic keys": "core/dynamic", "fixed keys": "core/fixed"}


def load_s(env: dict[str, str]) -> float:
    """Seconds to import and resolve the definitions."""
    command = [sys.executable, "-W", "ignore", "-c", LOAD]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=ROOT)
    return float(done.stdout.split()[-1])


def materialize(env: dict[str, str]) -> float:
    """Add the keys and one materialization of each; seconds."""
    begin = time.perf_counter()
    command = [sys.executable, "-W", "ignore", str(Path(__file__)), "--fill"]
    subprocess.run(command, env=env, check=True, cwd=ROOT)
    return time.perf_counter() - begin


def fill() -> None:
    """In a process with the instance's environment."""
    import dagster as dg
    from dagster._core.events import DagsterEvent, StepMaterializationData

    from benchmarks import partitions_defs as code
    from geo_assets.partition_log import EventWriter

    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    with dg.DagsterInstance.get() as instance:
        for start in range(0, len(code.KEYS), 5000):
            instance.add_dynamic_partitions(code.DYNAMIC.name, code.KEYS[start : start + 5000])
        writer = EventWriter(instance)
        for name in ASSETS.values():
            for start in range(0, len(code.KEYS), 5000):
                writer.store([
                    dg.EventLogEntry(
                        error_info=None, level=10, user_message="", run_id="", job_name="filled",
                        timestamp=time.time(), step_key=None,
                        dagster_event=DagsterEvent(
                            kind.value, "filled",
                            event_specific_data=StepMaterializationData(
                                dg.AssetMaterialization(name.split("/"), partition=key,
                                                        tags={"dagster/data_version": key})
                            ),
                        ),
                    )
                    for key in code.KEYS[start : start + 5000]
                ])  # fmt: skip


def measured(partitions: int) -> list[str]:
    from benchmarks.backfill import home, script
    from benchmarks.postgres import initdb

    few, many, load = [], [], os.getloadavg()[0]
    with home(partitions, postgres=bool(initdb())) as env:
        for _ in range(3):
            few.append(load_s({**env, "BENCH_PARTITIONS": "10"}))
            many.append(load_s(env))
        seconds = materialize(env)
        workspace = Path(env["DAGSTER_HOME"]) / "workspace.yaml"
        target = {"python_module": {"module_name": "benchmarks.partitions_defs",
                                    "working_directory": str(ROOT)}}  # fmt: skip
        workspace.write_text(json.dumps({"load_from": [target]}))
        times = {
            what: script("backfill_queries.py", env, str(workspace), asset)
            for what, asset in ASSETS.items()
        }
    storage = "PostgreSQL" if initdb() else "SQLite"
    head = (
        f"{partitions:,} partitions of each of two assets, one with dynamic and one with fixed "
        f"keys, all materialized ({seconds:.0f} s to write their events); {storage}, load "
        f"{load:.1f} at the start, {datetime.now(UTC):%Y-%m-%d}; "
        f"`python benchmarks/partitions.py {partitions}`. The definitions load in {min(many):.2f} "
        f"s, with 10 partitions in {min(few):.2f} s (best of three, imports included)."
    )
    rows = ["| what the UI asks | keys | first time, s | again, s |", "|---|---|---|---|"]
    for what, by_query in times.items():
        rows += [f"| {name} | {what} | {a:.2f} | {b:.2f} |" for name, (a, b) in by_query.items()]
    return [head, "\n".join(rows)]


def main(words: list[str]) -> None:
    from benchmarks.measure import save

    sections = measured(int((words or ["100000"])[0]))
    save("partitions", "Very many partitions", sections)
    print("\n\n".join(sections))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--fill"]:
        fill()
    else:
        main(sys.argv[1:])
