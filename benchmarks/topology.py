"""Topology of layers: ours against shapely in one process.

    python benchmarks/topology.py [--size 1000000 ...] [--polygons LAYER.parquet ...]
        [--coverage LAYER.parquet] [--gap-width 20] [--key id] [--rounds 3] [--patience 0]

Without layers it makes its own with `coverages.py`: polygons of 13 vertices, as many as each
`--size` says, for validity, and 50,000 of 97 for the coverage.

Validity: shapely reads the layer, asks `is_valid` and the reason of what is not. Coverage: it
asks `coverage_invalid_edges` of the valid features besides. Ours writes the whole report (shape
rules; for the coverage also overlaps, gaps, duplicates, unmatched edges, each located), in the
engine, in two workers, as the asset does. The answer of both is the number of invalid features;
for the coverage shapely adds the features it flags, which ours flags too, apart from duplicates.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import conditions, interleave, save, table

HERE = Path(__file__).resolve()
COVERAGE = (50_000, 97)
VERTICES = 13
NOTE = """Where the time goes. Ours pays about a second once, whatever the layer: imports, the
process that workers are forked from, the merge. A polygon of one ring is told to be valid from the
bytes of its WKB, thousands at a time, seen whole from the mean of its vertices (98 % of a million
Voronoi cells of 13 vertices with fractal borders) or by comparing its edges; only the others are
made into geometries, which GEOS is then asked about. Of what is left of the million
more than a third is Parquet. In the coverage, segments are paired by their coordinates first and
GEOS is asked about the few features near an unpaired one: that costs less than GEOS's own check of
the whole, and finds more."""


def ours(layer: Path, key: str, gap_width_m: float | None, out: Path) -> str:
    from geo_assets.engine.engine import Engine
    from geo_assets.kernels.topology import (
        TopologyPlan,
        merge_report,
        plan_topology,
        predicted_bytes,
        report_spec,
        topology_chunk,
        topology_chunks,
    )
    from geo_assets.model import Chunk
    from geo_assets.rules.topology import CoverageRules, TopologyRules
    from geo_assets.settings import Settings

    coverage = None if gap_width_m is None else CoverageRules(gap_width_m=gap_width_m)

    async def run() -> str:
        settings = Settings(scratch=out / "scratch", workers=2, memory_bytes=2 << 30)
        plan = TopologyPlan(layer=layer, rules=TopologyRules(coverage=coverage))
        async with Engine.open(settings) as engine:
            engine.warm()
            predicted = await asyncio.to_thread(predicted_bytes, plan)
            planned = await engine.run(Chunk(id="plan", kernel=plan_topology, spec=plan,
                                             predicted_bytes=predicted),
                                       engine.scratch)  # fmt: skip
            specs = topology_chunks(plan, planned.facts)
            folders = [out / str(number) for number in range(len(specs))]
            chunks = [
                Chunk(id=str(number), kernel=topology_chunk, spec=spec,
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
            spec = report_spec(plan, planned.facts, key, folders)
            merged = await engine.run(Chunk(id="merge", kernel=merge_report, spec=spec,
                                            predicted_bytes=predicted_bytes(spec)),
                                      engine.scratch)  # fmt: skip
        counts = merged.facts["findings"]["counts"]
        return ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))

    return asyncio.run(run())


def shapely(layer: Path, key: str, gap_width_m: float | None, out: Path) -> str:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import shapely

    rows = pq.read_table(layer, columns=[key, "geometry"])
    shapes = shapely.from_wkb(rows.column("geometry").to_numpy())
    valid = shapely.is_valid(shapes)
    reasons = shapely.is_valid_reason(shapes[~valid])
    bad = rows.column(key).take(np.flatnonzero(~valid))
    pq.write_table(pa.table({"id": bad, "reason": reasons}), out / "invalid.parquet")
    text = f"invalid, null or empty {len(bad) + int(shapely.is_empty(shapes).sum())}"
    if gap_width_m is not None:
        kept = shapes[valid & ~shapely.is_missing(shapes)]
        edges = shapely.coverage_invalid_edges(kept, gap_width_m)
        edges = edges[~shapely.is_empty(edges)]
        pq.write_table(pa.table({"edges": list(shapely.to_wkb(edges))}), out / "edges.parquet")
        text += f", flagged {len(edges)}"
    return text


def layers(args: argparse.Namespace, folder: Path) -> tuple[list[Path], list[Path]]:
    """The layers for validity and for coverage: those given, or new ones in a folder."""
    if args.polygons or args.coverage:
        return args.polygons, args.coverage
    from coverages import write_coverage

    polygons = [folder / f"polygons-{size}.parquet" for size in args.size]
    for path, size in zip(polygons, args.size, strict=True):
        write_coverage(path, size, VERTICES)
    write_coverage(folder / "coverage.parquet", *COVERAGE)
    return polygons, [folder / "coverage.parquet"]


def compare(layer: Path, what: str, peers: dict[str, tuple[str, str]], args: Any) -> str:
    """A table of peers (name -> what to run, gap width) over one layer."""
    import pyarrow.parquet as pq

    words = {
        name: [peer, str(layer), width, "--key", args.key] for name, (peer, width) in peers.items()
    }
    costs = interleave(HERE, words, args.rounds, patience_s=args.patience)
    title = f"{pq.read_metadata(layer).num_rows:,} polygons, {what}, {args.rounds} rounds"
    return table(title, costs, next(iter(peers)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", nargs=3, metavar=("PEER", "LAYER", "GAP"), help=argparse.SUPPRESS)
    parser.add_argument("--polygons", type=Path, nargs="+", default=[])
    parser.add_argument("--coverage", type=Path, nargs="+", default=[])
    parser.add_argument("--size", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--gap-width", type=float, default=20.0)
    parser.add_argument("--key", default="id")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for quiet")
    parser.add_argument("--no-save", action="store_true")
    args = parser.parse_args()
    if args.run:
        peer, layer, gap = args.run
        with tempfile.TemporaryDirectory() as name:
            width = None if gap == "none" else float(gap)
            print(globals()[peer](Path(layer), args.key, width, Path(name)))
        return
    gap, sections = str(args.gap_width), []
    with tempfile.TemporaryDirectory() as name:
        polygons, coverages = layers(args, Path(name))
        for layer in polygons:
            peers = {"shapely": ("shapely", "none"), "ours": ("ours", "none")}
            sections.append(compare(layer, "validity", peers, args))
        for layer in coverages:
            peers = {
                "shapely, gap width 0": ("shapely", "0"),
                f"shapely, gap width {gap} m": ("shapely", gap),
                "ours": ("ours", gap),
            }
            sections.append(compare(layer, f"coverage, gaps up to {gap} m", peers, args))
    print("\n\n".join(sections))
    if not args.no_save:
        title = "Topology (`benchmarks/topology.py`)"
        save("topology", title, [*sections, conditions(args.patience), NOTE])


if __name__ == "__main__":
    sys.exit(main())
