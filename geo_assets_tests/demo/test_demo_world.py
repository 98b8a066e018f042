"""The demo world holds exactly the defects that its truth names, and is the same every time."""

import hashlib
import json
import subprocess
import sys

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from click.testing import CliRunner

from geo_assets.demo import Defects, build_world
from geo_assets.demo.__main__ import main
from geo_assets.demo.rings import GAP_WIDTH_M
from geo_assets.demo.world import World
from geo_assets.errors import ConfigError

SMALL = {"size_px": 640, "polygons": 120, "events_per_day": 500, "days": 2, "dates": ["2026-06-01"]}
FEW = Defects(gap=2, overlap=2, bowtie=2, duplicate=1, nan=2, swapped=1)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"), **SMALL, defects=FEW)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_districts(folder):
    """Ids and polygons as delivered (EPSG:3035), and transformed to EPSG:32633 by pyproj."""
    meta, _, wkb, fields = pyogrio.raw.read(folder / "layers/districts.gpkg")
    assert meta["crs"] == "EPSG:3035"
    ids = fields[list(meta["fields"]).index("district_id")]
    polygons = shapely.from_wkb(wkb)
    to_utm = pyproj.Transformer.from_crs("EPSG:3035", "EPSG:32633", always_xy=True)
    return ids, polygons, shapely.transform(polygons, to_utm.transform, interleaved=False)


def found_by_shapely(ids, polygons):
    """Defects as GEOS sees them: invalid, repeated, and unmatched among the others."""
    invalid = ~shapely.is_valid(polygons)
    _, first, group = np.unique(
        shapely.to_wkb(shapely.normalize(polygons)), return_index=True, return_inverse=True
    )
    copies = np.setdiff1d(np.arange(len(ids)), first)
    good = ~invalid
    good[copies] = False
    edges = shapely.coverage_invalid_edges(polygons[good], gap_width=GAP_WIDTH_M)
    return {
        "bowtie": set(ids[invalid]),
        "duplicate": {(ids[first[group[copy]]], ids[copy]) for copy in copies},
        "unmatched": set(ids[good][~shapely.is_empty(edges)]),
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_defects_are_what_shapely_finds(tmp_path, seed):
    args = SMALL | {"size_px": 1024, "polygons": 200, "days": 0, "events_per_day": 10}
    report = build_world(tmp_path, **args, defects=Defects(), seed=seed)
    truth = report.truth["districts"]["defects"]
    assert {kind: len(ids) for kind, ids in truth.items()} == {
        "gap": 5, "overlap": 4, "bowtie": 3, "duplicate": 2,
    }  # fmt: skip
    ids, delivered, utm = read_districts(tmp_path)
    assert len(ids) == 200 + 2
    for polygons in (delivered, utm):
        found = found_by_shapely(ids, polygons)
        assert found["bowtie"] == set(truth["bowtie"])
        assert found["duplicate"] == {tuple(pair) for pair in truth["duplicate"]}
        assert found["unmatched"] == {
            one for kind in ("gap", "overlap") for pair in truth[kind] for one in pair
        }


@pytest.mark.parametrize("method", [None, "linework", "structure"])
def test_bowties_disturb_no_neighbour_kept_or_repaired(report, method):
    truth = report.truth["districts"]["defects"]
    ids, _, utm = read_districts(report.folder)
    original = ~np.isin(ids, [copy for _, copy in truth["duplicate"]])
    ids, polygons = ids[original], utm[original]
    if method:
        keep = {"keep_collapsed": False} if method == "structure" else {}
        polygons = shapely.make_valid(polygons, method=method, **keep)
        assert set(shapely.get_type_id(polygons)) == {shapely.GeometryType.POLYGON}
    edges = shapely.coverage_invalid_edges(polygons, gap_width=GAP_WIDTH_M)
    assert set(ids[~shapely.is_empty(edges)]) == {
        one for kind in ("gap", "overlap") for pair in truth[kind] for one in pair
    }


def test_gaps_are_empty_and_overlaps_are_shared(report):
    truth = report.truth["districts"]["defects"]
    ids, _, utm = read_districts(report.folder)
    by_id = dict(zip(ids, utm, strict=True))
    for pair in truth["overlap"]:
        one, other = (by_id[key] for key in pair)
        assert one.intersection(other).area > 50
    whole = shapely.union_all(shapely.make_valid(utm))
    holes = shapely.get_parts(shapely.polygons(list(whole.interiors)))
    for pair in truth["gap"]:
        one, other = (by_id[key] for key in pair)
        assert one.intersection(other).area == pytest.approx(0, abs=1e-6)
        between = holes[shapely.dwithin(holes, one, 1e-6) & shapely.dwithin(holes, other, 1e-6)]
        assert shapely.area(between).sum() > 50


def test_a_defect_has_no_neighbour_with_another(report):
    truth = report.truth["districts"]["defects"]
    ids, _, utm = read_districts(report.folder)
    by_id = dict(zip(ids, shapely.make_valid(utm), strict=True))
    places = [pair for kind in ("gap", "overlap") for pair in truth[kind]]
    places += [[key] for key in truth["bowtie"]] + truth["duplicate"]
    shapes = [shapely.union_all([by_id[key] for key in place]) for place in places]
    for number, shape in enumerate(shapes):
        assert not shapely.intersects(shape, shapes[number + 1 :]).any()


def test_without_defects_the_coverage_is_valid_in_both_crs(tmp_path):
    args = SMALL | {"size_px": 1024, "polygons": 300, "days": 0}
    report = build_world(tmp_path, **args, defects=Defects.none())
    assert not any(report.truth["districts"]["defects"].values())
    _, delivered, utm = read_districts(tmp_path)
    for polygons in (delivered, utm):
        assert shapely.is_valid(polygons).all()
        assert shapely.coverage_is_valid(polygons)
        assert shapely.coverage_is_valid(polygons, gap_width=GAP_WIDTH_M)
        whole = shapely.coverage_union_all(polygons)
        assert whole.geom_type == "Polygon"
        assert not whole.interiors
    assert whole.area == pytest.approx(10_240**2, rel=1e-6)
    xy = shapely.get_coordinates(delivered)
    assert np.array_equal(xy, np.round(xy, 3))
    assert len(xy) / len(delivered) > 60


def test_events_are_inside_but_for_the_planted(report):
    world = World(seed=1, size_px=640)
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    west, south, east, north = world.bounds
    for day, truth in report.truth["events"]["defects"].items():
        path = report.folder / f"events/{day}.parquet"
        frame = geopandas.read_parquet(path)
        assert frame.crs == "EPSG:4326"
        assert list(frame.columns) == ["id", "kind", "value", "time", "geometry"]
        assert len(frame) == 500
        assert frame["id"].is_unique
        assert frame["time"].is_monotonic_increasing
        assert set(frame["time"].dt.strftime("%Y-%m-%d")) == {day}
        lonlat = shapely.get_coordinates(frame.geometry)
        nan = np.isnan(lonlat).any(axis=1)
        assert frame["id"][nan].tolist() == truth["nan"]
        swapped = lonlat[:, 0] > lonlat[:, 1]  # here latitude is about 50, longitude about 14
        assert frame["id"][swapped].tolist() == truth["swapped"]
        x, y = to_utm.transform(*lonlat[~nan & ~swapped].T)
        assert west < x.min() < x.max() < east
        assert south < y.min() < y.max() < north
        assert pq.read_schema(path).metadata.keys() >= {b"geo"}


def test_events_crowd_around_cities():
    world = World(seed=5, size_px=2048)
    xy = world.scatter(world.rng("test"), 20_000, rural=0.1)
    counts, _, _ = np.histogram2d(*xy.T, bins=32)
    busiest = np.sort(counts.ravel())[::-1]
    assert busiest[:10].sum() > 0.25 * len(xy)  # 1 % of the land, a quarter of the events


def test_scene_is_described_and_has_a_slanted_collar(report):
    with rasterio.open(report.folder / "scenes/2026-06-01.tif") as scene:
        assert scene.crs == "EPSG:32633"
        assert scene.res == (10, 10)
        assert scene.dtypes == ("uint16",) * 4
        assert scene.descriptions == ("blue", "green", "red", "nir")
        assert scene.nodata == 0
        assert scene.profile["compress"] == "deflate"
        assert scene.bounds == pytest.approx(World(seed=1, size_px=640).bounds)
        pixels = scene.read()
    empty = (pixels == 0).all(axis=0)
    assert np.array_equal(empty, (pixels == 0).any(axis=0))  # no valid pixel looks like nodata
    assert 0.15 < empty.mean() < 0.3
    assert empty[0].argmin() > empty[-1].argmin()  # the swath leans
    bright = pixels[:, ~empty][0] > 6000
    assert 0.02 < bright.mean() < 0.4  # clouds
    vegetation = pixels[3][~empty].astype(float) > pixels[2][~empty]
    assert vegetation.mean() > 0.5


def test_same_seed_same_bytes(report, tmp_path):
    command = [sys.executable, "-m", "geo_assets.demo", str(tmp_path / "again"), "--size-px", "640",
               "--polygons", "120", "--events-per-day", "500", "--days", "2", "--clean",
               "--date", "2026-06-01"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    once = build_world(tmp_path / "once", **SMALL, defects=Defects.none())
    again, ours = digests(tmp_path / "again"), digests(once.folder)
    assert again == ours
    other = digests(build_world(tmp_path / "other", **SMALL, seed=2).folder)
    assert ours.keys() == other.keys()
    assert not set(ours.values()) & set(other.values())


def test_a_second_call_changes_nothing(report):
    before = {path: path.stat().st_mtime_ns for path in report.folder.rglob("*")}
    again = build_world(report.folder, **SMALL, defects=FEW)
    assert again.written == ()
    assert again.kept == report.written
    assert again.truth == report.truth == json.loads((report.folder / "truth.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in report.folder.rglob("*")} == before


def test_only_what_is_missing_or_other_is_made(tmp_path):
    args = SMALL | {"size_px": 256, "polygons": 16, "events_per_day": 20}
    build_world(tmp_path, **args, defects=Defects.none())
    whole = digests(tmp_path)
    (tmp_path / "events/2026-06-02.parquet").write_bytes(b"cut short")
    (tmp_path / "scenes/2026-06-01.tif").unlink()
    second = build_world(tmp_path, **args, defects=Defects.none())
    assert second.written == ("scenes/2026-06-01.tif", "events/2026-06-02.parquet")
    assert digests(tmp_path) == whole
    third = build_world(tmp_path, **(args | {"dates": ["2026-06-01", "2026-07-01"], "days": 1}),
                        defects=Defects.none())  # fmt: skip
    assert third.written == ("scenes/2026-07-01.tif",)
    assert not (tmp_path / "events/2026-06-02.parquet").exists()


def test_many_events_are_written_by_row_groups(tmp_path):
    args = SMALL | {"size_px": 128, "polygons": 8, "events_per_day": 300_000, "days": 1}
    build_world(tmp_path, **args, defects=Defects(gap=0, overlap=0, bowtie=0, duplicate=0))
    file = pq.ParquetFile(tmp_path / "events/2026-06-01.parquet")
    assert file.num_row_groups == 3
    times = file.read(["time"])["time"].to_numpy()
    assert (times[1:] >= times[:-1]).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dates": ["June"]}, "Scenes have ISO dates"),
        ({"dates": []}, "at least one scene"),
        ({"size_px": 10}, "at least 64 pixels"),
        ({"polygons": 2}, "at least 4 districts"),
        ({"events_per_day": 1}, "at least as many events as defects"),
        ({"polygons": 12}, "do not touch each other"),
    ],
)
def test_a_world_that_cannot_be_is_refused(tmp_path, wrong, message):
    with pytest.raises(ConfigError, match=message):
        build_world(tmp_path, **(SMALL | {"size_px": 128} | wrong))


def test_command_says_what_it_made(tmp_path):
    args = [str(tmp_path / "w"), "--size-px", "128", "--polygons", "8", "--events-per-day", "10",
            "--days", "1", "--date", "2026-06-01", "--clean"]  # fmt: skip
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    assert "wrote layers/districts.gpkg" in result.output
    assert "3 files written, 0 kept" in result.output
    refused = CliRunner().invoke(main, [*args, "--date", "nonsense"])
    assert refused.exit_code == 1
    assert "Write for example 2026-06-01" in refused.output
