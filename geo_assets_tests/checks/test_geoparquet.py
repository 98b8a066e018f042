"""GeoParquet is held against its specification by its footer alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from geo_assets.checks.geoparquet import conforming
from geo_assets.model import PARQUET, Findings
from geo_assets_tests.checks.conftest import Shelf

ROWS = 30_000


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """Points in row groups so small that the footer is larger than what is read at first."""
    rng = np.random.default_rng(1)
    points = geopandas.GeoDataFrame(
        {"n": range(ROWS)}, geometry=shapely.points(rng.uniform(0, 1, (ROWS, 2))), crs="EPSG:4326"
    )
    path = tmp_path / "points.parquet"
    points.to_parquet(path, schema_version="1.1.0", write_covering_bbox=True, row_group_size=100)
    return path


def _look(shelf: Shelf, path: Path) -> Findings:
    folder = shelf.folder / f"look-{path.stem}"
    folder.mkdir()

    async def look() -> Findings:
        artifact = await shelf.publish("out/points", path.stem, [(path, PARQUET)])
        return await conforming(artifact, shelf.store, folder)

    found = asyncio.run(look())
    read = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    assert read < path.stat().st_size, "no rows are read"
    return found


def test_what_geopandas_writes_conforms(shelf: Shelf, layer: Path) -> None:
    footer = int.from_bytes(layer.read_bytes()[-8:-4], "little")
    assert footer > 64 << 10
    found = _look(shelf, layer)
    assert (found.checked, found.total) == (1, 0)


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (lambda geo: geo.update(version="9.9"), "bad_geo_metadata", "version is '9.9'"),
        (lambda geo: geo.update(primary_column="shape"), "bad_geo_metadata", "'shape'"),
        (lambda geo: geo["columns"]["geometry"].update(encoding="WKT"), "bad_geo_metadata", "WKT"),
        (lambda geo: geo.clear(), "bad_geo_metadata", "columns is empty"),
    ],
)
def test_a_footer_against_the_specification_is_found(
    shelf: Shelf, layer: Path, tmp_path: Path, spoil: Callable[[Any], None], kind: str, said: str
) -> None:
    table = pq.read_table(layer)
    geo = json.loads(table.schema.metadata[b"geo"])
    spoil(geo)
    wrong = tmp_path / "wrong.parquet"
    metadata = {**table.schema.metadata, b"geo": json.dumps(geo).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), wrong)

    found = _look(shelf, wrong)

    assert set(found.counts) == {kind}
    assert said in " ".join(sample.detail for sample in found.samples)


def test_plain_parquet_and_a_file_cut_short_are_found(
    shelf: Shelf, layer: Path, tmp_path: Path
) -> None:
    plain, cut = tmp_path / "plain.parquet", tmp_path / "cut.parquet"
    pq.write_table(pq.read_table(layer).replace_schema_metadata(None), plain)
    cut.write_bytes(layer.read_bytes()[:-5])
    assert _look(shelf, plain).counts == {"no_geo_metadata": 1}
    assert _look(shelf, cut).counts == {"not_parquet": 1}
