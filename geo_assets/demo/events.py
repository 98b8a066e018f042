"""Point events of one day: crowded where people live, some of them broken on purpose."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
from numpy.typing import NDArray

from geo_assets.demo.defects import Defects
from geo_assets.demo.world import CRS, Points, World
from geo_assets.errors import ConfigError
from geo_assets.model import Json

EVENT_CRS = "EPSG:4326"
"""The CRS of the delivered events; coordinates are stored longitude first, as GeoParquet says."""

_KINDS = ("call", "delivery", "incident", "pickup", "reading")
_SHARES = (0.34, 0.27, 0.05, 0.22, 0.12)
_GROUP = 131_072  # rows of a row group: bounds memory at any number of events
_IDS_A_DAY = 100_000_000
_WKB_POINT = np.dtype([("order", "u1"), ("type", "<u4"), ("xy", "<f8", 2)])
_DAY_US = 86_400_000_000
_SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "kind": pa.string(),
        "value": pa.float64(),
        "time": pa.timestamp("us", tz="UTC"),
        "geometry": pa.binary(),
    }
)


def write_events(path: Path, world: World, day: dt.date, count: int, defects: Defects) -> Json:
    """Write the events of one day in order of time, as GeoParquet 1.1.

    Columns: `id` (int64), `kind`, `value`, `time` (UTC, microseconds) and `geometry` (points).
    Memory does not grow with the number of events.

    Returns:
        Ids by kind of defect: `nan` (latitude is NaN), `swapped` (latitude stored first).

    Raises:
        ConfigError: More defects than events.
    """
    bad = defects.nan + defects.swapped
    if not bad <= count < _IDS_A_DAY:
        raise ConfigError("A day has at least as many events as defects, and fewer than 10^8",
                          f"{count} events, {bad} defects", "the demo world")  # fmt: skip
    stream = f"events {day.isoformat()} {count}"
    chosen = world.rng(stream, "defects").choice(count, bad, replace=False)
    nan, swapped = chosen[: defects.nan], chosen[defects.nan :]
    with pq.ParquetWriter(path, _SCHEMA.with_metadata({"geo": _geo()}), compression="zstd") as file:
        for first in range(0, count, _GROUP):
            rows = np.arange(first, min(first + _GROUP, count))
            rng = world.rng(stream, f"rows {first}")
            place = _place(world, rng, len(rows))
            place[np.isin(rows, nan), 1] = np.nan
            flip = np.isin(rows, swapped)
            place[flip] = place[flip, ::-1]
            file.write_table(_table(rng, day, rows, count, place), row_group_size=_GROUP)
    return {
        "nan": [_id(day, int(row)) for row in np.sort(nan)],
        "swapped": [_id(day, int(row)) for row in np.sort(swapped)],
    }


def _place(world: World, rng: np.random.Generator, count: int) -> Points:
    """Longitude and latitude, degrees, shape (count, 2), rounded to about a centimetre."""
    xy = world.scatter(rng, count, rural=0.1)
    lonlat = pyproj.Transformer.from_crs(CRS, EVENT_CRS, always_xy=True).transform(
        xy[:, 0], xy[:, 1]
    )
    return np.round(np.column_stack(lonlat), 7)


def _table(
    rng: np.random.Generator, day: dt.date, rows: NDArray[np.int64], count: int, place: Points
) -> pa.Table:
    instant = np.sort((rows + rng.random(len(rows))) * (_DAY_US / count)).astype(np.int64)
    midnight = np.datetime64(day, "us").astype(np.int64)
    kind = np.array(_KINDS)[rng.choice(len(_KINDS), size=len(rows), p=_SHARES)]
    columns = [
        pa.array(_id(day, 0) + rows),
        pa.array(kind),
        pa.array(np.round(rng.lognormal(2.0, 1.0, len(rows)), 2)),
        pa.array(midnight + instant).cast(_SCHEMA.field("time").type),
        _wkb(place),
    ]
    return pa.table(columns, schema=_SCHEMA)


def _wkb(place: Points) -> pa.Array:
    points = np.empty(len(place), _WKB_POINT)
    points["order"], points["type"], points["xy"] = 1, 1, place
    offsets = np.arange(len(place) + 1, dtype=np.int32) * _WKB_POINT.itemsize
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(points)]
    return pa.Array.from_buffers(pa.binary(), len(place), buffers)


def _id(day: dt.date, row: int) -> int:
    """Readable and unique over all days: 2026060100000017."""
    return int(f"{day:%Y%m%d}") * _IDS_A_DAY + row


def _geo() -> str:
    column = {
        "encoding": "WKB",
        "geometry_types": ["Point"],
        "crs": pyproj.CRS.from_user_input(EVENT_CRS).to_json_dict(),
    }
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return json.dumps(geo)
