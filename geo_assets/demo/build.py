"""Build a world in a folder: only what is missing or made with other parameters."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geo_assets.demo.coverage import KEY, LAYER, write_districts
from geo_assets.demo.defects import WIDTH_M, Defects
from geo_assets.demo.events import EVENT_CRS, write_events
from geo_assets.demo.rings import DELIVERED_CRS, GAP_WIDTH_M
from geo_assets.demo.scenes import write_scene
from geo_assets.demo.world import CRS, World
from geo_assets.errors import ConfigError
from geo_assets.model import Json, fingerprint

DATES = ("2026-06-01", "2026-08-15", "2026-10-30")
"""Dates of the default scenes."""
SIZE_PX = 2048
POLYGONS = 600
EVENTS_PER_DAY = 20_000
DAYS = 3

_FORMAT = 1  # raise it when the same parameters give other bytes
_MARKER, _TRUTH, _PARTS = "world.json", "truth.json", ".parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldReport:
    """What a folder holds after `build_world`."""

    folder: Path
    written: tuple[str, ...]
    """Files made by this call, `/`-separated, relative to `folder`."""
    kept: tuple[str, ...]
    """Files that were already there, complete and made with the same parameters."""
    size: int
    """Bytes of all files."""
    truth: dict[str, Any]
    """The content of `truth.json`."""
    seconds: float
    """Wall time of this call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Product:
    """One file of the world: what it depends on and how it is made."""

    name: str
    parameters: Json
    write: Callable[[Path], Json]
    """Writes the file and returns the truth about its defects."""


def build_world(
    folder: Path | str,
    *,
    seed: int = 1,
    size_px: int = SIZE_PX,
    dates: Sequence[str] = DATES,
    polygons: int = POLYGONS,
    events_per_day: int = EVENTS_PER_DAY,
    days: int = DAYS,
    defects: Defects | None = None,
) -> WorldReport:
    """Make scenes, districts and events with known defects.

    ```
    scenes/2026-06-01.tif      uint16, 4 bands, 10 m, EPSG:32633
    layers/districts.gpkg      polygons, EPSG:3035
    events/2026-06-01.parquet  points, EPSG:4326
    truth.json                 the ids of all planted defects
    world.json                 what was made, with which parameters
    ```

    The same parameters give the same bytes. A file appears whole or not at all; one that is
    there with its size and parameters is kept; one that an earlier call made and this one does
    not ask for is removed. Memory does not grow with scenes or events (about 350 MB), and takes
    about 10 kB a polygon.

    Args:
        folder: Where the world is built; made if it is missing.
        seed: Another seed, another world.
        size_px: Edge of the world in pixels of 10 m.
        dates: ISO dates of the scenes; the events start on the first.
        polygons: Number of districts.
        events_per_day: Number of events.
        days: Number of days with events.
        defects: What is planted; the default is `Defects()`.

    Raises:
        ConfigError: The parameters make no world.
    """
    began = time.monotonic()
    world, planted, root = World(seed=seed, size_px=size_px), defects or Defects(), Path(folder)
    products = [
        *_scenes(world, _days(dates)),
        _districts(world, polygons, planted),
        *_events(world, _days(dates)[0], days, events_per_day, planted),
    ]
    entries, written = _complete(root, products)
    truth = _truth(world, entries)
    _write_json(root / _TRUTH, truth)
    return WorldReport(
        folder=root,
        written=tuple(written),
        kept=tuple(name for name in entries if name not in written),
        size=sum(entry["size"] for entry in entries.values()),
        truth=truth,
        seconds=time.monotonic() - began,
    )


def _complete(root: Path, products: Sequence[_Product]) -> tuple[dict[str, Any], list[str]]:
    """Make the products that are not current; the marker is kept true after each."""
    shutil.rmtree(root / _PARTS, ignore_errors=True)  # of a call that was killed
    made = _read_marker(root)
    _remove(root, made.keys() - {product.name for product in products})
    entries: dict[str, Any] = {}
    written = []
    for product in products:
        entry = made.get(product.name)
        if entry is None or not _current(root, product, entry):
            entry = _make(root, product)
            written.append(product.name)
        entries[product.name] = entry
        _write_json(root / _MARKER, {"files": {**made, **entries}})
    _write_json(root / _MARKER, {"files": entries})
    return entries, written


def _scenes(world: World, days: Sequence[dt.date]) -> Iterator[_Product]:
    for day in days:

        def write(path: Path, day: dt.date = day) -> Json:
            return write_scene(path, world, day)

        yield _Product(
            name=f"scenes/{day.isoformat()}.tif",
            parameters=[asdict(world), day.isoformat()],
            write=write,
        )


def _districts(world: World, polygons: int, defects: Defects) -> _Product:
    if polygons < 4:
        raise ConfigError("A coverage has at least 4 districts", f"{polygons}", "the demo world")
    return _Product(
        name=f"layers/{LAYER}.gpkg",
        parameters=[asdict(world), polygons, asdict(defects)],
        write=lambda path: write_districts(path, world, polygons, defects),
    )


def _events(
    world: World, first: dt.date, days: int, count: int, defects: Defects
) -> Iterator[_Product]:
    for number in range(days):
        day = first + dt.timedelta(days=number)

        def write(path: Path, day: dt.date = day) -> Json:
            return write_events(path, world, day, count, defects)

        yield _Product(
            name=f"events/{day.isoformat()}.parquet",
            parameters=[asdict(world), day.isoformat(), count, asdict(defects)],
            write=write,
        )


def _days(dates: Sequence[str]) -> list[dt.date]:
    try:
        days = sorted({dt.date.fromisoformat(date) for date in dates})
    except ValueError as error:
        raise ConfigError("Scenes have ISO dates", str(error), "the demo world",
                          "Write for example 2026-06-01.") from error  # fmt: skip
    if not days:
        raise ConfigError("A demo world has at least one scene", "no date", "the demo world")
    return days


def _current(root: Path, product: _Product, entry: dict[str, Any]) -> bool:
    path = root / product.name
    same = entry["parameters"] == fingerprint(_FORMAT, product.parameters)
    return same and path.is_file() and path.stat().st_size == entry["size"]


def _make(root: Path, product: _Product) -> dict[str, Any]:
    path = root / product.name
    part = root / _PARTS / path.name
    for parent in (path.parent, part.parent):
        parent.mkdir(parents=True, exist_ok=True)
    truth = product.write(part)
    part.replace(path)
    shutil.rmtree(part.parent)
    return {
        "parameters": fingerprint(_FORMAT, product.parameters),
        "size": path.stat().st_size,
        "truth": truth,
    }


def _remove(root: Path, names: set[str]) -> None:
    for name in names:
        (root / name).unlink(missing_ok=True)


def _read_marker(root: Path) -> dict[str, Any]:
    marker = root / _MARKER
    files: dict[str, Any] = json.loads(marker.read_text())["files"] if marker.exists() else {}
    return files


def _write_json(path: Path, value: Any) -> None:
    """Replace a small file, unless it says the same already."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _truth(world: World, entries: dict[str, Any]) -> dict[str, Any]:
    days = {
        Path(name).stem: entry["truth"]
        for name, entry in entries.items()
        if name.startswith("events/")
    }
    return {
        "world": {**asdict(world), "crs": CRS, "bounds": list(world.bounds)},
        LAYER: {
            "crs": DELIVERED_CRS,
            "key": KEY,
            "gap_width_m": GAP_WIDTH_M,
            "widest_m": WIDTH_M,
            "defects": entries[f"layers/{LAYER}.gpkg"]["truth"],
        },
        "events": {"crs": EVENT_CRS, "key": "id", "defects": days},
    }
