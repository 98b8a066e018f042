"""The files of a join of several chunks: one layer, in the order of the left one."""

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from geo_assets.assets.spatial_join import _as_layer
from geo_assets.kernels.table_facts import TableSpec, table_facts
from geo_assets.model import PARQUET, KernelResult, OutputFile


@pytest.fixture
def parts(tmp_path):
    """Results of four chunks, of which the second and the last found nothing."""
    made = []
    for number, xs in enumerate(([1.0, 2.0], [], [30.0], [])):
        frame = gpd.GeoDataFrame(
            {"id": pd.Series(range(len(xs)), dtype="int64")},
            geometry=gpd.GeoSeries([shapely.Point(x, 50 + x / 10) for x in xs]), crs="OGC:CRS84",
        )  # fmt: skip
        path = tmp_path / f"part-{number:06d}.parquet"
        frame.to_parquet(path)
        file = OutputFile.of(path, path.name, PARQUET)
        made.append(KernelResult(files=(file,), facts={"rows": len(xs)}))
    return made


def test_full_chunks_are_numbered_as_the_files_of_a_layer(parts):
    files = _as_layer(parts, "pairs")
    assert [file.name for file in files] == ["pairs-00000.parquet", "pairs-00001.parquet"]
    assert [len(gpd.read_parquet(file.path)) for file in files] == [2, 1]


def test_one_file_is_named_after_the_asset(parts):
    (file,) = _as_layer(parts[:2], "pairs")
    assert file.name == "pairs.parquet"
    assert len(gpd.read_parquet(file.path)) == 2


def test_a_join_without_any_pair_still_has_its_columns(parts):
    (file,) = _as_layer([parts[1], parts[3]], "pairs")
    assert file.name == "pairs.parquet"
    assert list(gpd.read_parquet(file.path).columns) == ["id", "geometry"]


def test_what_is_said_is_of_all_files(parts, tmp_path):
    files = _as_layer(parts, "pairs")
    facts = table_facts(TableSpec(paths=tuple(file.path for file in files)), tmp_path).facts
    assert facts["rows"] == 3
    assert facts["bbox"] == pytest.approx([1.0, 50.1, 30.0, 53.0])
    assert facts["thumbnail"].startswith("<svg")
