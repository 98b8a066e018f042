"""The work of `backfill.py`: one 256 x 256 px GeoTIFF, written, read back and compared."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from geo_assets.model import COG, Findings, KernelResult, OutputFile

KERNEL_S = float(os.environ.get("BENCH_KERNEL_MS", "0")) / 1000
BAD = os.environ.get("BENCH_BAD", "")


@dataclass(frozen=True, slots=True)
class Tile:
    name: str


def write_tile(path: Path, name: str) -> None:
    """The kernel itself: random pixels by name, written, closed, opened and compared."""
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin

    ends = time.perf_counter() + KERNEL_S
    if name == BAD:
        raise ValueError(name)
    seed = int.from_bytes(name.encode(), "little") % (1 << 32)
    pixels = np.random.default_rng(seed).integers(0, 4096, (1, 256, 256), dtype="uint16")
    profile = {
        "driver": "GTiff", "width": 256, "height": 256, "count": 1, "dtype": "uint16",
        "crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 10, 10),
        "compress": "deflate", "tiled": True,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as target:
        target.write(pixels)
    with rasterio.open(path) as source:
        assert (source.read() == pixels).all()
    while time.perf_counter() < ends:
        pass


def tile(spec: Tile, workdir: Path) -> KernelResult:
    path = workdir / "tile.tif"
    write_tile(path, spec.name)
    return KernelResult(files=(OutputFile.of(path, "tile.tif", COG),))


def inspect(spec: Path, _workdir: Path) -> KernelResult:
    import rasterio

    with rasterio.open(spec) as source:
        checked = int(source.read(1).size)
    return KernelResult(facts={"values": Findings(checked=checked).as_dict()})
