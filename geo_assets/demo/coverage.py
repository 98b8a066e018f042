"""Districts: an edge-matched coverage, delivered in another CRS, with planted defects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.raw import write as write_layer

from geo_assets.demo.borders import Borders, draw_borders
from geo_assets.demo.defects import Defects, Planted, plant
from geo_assets.demo.rings import DELIVERED_CRS, polygons, settle
from geo_assets.demo.world import World
from geo_assets.model import Json

KEY = "district_id"
"""The key column: `D00000`, `D00001`, ... and duplicates after them."""
LAYER = "districts"

_HEAD = ("Bělá", "Černo", "Dolní", "Hrádek", "Kámen", "Lípa", "Nový", "Říč", "Žďár", "Ústí")
_TAIL = ("brod", "hora", "kostel", "lhota", "město", "pole", "rybník", "újezd", "ves", "věž")


def write_districts(path: Path, world: World, count: int, defects: Defects) -> Json:
    """Write the coverage as a GeoPackage and return the truth about its defects.

    Vertices lie on a grid of 1 mm in `DELIVERED_CRS`, and every shared vertex is computed once.
    Without defects the coverage is valid there and after a transformation back to `CRS`.

    Returns:
        Ids by kind of defect; pairs for `gap`, `overlap` and `duplicate` (original, copy).
    """
    borders = settle(draw_borders(world, count))
    lines = borders.ring_lines()
    planted = plant(borders, lines, defects, world.rng("defects"))
    rings = polygons(borders.ring_site, lines)
    copies = [_turned(rings[site]) for site in planted.duplicate]
    origin = np.concatenate([np.arange(count), np.array(planted.duplicate, np.int64)])
    _write(path, world, borders, np.concatenate([rings, np.array(copies, object)]), origin)
    return _truth(planted, count)


def _write(
    path: Path,
    world: World,
    borders: Borders,
    geometry: NDArray[np.object_],
    origin: NDArray[np.int64],
) -> None:
    """Write features; `origin` is the district whose attributes each of them carries."""
    rng = world.rng("people")
    count = len(borders.sites)
    head, tail = rng.integers(0, len(_HEAD), count), rng.integers(0, len(_TAIL), count)
    names = [f"{_HEAD[i]} {_TAIL[j]}" for i, j in zip(head, tail, strict=True)]
    people = rng.lognormal(7.0, 1.0, count).astype(np.int64)
    # GeoPackage stores the time of its last change; a fixed one keeps equal worlds equal.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2026-06-01T00:00:00.000Z"})
    try:
        write_layer(
            path,
            geometry=shapely.to_wkb(geometry),
            field_data=[
                np.array(_ids(range(len(origin))), object),
                np.array(names, object)[origin],
                people[origin],
            ],
            fields=[KEY, "name", "population"],
            layer=LAYER,
            driver="GPKG",
            geometry_type="Polygon",
            crs=DELIVERED_CRS,
        )
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _turned(polygon: shapely.Polygon) -> shapely.Polygon:
    """The same polygon, starting at another vertex."""
    ring = shapely.get_coordinates(polygon)[:-1]
    return shapely.Polygon(np.roll(ring, len(ring) // 3, axis=0))


def _truth(planted: Planted, count: int) -> Json:
    copies = _ids(range(count, count + len(planted.duplicate)))
    originals = _ids(planted.duplicate)
    return {
        "gap": [list(_ids(pair)) for pair in planted.gap],
        "overlap": [list(_ids(pair)) for pair in planted.overlap],
        "bowtie": list(_ids(planted.bowtie)),
        "duplicate": [list(pair) for pair in zip(originals, copies, strict=True)],
    }


def _ids(numbers: Sequence[int]) -> list[Json]:
    return [f"D{number:05d}" for number in numbers]
