"""`python examples/regions/data.py FOLDER`: a small demo world, its events split into regions."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from geo_assets.demo.build import build_world
from geo_assets.demo.defects import Defects

DAYS = ("2026-06-01", "2026-06-02", "2026-06-03")
REGIONS = ("south", "middle", "north")


def build(folder: Path, *, size_px: int = 512, polygons: int = 60, events: int = 3000) -> None:
    """Write `scenes/`, `districts/` and `events/` of three days."""
    world = folder / "world"
    build_world(
        world, size_px=size_px, dates=DAYS[:2], polygons=polygons, events_per_day=events,
        days=len(DAYS), defects=Defects.none(),
    )  # fmt: skip
    shutil.copytree(world / "scenes", folder / "scenes", dirs_exist_ok=True)
    for day in DAYS:
        districts = folder / "districts" / f"{day}.gpkg"
        districts.parent.mkdir(exist_ok=True)
        shutil.copy(world / "layers" / "districts.gpkg", districts)
        split(world / "events" / f"{day}.parquet", folder / "events" / day)
    shutil.rmtree(world)


def split(file: Path, folder: Path) -> None:
    """Write the events of a day as one file for each third of its latitudes."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pq.read_table(file)
    latitudes = np.array([np.frombuffer(wkb, "<f8", 1, 13)[0] for wkb in
                          table["geometry"].to_pylist()])  # fmt: skip
    thirds = np.searchsorted(np.quantile(latitudes, (1 / 3, 2 / 3)), latitudes)
    for third, region in enumerate(REGIONS):
        pq.write_table(table.filter(thirds == third), folder / f"{region}.parquet")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
