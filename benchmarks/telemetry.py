"""What it costs to see a job: telemetry, logs and pictures, switched on and off in turns.

    python benchmarks/telemetry.py [rounds] [--px N]

The job is the WorldCover example, one scene: fetched, drawn, cut into tiles, indexed, published.
`GEO_ASSETS_TEST_DATA` is the folder that holds `raster/worldcover_36000`; `--px 36000` takes the
whole tile, a smaller number its lower left corner. CPU is that of the run's process and all its
workers from the start of the run to its end; the share is the median of the differences within
rounds. Beside that the pieces are timed by themselves, because on a busy machine a few percent
drown in the noise of such differences.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import timeit
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TILE = "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"
SCENE = "2021_v200_N00E006"
MODES = {"all on": "on", "without pictures": "pictures", "all off": "off"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--px", type=int, default=36_000)
    parser.add_argument("--run", choices=list(MODES.values()))
    given = parser.parse_args()
    if given.run:
        print(json.dumps(run(given.run)))
        return
    with tempfile.TemporaryDirectory(prefix="telemetry-") as name:
        folder = Path(name)
        source(folder / "source", given.px)
        seen: dict[str, list[dict]] = {mode: [] for mode in MODES}
        for number in range(given.rounds):
            for mode, word in MODES.items():
                seen[mode].append(measured(folder / f"{number}-{word}", folder / "source", word))
                print(mode, seen[mode][-1], file=sys.stderr)
    save(seen, given.px)


def source(folder: Path, px: int) -> None:
    """The scene, or the corner of it."""
    import rasterio
    from rasterio.windows import Window

    folder.mkdir()
    whole = Path(os.environ["GEO_ASSETS_TEST_DATA"]) / "raster/worldcover_36000" / TILE
    target = folder / f"ESA_WorldCover_10m_{SCENE}_Map.tif"
    with rasterio.open(whole) as read:
        if px >= read.width:
            shutil.copyfile(whole, target)
            return
        window = Window(0, read.height - px, px, px)
        profile = read.profile | {
            "width": px, "height": px, "transform": read.window_transform(window),
        }  # fmt: skip
        with rasterio.open(target, "w", **profile) as written:
            written.write(read.read(1, window=window), 1)
            written.write_colormap(1, read.colormap(1))


def measured(folder: Path, source_folder: Path, mode: str) -> dict:
    """One run in a process of its own."""
    (folder / "home").mkdir(parents=True)
    (folder / "home/dagster.yaml").write_text("telemetry: {enabled: false}\n")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
        "DAGSTER_HOME": str(folder / "home"), "GEO_ASSETS_ROOT": str(folder / "store"),
        "GEO_ASSETS_SCRATCH": str(folder / "scratch"), "GEO_ASSETS_SOURCE": str(source_folder),
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [sys.executable, "-W", "ignore", __file__, "--run", mode]
    with (folder / "log").open("w") as log:
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=log, check=False)
    if done.returncode:
        raise SystemExit((folder / "log").read_text()[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def run(mode: str) -> dict:
    """Inside that process: both assets of the scene, and what they took."""
    import time

    import dagster as dg

    sys.path.insert(0, str(ROOT / "examples/worldcover"))
    switch(mode)
    import definitions

    defs = definitions.defs
    job = defs.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(["raw", "landcover"]), dg.AssetKey(["core", "landcover_tiles"])]
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("landcover", [SCENE])
        cpu, begin = spent(), time.perf_counter()
        result = job.execute_in_process(
            instance=instance, asset_selection=keys, tags={"dagster/partition": SCENE},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )  # fmt: skip
        wall = time.perf_counter() - begin
    events = [event.materialization for event in result.get_asset_materialization_events()]
    numbers = {key: value.value for event in events for key, value in event.metadata.items()}
    return {
        "cpu_s": round(spent() - cpu, 3), "wall_s": round(wall, 2),
        "p99_ms": max((value_of(event, "p99") for event in events), default=0),
        "max_ms": max((value_of(event, "max") for event in events), default=0),
        "tiles": numbers["geo_assets/tiles"],
    }  # fmt: skip


def value_of(event, name: str) -> float:
    value = event.metadata.get(f"geo_assets/loop_lag_{name}_ms")
    return value.value if value else 0.0


def spent() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def switch(mode: str) -> None:
    """Take out what the mode is without, before anything is made."""
    from geo_assets.assets import body, raster_tiles, tiles
    from geo_assets.engine import lag, log, telemetry
    from geo_assets.engine.trace import ChunkTrace

    if mode == "on":
        return
    body.costs = lambda measure: dict(measure.snapshot())
    raster_tiles._SceneInspection.picture = lambda *_: None  # noqa: SLF001
    tiles.coverage = lambda *_: ""
    if mode == "pictures":
        return

    @contextmanager
    def nothing(*_):
        yield ChunkTrace(chunk="")

    for name in ("count", "spent", "traffic", "peak", "memory", "chunk_cost"):
        setattr(telemetry.Telemetry, name, lambda *_: None)
    for name in ("timing", "waiting", "chunk"):
        setattr(telemetry.Telemetry, name, nothing)
    lag.LagSampler.start = lag.LagSampler.stop = lambda _: None
    log.configure("console", level="critical")


def pieces() -> list[tuple[str, float]]:
    """Name of a piece and its CPU in milliseconds."""
    import asyncio
    import time

    from geo_assets.assets.costs import costs
    from geo_assets.engine import log
    from geo_assets.engine.telemetry import Telemetry

    telemetry = Telemetry(2, 1 << 30)

    def chunk() -> None:
        with log.bind(run="r", asset="a", partition="p", chunk="c"), telemetry.chunk("c") as trace:
            for stage in ("fetch", "compute", "stage"):
                with telemetry.waiting(stage):
                    pass
                with telemetry.timing(stage):
                    telemetry.traffic(1, 1)
            telemetry.peak("chunk_peak", 1)
            trace.worker = "w1"

    async def sampled(seconds: float, *, on: bool) -> float:
        begin = time.process_time()
        if on:
            with telemetry.measure():
                await asyncio.sleep(seconds)
        else:
            await asyncio.sleep(seconds)
        return time.process_time() - begin

    def each(work, number: int) -> float:
        begin = time.process_time()
        timeit.timeit(work, number=number)
        return (time.process_time() - begin) / number * 1000

    with tempfile.TemporaryFile("w") as stream, telemetry.own():
        log.configure("json", stream)
        per_chunk = each(chunk, 2000)
    measure = telemetry.total
    standing = asyncio.run(sampled(5.0, on=True)) - asyncio.run(sampled(5.0, on=False))
    return [
        ("a chunk: counters, times, trace, one line of JSON log", per_chunk),
        ("a second of watching the loop's lag", standing / 5 * 1000),
        ("the metadata and two pictures of a step", each(lambda: costs(measure), 50)),
        ("the numbers of one partition among many", each(measure.snapshot, 2000)),
    ]


def save(seen: dict[str, list[dict]], px: int) -> None:
    from benchmarks.measure import save as written

    base = seen["all off"]
    lines = ["| | CPU s | more CPU than all off | wall s | loop lag p99, ms | loop lag max, ms |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for mode, runs in seen.items():
        share = statistics.median(
            run["cpu_s"] / other["cpu_s"] - 1 for run, other in zip(runs, base, strict=True)
        )
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        worst = max(run["max_ms"] for run in runs)
        lag = "| | |" if mode == "all off" else f"| {middle['p99_ms']:.1f} | {worst:.1f} |"
        lines.append(
            f"| {mode} | {middle['cpu_s']:.2f} | {share:+.1%} | {middle['wall_s']:.1f} {lag}"
        )
    told = ["| piece | CPU, ms |", "|---|---|"]
    told += [f"| {name} | {cost:.3f} |" for name, cost in pieces()]
    load = os.getloadavg()[0]
    head = (
        f"WorldCover, {px} x {px} px, {seen['all on'][0]['tiles']} tiles, {len(base)} rounds in "
        f"turns, {os.cpu_count()} CPUs, load {load:.1f} at the end, "
        f"{datetime.now(UTC):%Y-%m-%d}; `python benchmarks/telemetry.py {len(base)} --px {px}`. "
        "Medians; the lag's maximum is that of all rounds. The picture of the scene costs the same "
        "for a part as for the whole tile, and watching the lag costs wall time, which a busy "
        "machine makes more of: a part on such a machine shows the largest share."
    )
    written("telemetry", "What seeing costs", [head, "\n".join(lines), "\n".join(told)])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
