"""Zonal statistics of a scene: ours against exactextract itself.

    python benchmarks/zonal.py SCENE.tif ZONES.parquet [--key id] [--statistics mean,max]
        [--rounds 3]

Both read the scene and the zones and write a Parquet table of one row for each zone. Ours runs in
the engine, in two workers; exactextract in one process, as it comes. The answer is a hash of all
statistics: it must be the same.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
import tempfile
from pathlib import Path

from measure import conditions, interleave, save, table

HERE = Path(__file__).resolve()
STATISTICS = "count,mean,min,max,stdev,majority"


def ours(scene: Path, zones: Path, key: str, statistics: list[str], out: Path) -> None:
    from geo_assets.engine.engine import Engine
    from geo_assets.kernels.zonal import (
        ZonalPlan,
        compute_zones,
        merge_zones,
        plan_zones,
        predicted_bytes,
        zonal_chunks,
        zonal_table,
    )
    from geo_assets.model import Chunk
    from geo_assets.settings import Settings

    async def run() -> None:
        settings = Settings(scratch=out / "scratch", workers=2, memory_bytes=2 << 30)
        plan = ZonalPlan(rasters=(scene,), zones=zones, statistics=tuple(statistics))
        preload = (
            "numpy",
            "pyarrow",
            "pyarrow.parquet",
            "shapely",
            "pyproj",
            "rasterio",
            "exactextract",
            "pandas",
        )
        async with Engine.open(settings, preload=preload) as engine:
            planned = await engine.run(
                Chunk(id="plan", kernel=plan_zones, spec=plan, predicted_bytes=256 << 20),
                engine.scratch,
            )
            specs = zonal_chunks(plan, planned.facts)
            folders = [out / str(number) for number in range(len(specs))]
            chunks = [
                Chunk(id=str(number), kernel=compute_zones, spec=spec,
                      predicted_bytes=predicted_bytes(spec))
                for number, spec in enumerate(specs)
            ]  # fmt: skip

            async def stage(chunk, result):
                (out / chunk.id).mkdir()
                for file in result.files:
                    file.path.replace(out / chunk.id / file.name)

            async for done in engine.stream(chunks, stage=stage):
                if hasattr(done, "error"):
                    raise done.error
            merge = zonal_table(plan, planned.facts, key, folders)
            merged = await engine.run(
                Chunk(id="merge", kernel=merge_zones, spec=merge, predicted_bytes=256 << 20),
                engine.scratch,
            )
            merged.files[0].path.replace(out / "statistics.parquet")

    asyncio.run(run())


def exactextract(scene: Path, zones: Path, key: str, statistics: list[str], out: Path) -> None:
    import exactextract
    import geopandas as gpd

    frame = gpd.read_parquet(zones)[[key, "geometry"]]
    result = exactextract.exact_extract(
        str(scene), frame, statistics, include_cols=[key], output="pandas"
    )
    result.to_parquet(out / "statistics.parquet")


def answer(path: Path, statistics: list[str]) -> str:
    import numpy as np
    import pyarrow.parquet as pq

    digest = hashlib.sha256()
    for column in pq.read_table(path, columns=statistics).columns:
        digest.update(column.to_numpy().astype(np.float64).tobytes())
    return f"{column.length():,} zones, {digest.hexdigest()[:8]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", choices=["ours", "exactextract"], help=argparse.SUPPRESS)
    parser.add_argument("scene", type=Path)
    parser.add_argument("zones", type=Path)
    parser.add_argument("--key", default="id")
    parser.add_argument("--statistics", default=STATISTICS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for quiet")
    parser.add_argument("--no-save", action="store_true")
    args = parser.parse_args()
    statistics = args.statistics.split(",")
    if args.run:
        with tempfile.TemporaryDirectory() as name:
            globals()[args.run](args.scene, args.zones, args.key, statistics, Path(name))
            print(answer(Path(name) / "statistics.parquet", statistics))
        return
    words = [str(args.scene), str(args.zones), "--key", args.key, "--statistics", args.statistics]
    peers = {name: [name, *words] for name in ("exactextract", "ours")}
    costs = interleave(HERE, peers, args.rounds, patience_s=args.patience)
    import rasterio

    with rasterio.open(args.scene) as file:
        title = f"{file.width} x {file.height} pixels, {args.statistics}, {args.rounds} rounds"
    section = table(title, costs, "exactextract")
    print(section)
    if not args.no_save:
        save(
            "zonal",
            "Zonal statistics (`benchmarks/zonal.py`)",
            [section, conditions(args.patience)],
        )


if __name__ == "__main__":
    sys.exit(main())
