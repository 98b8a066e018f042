"""Spatial joins, GeoParquet in, GeoParquet out: ours against geopandas, SedonaDB and DuckDB.

    python benchmarks/join.py [--job points|scale|polygons|all] [--points N] [--zones N]
        [--rounds 3] [--left FILE --right FILE] [--peers ours,sedonadb,...]
        [--peers-python PYTHON] [--patience SECONDS] [--no-save]

`measure.py` says how it is measured. Data is made here, from a fixed seed: points and small
polygons lie where a Zipf law puts cities, zones are a coverage with fractal edges. SedonaDB and
DuckDB are not dependencies: install them elsewhere and name that Python.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import conditions, interleave, save, table

HERE = Path(__file__).resolve()
PEERS = ("ours", "geopandas", "sedonadb", "duckdb")
CRS = "EPSG:32633"
NOTE = """\
Ours writes one file for each chunk, as the asset publishes them; its peers write one file.

Where the time goes in the join of a million small polygons: 1.8 s to prepare the zones once (0.7 to
read them, tell from their bytes that they are valid, and list their edges; 1.1 for the label grid
of 4.8 million edges), 1.3 s to place the boxes in the grid, 0.3 s for the edges of the 40 % of the
polygons that lie at a border (GEOS is asked about none of them), 1.1 s to read, copy and write
rows, and the rest for processes, imports, and two workers that share a cache. That was profiled at
6.5 s of CPU in all."""


# ------------------------------------------------------------------------------------ the peers


def ours(left: Path, right: Path, out: Path) -> int:
    """The kernels, run by the engine in two workers."""
    from geo_assets.engine.engine import Engine
    from geo_assets.kernels.join import join_index_kernel, join_kernel
    from geo_assets.kernels.join_plan import chunk_bytes, index_bytes, plan_join
    from geo_assets.kernels.join_spec import JoinIndexSpec, JoinRule, JoinSide
    from geo_assets.model import Chunk
    from geo_assets.settings import Settings

    async def run() -> int:
        rule, sides = JoinRule(crs=CRS), (JoinSide(path=left), JoinSide(path=right))
        scratch = out.parent / "scratch"
        settings = Settings(scratch=scratch, workers=2, memory_bytes=2 << 30)
        async with Engine.open(settings) as engine:
            spec = JoinIndexSpec(left=sides[0], right=sides[1], rule=rule)
            index = await engine.run(Chunk(id="index", kernel=join_index_kernel, spec=spec,
                                           predicted_bytes=index_bytes(spec)),
                                     engine.scratch)  # fmt: skip
            plan = plan_join(*sides, rule, index.files[0].path.parent)
            chunks = (Chunk(id=f"c{s.number}", kernel=join_kernel, spec=s,
                            predicted_bytes=chunk_bytes(s)) for s in plan)  # fmt: skip

            async def stage(_chunk, result):
                for file in result.files:
                    file.path.replace(out / file.name)
                return result.facts["rows"]

            rows = 0
            async for done in engine.stream(chunks, stage=stage):
                if hasattr(done, "error"):
                    raise done.error
                rows += done.value
            return rows

    out.mkdir()
    return asyncio.run(run())


def geopandas(left: Path, right: Path, out: Path) -> int:
    import geopandas as gpd

    pairs = gpd.sjoin(gpd.read_parquet(left), gpd.read_parquet(right))
    pairs.to_parquet(out)
    return len(pairs)


SQL = """SELECT l.*, r.id AS id_right, r.name, r.area_m2
FROM l JOIN r ON ST_Intersects(l.geometry, r.geometry)"""


def sedonadb(left: Path, right: Path, out: Path) -> int:
    import sedonadb as package

    db = package.connect()
    db.read_parquet(str(left)).to_view("l")
    db.read_parquet(str(right)).to_view("r")
    db.sql(SQL).to_parquet(str(out))
    return db.read_parquet(str(out)).count()


def duckdb(left: Path, right: Path, out: Path) -> int:
    import duckdb as package

    db = package.connect()
    db.sql("INSTALL spatial; LOAD spatial; SET threads = 2")
    db.sql(f"CREATE VIEW l AS FROM read_parquet('{left}')")
    db.sql(f"CREATE VIEW r AS FROM read_parquet('{right}')")
    db.sql(f"COPY ({SQL}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
    return db.sql(f"SELECT count(*) FROM '{out}'").fetchone()[0]


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


def missing(peer: str, python: str) -> str:
    """Why a peer cannot run; nothing if it can."""
    tries = {"duckdb": "import duckdb; duckdb.sql('INSTALL spatial; LOAD spatial')"}
    command = [python, "-c", tries.get(peer, f"import {peer}" if peer != "ours" else "")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stderr.strip().splitlines()[-1] if ended.returncode else ""


def run_job(args: argparse.Namespace, job: str, folder: Path) -> str:
    sizes = {"points": (10_000_000, 10_000), "scale": (50_000_000, 10_000),
             "polygons": (1_000_000, 50_000)}  # fmt: skip
    number, zones = args.points or sizes[job][0], args.zones or sizes[job][1]
    left, right = args.left or folder / f"{job}.parquet", args.right or folder / f"{job}-z.parquet"
    if not args.left:
        make_left(left, number, polygons=job == "polygons")
    if not args.right:
        make_zones(right, zones)
    asked = ["ours"] if job == "scale" else args.peers.split(",")
    pythons = dict.fromkeys(("sedonadb", "duckdb"), args.peers_python)
    why = {peer: missing(peer, pythons.get(peer, sys.executable)) for peer in asked}
    peers = {peer: [peer, str(left), str(right)] for peer in asked if not why[peer]}
    rounds = 1 if job == "scale" else args.rounds
    costs = interleave(HERE, peers, rounds, patience_s=args.patience, pythons=pythons)
    import pyarrow.parquet as pq

    rows, places = (pq.read_metadata(path).num_rows for path in (left, right))
    kind = "small polygons" if job == "polygons" else "points"
    title = f"{rows:,} {kind} x {places:,} zones, intersects, {rounds} rounds"
    text = table(title, costs, next((peer for peer in peers if peer != "ours"), "ours"))
    left_out = [f"| {peer} | not run: {reason} |" for peer, reason in why.items() if reason]
    return "\n".join([text, *left_out])


def run(peer: str, left: Path, right: Path) -> None:
    """One run of one peer, in a process of its own; prints how many rows it wrote."""
    with tempfile.TemporaryDirectory() as name:
        rows = globals()[peer](left, right, Path(name) / "out.parquet")
    print(f"{rows:,} rows")


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        peer, *paths = sys.argv[2:]
        run(peer, *map(Path, paths))
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
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for quiet")
    parser.add_argument("--no-save", action="store_true")
    args = parser.parse_args()
    sections = []
    for job in ["points", "scale", "polygons"] if args.job == "all" else [args.job]:
        with tempfile.TemporaryDirectory() as name:
            sections.append(run_job(args, job, Path(name)))
    print("\n\n".join(sections))
    if not args.no_save:
        told = [*sections, conditions(args.patience), NOTE]
        save("join", "Spatial join (`benchmarks/join.py`)", told)


if __name__ == "__main__":
    main()
