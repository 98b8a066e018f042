"""Every format is read as geopandas reads it; hostile and damaged files are refused."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely

from geo_assets.errors import InputError
from geo_assets.kernels.vector_source import open_layer
from geo_assets.kernels.vector_unzip import unzip

FORMATS = {
    "gpkg": "GPKG", "fgb": "FlatGeobuf", "geojson": "GeoJSON", "shp": "ESRI Shapefile",
    "gml": "GML", "geojsonl": "GeoJSONSeq", "sqlite": "SQLite", "tab": "MapInfo File",
    "parquet": "",
}  # fmt: skip


def write(layer: gpd.GeoDataFrame, path: Path, driver: str) -> Path:
    if driver:
        utf8 = driver in ("ESRI Shapefile", "MapInfo File")
        pyogrio.write_dataframe(layer, path, driver=driver, **{"ENCODING": "UTF-8"} if utf8 else {})
    else:
        layer.to_parquet(path)
    return path


def read(path: Path, scratch: Path, **options: object) -> pa.Table:
    """All batches of a layer as one table, the geometry as shapely's objects in order."""
    source = open_layer(path, scratch=scratch, **options)
    batches = list(source.read())
    assert [batch.row for batch in batches] == list(
        np.cumsum([0, *(batch.attributes.num_rows for batch in batches)])[:-1]
    )
    table = pa.Table.from_batches([batch.attributes for batch in batches])
    wkb = pa.chunked_array([batch.wkb for batch in batches])
    return table.append_column("geometry", wkb)


def geometry(table: pa.Table) -> np.ndarray:
    return shapely.from_wkb(table.column("geometry").to_numpy())


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_format_reads_as_geopandas_reads_it(
    suffix: str, mixed_layer: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    layer = mixed_layer if suffix != "geojsonl" else mixed_layer.to_crs(4326)
    path = write(layer, tmp_path / f"layer.{suffix}", FORMATS[suffix])

    table = read(path, tmp_path)

    expected = gpd.read_parquet(path) if suffix == "parquet" else gpd.read_file(path)
    assert table.num_rows == len(expected)
    assert shapely.equals_identical(geometry(table), expected.geometry.to_numpy()).all()
    for name in ("name", "number", "share"):
        got = table.column(name).to_pylist()
        want = [None if value is None or value != value else value for value in expected[name]]
        assert got == want
    info = open_layer(path, scratch=tmp_path).info
    assert info.features == 4
    assert info.crs == expected.crs


def test_kml_and_gpx_are_read(tmp_path: Path) -> None:
    points = gpd.GeoDataFrame({"Name": ["a", "b"]}, geometry=shapely.points([[1, 2], [3, 4]]),
                              crs=4326)  # fmt: skip
    kml = write(points, tmp_path / "points.kml", "LIBKML")
    gpx = write(points[["geometry"]], tmp_path / "points.gpx", "GPX")

    assert [(p.x, p.y) for p in geometry(read(kml, tmp_path))] == [(1, 2), (3, 4)]
    assert [(p.x, p.y) for p in geometry(read(gpx, tmp_path, layer="waypoints"))] == [
        (1, 2),
        (3, 4),
    ]


def test_csv_is_read_by_coordinate_columns_or_wkt_and_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text('code,Longitude,LAT,country\n"007",1.5,2.5,NA\n012,-3,4,\n', encoding="utf-8")

    table = read(path, tmp_path)

    assert [(p.x, p.y) for p in geometry(table)] == [(1.5, 2.5), (-3, 4)]
    assert table.column("code").to_pylist() == ["007", "012"]
    assert table.column("country").to_pylist() == ["NA", None]
    (tmp_path / "wkt.csv").write_text('WKT,a\n"POINT (1 2)",x\n', encoding="utf-8")
    assert geometry(read(tmp_path / "wkt.csv", tmp_path))[0] == shapely.Point(1, 2)
    (tmp_path / "odd.csv").write_text("east,north\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="columns east, north"):
        read(tmp_path / "odd.csv", tmp_path)
    odd = read(tmp_path / "odd.csv", tmp_path, xy_columns=("east", "north"))
    assert geometry(odd)[0] == shapely.Point(1, 2)
    with pytest.raises(InputError, match="'easting'"):
        read(tmp_path / "odd.csv", tmp_path, xy_columns=("easting", "north"))


@pytest.mark.parametrize("encoding", ["geoarrow", "WKB"])
@pytest.mark.parametrize("kind", ["Point", "LineString", "Polygon", "MultiPolygon", "Point Z"])
def test_native_geoparquet_encodings_are_read(encoding: str, kind: str, tmp_path: Path) -> None:
    shapes = {
        "Point": [shapely.Point(1, 2), None, shapely.Point(3, 4)],
        "Point Z": [shapely.Point(1, 2, 5), shapely.Point(3, 4, 6)],
        "LineString": [shapely.LineString([(0, 0), (1, 1)]), None],
        "Polygon": [shapely.box(0, 0, 1, 1), shapely.Point(0, 0).buffer(3).difference(
            shapely.Point(0, 0).buffer(1))],
        "MultiPolygon": [shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]),
                         None, shapely.MultiPolygon([shapely.box(5, 5, 6, 6)])],
    }[kind]  # fmt: skip
    layer = gpd.GeoDataFrame({"a": range(len(shapes))}, geometry=shapes, crs=4326)
    path = tmp_path / "native.parquet"
    layer.to_parquet(path, geometry_encoding=encoding, schema_version="1.1.0", row_group_size=2)

    got = geometry(read(path, tmp_path))

    for mine, theirs in zip(got, shapes, strict=True):
        assert mine is theirs is None or shapely.equals_identical(mine, theirs)


def test_plain_parquet_is_read_by_coordinate_columns(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"lon": [1.0, None], "lat": [2.0, None], "n": [1, 2]}), path)
    with pytest.raises(InputError, match="plain Parquet"):
        open_layer(path, scratch=tmp_path)
    table = read(path, tmp_path, xy_columns=("lon", "lat"))
    assert list(geometry(table)) == [shapely.Point(1, 2), None]
    assert table.column("n").to_pylist() == [1, 2]


def test_curves_become_lines(tmp_path: Path) -> None:
    arc = struct.pack("<BII6d", 1, 8, 3, 0, 0, 1, 1, 2, 0)
    path = tmp_path / "curve.gpkg"
    pyogrio.raw.write(path, np.array([arc] * 3, dtype=object), [np.array([1, 2, 3])], ["a"],
                      geometry_type="Unknown", crs="EPSG:32633", driver="GPKG")  # fmt: skip
    lines = geometry(read(path, tmp_path))
    assert {line.geom_type for line in lines} == {"LineString"}
    assert lines[0].length == pytest.approx(np.pi, rel=1e-3)


@pytest.mark.parametrize("encoding", ["CP1252", "SJIS", "KOI8-R"])
def test_text_is_read_in_the_encoding_that_the_sidecar_names(encoding: str, tmp_path: Path) -> None:
    text = {"CP1252": "Köln", "SJIS": "東京", "KOI8-R": "Москва"}[encoding]
    layer = gpd.GeoDataFrame({"name": [text]}, geometry=[shapely.Point(1, 2)], crs=4326)
    path = tmp_path / "cities.shp"
    pyogrio.write_dataframe(layer, path, encoding=encoding)
    assert (tmp_path / "cities.cpg").exists()
    assert read(path, tmp_path).column("name").to_pylist() == [text]
    (tmp_path / "cities.cpg").unlink()
    assert read(path, tmp_path, encoding=encoding).column("name").to_pylist() == [text]


def test_a_layer_is_chosen_or_refused(mixed_layer: gpd.GeoDataFrame, tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    pyogrio.write_dataframe(mixed_layer, path, layer="first")
    pyogrio.write_dataframe(mixed_layer.iloc[:1], path, layer="second")
    plain = mixed_layer.drop(columns="geometry")
    pyogrio.write_dataframe(plain, path, layer="notes")

    with pytest.raises(InputError, match="first, second"):
        open_layer(path, scratch=tmp_path)
    with pytest.raises(InputError, match=r"without geometry.*Layers with geometry: first, second"):
        open_layer(path, scratch=tmp_path, layer="notes")
    with pytest.raises(InputError, match="no such layer"):
        open_layer(path, scratch=tmp_path, layer="third")
    assert open_layer(path, scratch=tmp_path, layer="second").info.features == 1
    pyogrio.write_dataframe(plain, tmp_path / "plain.gpkg", layer="notes")
    with pytest.raises(InputError, match="only tables without: notes"):
        open_layer(tmp_path / "plain.gpkg", scratch=tmp_path)


def test_missing_sidecars_are_named(mixed_layer: gpd.GeoDataFrame, tmp_path: Path) -> None:
    path = write(mixed_layer, tmp_path / "layer.shp", "ESRI Shapefile")
    (tmp_path / "layer.prj").unlink()
    assert open_layer(path, scratch=tmp_path).info.crs_missing == "layer.prj is missing"
    (tmp_path / "layer.shx").unlink()
    with pytest.raises(InputError, match=r"\.shx missing"):
        open_layer(path, scratch=tmp_path)
    (tmp_path / "layer.dbf").unlink()
    with pytest.raises(InputError, match=r"\.shx and \.dbf missing"):
        open_layer(path, scratch=tmp_path)


@pytest.mark.parametrize("suffix", [name for name in FORMATS if name != "tab"])
def test_a_truncated_file_is_refused(suffix: str, tmp_path: Path) -> None:
    layer = gpd.GeoDataFrame({"a": range(3000)}, crs=4326,
                             geometry=shapely.box(np.arange(3000) / 100, 0, 31, 1))  # fmt: skip
    path = write(layer, tmp_path / f"whole.{suffix}", FORMATS[suffix])
    cut = tmp_path / f"cut.{suffix}"
    for sidecar in tmp_path.glob("whole.*"):
        shutil.copy(sidecar, tmp_path / f"cut{sidecar.suffix}")
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with pytest.raises(InputError, match=f"cut.{suffix}"):
        read(cut, tmp_path)


def test_files_that_make_ogr_open_something_else_are_refused(
    mixed_layer: gpd.GeoDataFrame, tmp_path: Path
) -> None:
    secret = write(mixed_layer, tmp_path / "secret.gpkg", "GPKG")
    vrt = (f"<OGRVRTDataSource><OGRVRTLayer name='secret'><SrcDataSource>{secret}</SrcDataSource>"
           "</OGRVRTLayer></OGRVRTDataSource>")  # fmt: skip
    alg = {"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline read {secret}"}
    link = {"type": "FeatureCollection", "features": [],
            "crs": {"type": "link", "properties": {"href": "http://localhost/crs"}}}  # fmt: skip
    entity = '<!DOCTYPE a [<!ENTITY b "c">]><kml xmlns="http://www.opengis.net/kml/2.2"/>'
    texts = {"vrt.gpkg": vrt, "vrt.geojson": vrt, "alg.geojson": json.dumps(alg),
             "link.geojson": json.dumps(link), "entity.kml": entity,
             "seam.tab": "!table\n!version 300\nDefinition Table\n Type Seamless"}  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=name):
            open_layer(tmp_path / name, scratch=tmp_path)
    (tmp_path / "empty.gpkg").touch()
    with pytest.raises(InputError, match="0 bytes"):
        open_layer(tmp_path / "empty.gpkg", scratch=tmp_path)
    with pytest.raises(InputError, match="nothing there"):
        open_layer(tmp_path / "absent.gpkg", scratch=tmp_path)


def test_dangerous_drivers_do_not_exist_where_deliveries_are_read() -> None:
    code = (
        "import geo_assets.kernels.vector_ogr, pyogrio; "
        "print(*{'OGR_VRT', 'GDALG', 'WFS', 'HTTP', 'ADBC'} & set(pyogrio.list_drivers()))"
    )
    env = {key: value for key, value in os.environ.items() if key != "OGR_SKIP"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr


def test_archives_are_unpacked(mixed_layer: gpd.GeoDataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    write(mixed_layer, folder / "layer.shp", "ESRI Shapefile")
    write(mixed_layer.iloc[:2], folder / "other.gpkg", "GPKG")
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    with zipfile.ZipFile(one, "w") as archive:
        for file in folder.glob("layer.*"):
            archive.write(file, f"deep/folder/{file.name}")
    with zipfile.ZipFile(two, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)

    assert read(one, tmp_path).num_rows == 4
    assert read(one, tmp_path, layer="layer").num_rows == 4
    assert read(two, tmp_path, layer="other").num_rows == 2
    with pytest.raises(InputError, match=r"layer\.shp, other\.gpkg"):
        read(two, tmp_path)


def test_hostile_archives_are_refused(tmp_path: Path) -> None:
    bomb, escape, damaged, empty = (tmp_path / f"{n}.zip" for n in ("bomb", "esc", "dam", "emp"))
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("layer.geojson", b"\0" * (8 << 20))
    with zipfile.ZipFile(escape, "w") as archive:
        archive.writestr("../outside.geojson", "{}")
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    damaged.write_bytes(bomb.read_bytes()[:4000])
    cases = {bomb: "own size", escape: "stay inside", damaged: "unpacked", empty: "none"}
    for path, words in cases.items():
        with pytest.raises(InputError, match=words):
            unzip(path, tmp_path / "out" / path.stem, max_bytes=1 << 20)
    assert not (tmp_path / "outside.geojson").exists()
    assert sum(f.stat().st_size for f in (tmp_path / "out").rglob("*.geojson")) <= 1 << 20
