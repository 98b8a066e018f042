"""Spatial joins, GeoParquet in, GeoParquet out: ours against geopandas, SedonaDB and DuckDB.

    python benchmarks/join.py [--job points|scale|polygons|all] [--points N] [--zones N]
        [--rounds 3] [--left FILE --right FILE] [--peers ours,sedonadb,...]
        [--peers-python PYTHON] [--no-save]

Each run is a process tree of its own. CPU is user and system time of all its processes; memory is
the highest sum of their proportional set sizes, sampled. Peers take turns within a round, and the
median of the rounds counts, because the machine is shared. Data is made here, from a fixed seed:
points and small polygons lie where a Zipf law puts cities, zones are a coverage with fractal edges.
SedonaDB and DuckDB are not dependencies: install them elsewhere and name that Python.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve()
RESULTS = HERE.parent / "RESULTS.md"
START, END = "<!-- join:start -->", "<!-- join:end -->"
PEERS = ("ours", "geopandas", "sedonadb", "duckdb")
CRS = "EPSG:32633"
SUBREAPER = 36  # prctl: orphans of the trees come to us, so that nothing is left uncounted


# ------------------------------------------------------------------------------------ the peers


def ours(left: Path, right: Path, out: Path) -> None:
    """The kernels, run by the engine in two workers."""
    from geo_assets.engine.engine import Engine
    from geo_assets.kernels.join import join_index_kernel, join_kernel
    from geo_assets.kernels.join_plan import chunk_bytes, index_bytes, plan_join
    from geo_assets.kernels.join_spec import JoinIndexSpec, JoinRule, JoinSide
    from geo_assets.model import Chunk
    from geo_assets.settings import Settings

    async def run() -> None:
        rule, sides = JoinRule(crs=CRS), (JoinSide(path=left), JoinSide(path=right))
        scratch = out.parent / "scratch"
        settings = Settings(scratch=scratch, workers=2, memory_bytes=2 << 30)
        preload = ("numpy", "pyproj", "shapely", "pyarrow", "pyarrow.parquet")
        async with Engine.open(settings, preload=preload) as engine:
            spec = JoinIndexSpec(left=sides[0], right=sides[1], rule=rule)
            index = await engine.run(Chunk(id="index", kernel=join_index_kernel, spec=spec,
                                           predicted_bytes=index_bytes(spec)))  # fmt: skip
            plan = plan_join(*sides, rule, index.files[0].path.parent)
            chunks = (Chunk(id=f"c{s.number}", kernel=join_kernel, spec=s,
                            predicted_bytes=chunk_bytes(s)) for s in plan)  # fmt: skip

            async def stage(_chunk, result):
                for file in result.files:
                    file.path.replace(out / file.name)

            async for done in engine.stream(chunks, stage=stage):
                if hasattr(done, "error"):
                    raise done.error

    out.mkdir()
    asyncio.run(run())


def geopandas(left: Path, right: Path, out: Path) -> None:
    import geopandas as gpd

    pairs = gpd.sjoin(gpd.read_parquet(left), gpd.read_parquet(right))
    pairs.to_parquet(out)


SQL = """SELECT l.*, r.id AS id_right, r.name, r.area_m2
FROM l JOIN r ON ST_Intersects(l.geometry, r.geometry)"""


def sedonadb(left: Path, right: Path, out: Path) -> None:
    import sedonadb as package

    db = package.connect()
    db.read_parquet(str(left)).to_view("l")
    db.read_parquet(str(right)).to_view("r")
    db.sql(SQL).to_parquet(str(out))


def duckdb(left: Path, right: Path, out: Path) -> None:
    import duckdb as package

    db = package.connect()
    db.sql("INSTALL spatial; LOAD spatial; SET threads = 2")
    db.sql(f"CREATE VIEW l AS FROM read_parquet('{left}')")
    db.sql(f"CREATE VIEW r AS FROM read_parquet('{right}')")
    db.sql(f"COPY ({SQL}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")


# ------------------------------------------------------------------------------------ measuring


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    wall_s: float
    cpu_s: float
    peak_mib: float
    rows: int
    error: str = ""


def measure(peer: str, python: str, left: Path, right: Path, folder: Path) -> Cost:
    out = folder / "out.parquet"
    command = [python, str(HERE), "--run", peer, str(left), str(right), str(out)]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    begin = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=env)
    watch = threading.Event()
    peak = [0.0]
    sampler = threading.Thread(target=sample, args=(watch, peak))
    sampler.start()
    error = process.stderr.read().decode().strip().splitlines()
    cpu, status = reap(process.pid)
    wall = time.perf_counter() - begin
    watch.set()
    sampler.join()
    rows = 0 if status else count(out)
    shutil.rmtree(folder)
    folder.mkdir()
    return Cost(wall_s=wall, cpu_s=cpu, peak_mib=peak[0], rows=rows,
                error=error[-1] if status and error else "failed" if status else "")  # fmt: skip


def reap(main: int) -> tuple[float, int]:
    """CPU seconds of the whole tree and the exit status of its main process."""
    cpu, status = 0.0, 0
    while True:
        try:
            pid, code, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return cpu, status
        cpu += usage.ru_utime + usage.ru_stime
        if pid == main:
            status = code


def sample(stop: threading.Event, peak: list[float]) -> None:
    import psutil

    me = psutil.Process()
    while not stop.wait(0.1):
        total = 0
        for child in me.children(recursive=True):
            try:
                text = Path(f"/proc/{child.pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in text.splitlines()
                         if line.startswith("Pss:"))  # fmt: skip
        peak[0] = max(peak[0], total / 1024)


def count(out: Path) -> int:
    import pyarrow.parquet as pq

    files = sorted(out.glob("*.parquet")) if out.is_dir() else [out]
    return sum(pq.read_metadata(file).num_rows for file in files)


# ------------------------------------------------------------------------------------ data


def make_zones(path: Path, number: int) -> None:
    import geopandas as gpd
    import numpy as np
    import shapely

    from geo_assets.demo.borders import draw_borders
    from geo_assets.demo.rings import polygons, returned

    borders = draw_borders(world(), number)
    shapes = returned(polygons(borders.ring_site, borders.ring_lines()))
    ids = np.arange(len(shapes))
    gpd.GeoDataFrame(
        {"id": ids, "name": [f"zone {i:06d}" for i in ids], "area_m2": shapely.area(shapes)},
        geometry=shapes,
        crs=CRS,
    ).to_parquet(path, write_covering_bbox=True, schema_version="1.1.0", row_group_size=1 << 16)


def make_left(path: Path, number: int, *, polygons: bool) -> None:
    """Points, or rectangles of 6 to 20 m that are turned in all directions."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyproj import Transformer

    geo = {"encoding": "WKB", "geometry_types": ["Polygon" if polygons else "Point"],
           "crs": Transformer.from_crs(CRS, CRS).source_crs.to_json_dict()}  # fmt: skip
    if polygons:
        geo["covering"] = {"bbox": {k: ["bbox", k] for k in ("xmin", "ymin", "xmax", "ymax")}}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geo}}
    writer = None
    for first in range(0, number, 1 << 20):
        rng = np.random.default_rng([7, first])
        n = min(1 << 20, number - first)
        xy = world().scatter(rng, n, rural=0.12)
        columns = {
            "id": pa.array(np.arange(first, first + n)),
            "kind": pa.array(np.array(["a", "b", "c", "d"])[rng.integers(0, 4, n)]),
            "value": pa.array(rng.lognormal(0, 1, n)),
        }
        corners = rectangles(rng, xy) if polygons else xy[:, None]
        columns["geometry"] = wkb(corners, polygons=polygons)
        if polygons:
            box = np.hstack([corners.min(axis=1), corners.max(axis=1)])
            names = ["xmin", "ymin", "xmax", "ymax"]
            columns["bbox"] = pa.StructArray.from_arrays([pa.array(c) for c in box.T], names)
        table = pa.table(columns)
        if writer is None:
            schema = table.schema.with_metadata({"geo": json.dumps(geo)})
            writer = pq.ParquetWriter(path, schema, compression="zstd")
        table = table.replace_schema_metadata(schema.metadata)
        writer.write_table(table, row_group_size=1 << 17)
    writer.close()


def world():
    from geo_assets.demo.world import World

    return World(seed=1, size_px=10980)


def rectangles(rng, xy):
    import numpy as np

    half = rng.uniform(3, 10, (len(xy), 2))
    angle = rng.random(len(xy)) * np.pi
    axis = np.stack([np.cos(angle), np.sin(angle)], axis=1) * half[:, :1]
    side = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * half[:, 1:]
    return np.stack([xy - axis - side, xy + axis - side, xy + axis + side, xy - axis + side,
                     xy - axis - side], axis=1)  # fmt: skip


def wkb(corners, *, polygons: bool):
    import numpy as np
    import pyarrow as pa

    head = [("order", "u1"), ("type", "<u4")]
    if polygons:
        head += [("rings", "<u4"), ("points", "<u4")]
    record = np.zeros(len(corners), [*head, ("xy", "<f8", corners.shape[1:])])
    record["order"], record["type"], record["xy"] = 1, 3 if polygons else 1, corners
    if polygons:
        record["rings"], record["points"] = 1, 5
    offsets = np.arange(len(corners) + 1, dtype=np.int32) * record.dtype.itemsize
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(record.tobytes())]
    return pa.Array.from_buffers(pa.binary(), len(corners), buffers)


# ------------------------------------------------------------------------------------ the report


def table(title: str, costs: dict[str, list[Cost]]) -> str:
    lines = [f"### {title}", "", "| | wall s | CPU s | peak MiB | rows |", "|---|---|---|---|---|"]
    for peer, runs in costs.items():
        if not runs or runs[0].error:
            lines.append(f"| {peer} | not run: {runs[0].error if runs else 'failed'} ||||")
            continue
        wall, cpu, peak = (statistics.median(getattr(run, name) for run in runs)
                           for name in ("wall_s", "cpu_s", "peak_mib"))  # fmt: skip
        lines.append(f"| {peer} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {runs[0].rows:,} |")
    return "\n".join(lines)


def save(sections: list[str]) -> None:
    body = "\n\n".join([START, "## Spatial join (`benchmarks/join.py`)", *sections, END])
    text = RESULTS.read_text() if RESULTS.exists() else "# What was measured\n"
    if START in text and END in text:
        text = text[: text.index(START)] + body + text[text.index(END) + len(END) :]
    else:
        text = text.rstrip() + "\n\n" + body + "\n"
    RESULTS.write_text(text)


def run_job(args: argparse.Namespace, job: str, folder: Path) -> str:
    sizes = {"points": (10_000_000, 10_000), "scale": (50_000_000, 10_000),
             "polygons": (1_000_000, 50_000)}  # fmt: skip
    number, zones = args.points or sizes[job][0], args.zones or sizes[job][1]
    left, right = args.left or folder / f"{job}.parquet", args.right or folder / f"{job}-z.parquet"
    if not args.left:
        make_left(left, number, polygons=job == "polygons")
    if not args.right:
        make_zones(right, zones)
    peers = ["ours"] if job == "scale" else args.peers.split(",")
    costs: dict[str, list[Cost]] = {peer: [] for peer in peers}
    work = folder / "work"
    work.mkdir(exist_ok=True)
    rounds = 1 if job == "scale" else args.rounds
    for turn in range(rounds):
        for peer, runs in costs.items():
            if turn and runs[0].error:
                continue
            python = args.peers_python if peer in ("sedonadb", "duckdb") else sys.executable
            runs.append(measure(peer, python, left, right, work))
            print(peer, runs[-1], file=sys.stderr)
    kind = "small polygons" if job == "polygons" else "points"
    title = f"{count(left):,} {kind} x {count(right):,} zones, intersects, {rounds} rounds"
    return table(title, costs)


def folder_of(parent: Path, job: str) -> Path:
    folder = parent / job
    folder.mkdir()
    return folder


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        peer, *paths = sys.argv[2:]
        globals()[peer](*map(Path, paths))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", choices=["points", "scale", "polygons", "all"], default="all")
    parser.add_argument("--points", type=int)
    parser.add_argument("--zones", type=int)
    parser.add_argument("--left", type=Path)
    parser.add_argument("--right", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--no-save", action="store_true")
    args = parser.parse_args()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    jobs = ["points", "scale", "polygons"] if args.job == "all" else [args.job]
    with tempfile.TemporaryDirectory() as name:
        sections = [run_job(args, job, folder_of(Path(name), job)) for job in jobs]
    print("\n\n".join(sections))
    if not args.no_save:
        save(sections)


if __name__ == "__main__":
    main()
