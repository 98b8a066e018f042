"""Patterns name objects; listing and fetching them finds exactly what is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.errors import InputError
from geo_assets.sources import SourcePattern, Sources, split_base

NAMES = st.text("abcXYZ019_-. ü", min_size=1, max_size=12)


@given(scene=NAMES, band=st.sampled_from(["B1", "B10", "QA"]))
def test_a_filled_pattern_matches_itself(scene, band):
    pattern = SourcePattern("x/{scene}/{scene}_{band}.TIF", ("B1", "B10", "QA"))
    path = f"x/{scene}/{scene}_{band}.TIF"
    assert pattern.match(path) == {"scene": scene, "band": band}
    assert pattern.fill(scene=scene).match(path) == {"band": band}


@pytest.mark.parametrize("path", ["x/a/b_B1.TIF", "x/a/a_B2.TIF", "x/a/a_B1.tif", "y/a/a_B1.TIF"])
def test_other_paths_do_not_match(path):
    assert SourcePattern("x/{scene}/{scene}_{band}.TIF", ("B1",)).match(path) is None


def test_a_placeholder_stays_within_its_segment():
    assert SourcePattern("{scene}.tif").match("a/b.tif") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scenes/{scene}.tif", ("base", "scenes/{scene}.tif")),
        ("/data/x/{scene}.tif", ("/data/x", "{scene}.tif")),
        ("s3://bucket/a/{scene}/*.tif", ("s3://bucket/a", "{scene}/*.tif")),
        ("s3://bucket/{scene}.tif", ("s3://bucket", "{scene}.tif")),
        ("https://host/a/b.gpkg", ("https://host/a", "b.gpkg")),
    ],
)
def test_bases(text, expected):
    assert split_base(text, "base") == expected


@pytest.fixture
def source(tmp_path):
    for name in ("a/a_B1.TIF", "a/a_B2.TIF", "b/b_B1.TIF", "layers/f.shp", "layers/f.dbf",
                 "layers/f.prj", "layers/g.dbf"):  # fmt: skip
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return Sources(str(tmp_path / "in"))


async def test_partitions_are_listed_once(source):
    found = [key async for key in source.partitions("{scene}/*_{band}.TIF", ["B1", "B2"])]
    assert sorted(found) == ["a", "b"]


async def test_a_scene_has_its_bands_in_order(source):
    found = await source.find("{scene}/*_{band}.TIF", partition="a", bands=["B2", "B1"])
    assert [item.path for item in found] == ["a/a_B2.TIF", "a/a_B1.TIF"]


async def test_a_missing_band_is_named(source):
    with pytest.raises(InputError, match="0 for B2"):
        await source.find("{scene}/*_{band}.TIF", partition="b", bands=["B1", "B2"])


async def test_nothing_there_says_where(source):
    with pytest.raises(InputError, match="nope"):
        await source.find("layers/nope.gpkg")


async def test_a_shapefile_brings_its_own_sidecars(source, tmp_path):
    found = await source.find("layers/f.shp")
    assert [item.path for item in found] == ["layers/f.shp", "layers/f.dbf", "layers/f.prj"]
    paths = [await source.fetch("layers/f.shp", item, tmp_path) for item in found]
    assert [path.read_text() for path in paths] == [item.path for item in found]


async def test_two_objects_for_one_partition_are_refused(source):
    with pytest.raises(InputError, match="One object belongs to one partition"):
        await source.find("layers/*.dbf")
