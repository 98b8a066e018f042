"""Real layers with known faults: each is found, counted and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from geo_assets.errors import ContractError, InputError
from geo_assets.kernels.vector_source import open_layer
from geo_assets.rules.geometry import check_geometry

INVALID = {
    "raster/landsat_nyc_series/nycd.gpkg": 18,
    "area/western_cape/farms_33S.shp": 16,
    "vector/boulder_buildings/boulder_buildings.zip": 10,
    "vector/mixed/tokyomet262.shp": 10,
    "vector/us_points/us_states.shp": 3,
    "vector/alaska_sample_part/landice.shp": 9,
    "vector/alaska_sample_part/swamp.shp": 1,
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_polygons_are_found_where_they_are(
    name: str, real_data: Path, build: Callable
) -> None:
    result, got = build(real_data / name)
    findings = check_geometry([result.files[0].path])
    bad = got[~got.geometry.is_valid]
    assert findings.total == INVALID[name] == len(bad)
    assert {int(s.feature) for s in findings.samples} == set(range(len(got))) & set(bad.index)
    west, south, east, north = bad.to_crs(4326).total_bounds
    for sample in findings.samples:
        assert west - 1e-6 <= sample.lon <= east + 1e-6
        assert south - 1e-6 <= sample.lat <= north + 1e-6


def test_western_cape(real_data: Path, build: Callable) -> None:
    folder = real_data / "area/western_cape"
    result, got = build(folder / "rivers.shp", crs="EPSG:32733")
    assert result.facts["quarantine"]["counts"] == {"null_geometry": 7}
    assert (len(got), got.crs) == (12, "EPSG:32733")
    with pytest.raises(InputError, match=r"38 features.*37.*water\.shp.*shape 30"):
        build(folder / "water.shp")
    result, got = build(folder / "farms_33S.shp", invalid="repair")
    assert got.geometry.is_valid.all()
    assert result.facts["repair"]["repaired"] == 16


def test_alaska_is_in_feet_without_a_code(real_data: Path, build: Callable) -> None:
    path = real_data / "vector/alaska_sample_part/landice.shp"
    result, got = build(path, source_crs="EPSG:2964", crs="EPSG:4326")
    expected = gpd.read_file(path).to_crs(4326)
    assert result.facts["operation"]["accuracy_m"] == 12.0
    assert got.total_bounds == pytest.approx(expected.total_bounds, abs=1e-3)
    with pytest.raises(InputError, match="EPSG:3338"):
        build(path, source_crs="EPSG:3338")


def test_north_carolina_needs_a_grid(real_data: Path, build: Callable) -> None:
    path = real_data / "vector/nc_nad27/nc.gpkg"
    with pytest.raises(ContractError, match=r"us_noaa_conus\.tif"):
        build(path, crs="EPSG:4269", required_accuracy_m=1)


def test_crs_traps(real_data: Path, build: Callable) -> None:
    folder = real_data / "vector/gpkg_crs_traps"
    with pytest.raises(InputError, match="oregon_2269, oregon_4326"):
        build(folder / "mixed_crs.gpkg")
    feet, degrees = (build(folder / "mixed_crs.gpkg", layer=f"oregon_{code}", crs="EPSG:4326")[1]
                     for code in (2269, 4326))  # fmt: skip
    assert feet.total_bounds == pytest.approx(degrees.total_bounds, abs=1e-3)
    with pytest.raises(InputError, match="no CRS"):
        build(folder / "null_crs_gdal.gpkg")
    trap = folder / "missing_crs_mixed_ranges.gpkg"
    with pytest.raises(InputError, match="degrees"):
        build(trap, layer="OR_land_4326", source_crs="EPSG:2269")
    with pytest.raises(InputError, match="out_of_bounds"):
        build(trap, layer="OR_land_2269", source_crs="EPSG:4326")
    result, _ = build(folder / "Oregon_customCRS.gpkg")
    assert result.facts["crs"]["authority"] is None
    with pytest.raises(InputError, match=r"10740\.prj is missing"):
        build(real_data / "vector/mixed/10740.shp")


def test_geoparquet_in_four_crs_is_one_place(real_data: Path, build: Callable) -> None:
    folder = real_data / "vector/geoparquet_crs"
    shapes = {
        name: build(folder / f"example-crs_vermont-{name}_geo.parquet", crs="OGC:CRS84")[1]
        for name in ("crs84", "4326", "utm", "custom")
    }
    first = shapes["crs84"].geometry.iloc[0]
    for name, layer in shapes.items():
        assert layer.geometry.iloc[0].hausdorff_distance(first) < 1e-4, name
    build(folder / "example-crs_vermont-4326_geo.parquet", source_crs="OGC:CRS84")


def test_the_specification_s_own_files_are_read(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "vector/geoparquet_spec/test_data"
    for path in sorted(folder.glob("*_wkb.parquet")):
        rows = [line.split(",", 1)[1].strip('"') for line in
                path.with_name(path.name.replace("encoding_wkb.parquet", "wkt.csv"))
                .read_text().splitlines()[1:]]  # fmt: skip
        source = open_layer(path, scratch=tmp_path)
        wkb = np.concatenate([b.wkb.to_numpy(zero_copy_only=False) for b in source.read()])
        for got, text in zip(shapely.from_wkb(wkb), rows, strict=True):
            assert (got is None) == (text == "")
            if text:
                assert shapely.equals(got, shapely.from_wkt(text)) or got.is_empty


def test_metadata_holds_the_official_schema(real_data: Path, build: Callable) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((real_data / "vector/geoparquet_spec/format-specs/schema.json").read_text())
    result, _ = build(real_data / "area/western_cape/roads_33S.shp", crs="EPSG:4326")
    geo = json.loads(pq.read_schema(result.files[0].path).metadata[b"geo"])
    schema["properties"].pop("version")
    schema["properties"]["columns"]["patternProperties"][".+"]["properties"].pop("crs", None)
    jsonschema.Draft7Validator(schema).validate(geo)


@pytest.mark.parametrize(("name", "text"), [
    ("dbf/ldid/chinese.shp", "简体"), ("shapefile/latin1-property.shp", "México"),
    ("shapefile/utf8-property.shp", "ηελλο ςορλδ"), ("dbf/cpg/big5.shp", None),
])  # fmt: skip
def test_encodings(name: str, text: str | None, real_data: Path, build: Callable) -> None:
    _, got = build(real_data / "vector/encodings" / name, source_crs=(
        "EPSG:4326" if "big5" in name else None), misplaced="keep")  # fmt: skip
    first = got.iloc[0][got.columns[1]]
    assert first == text if text else first.isprintable()


def test_every_other_real_layer_keeps_all_its_features(real_data: Path, build: Callable) -> None:
    for name in ("vector/us_counties/geojson-counties-fips.json",
                 "vector/natural_earth_110m/natural-earth_countries_native.parquet",
                 "vector/natural_earth_110m/natural-earth_countries.fgb",
                 "vector/natural_earth_conv/ne_10m_land.parquet",
                 "vector/geoparquet_buildings/fields_pgo_crs84_bbox_snappy.parquet",
                 "area/olinda/olinda1.shp", "points/portugal_poi/poi_portugal.gpkg"):  # fmt: skip
        result, got = build(real_data / name, crs="EPSG:3857" if "ne_10m" not in name else None)
        assert result.facts["rows"]["quarantined"] == 0
        assert len(got) == result.facts["source"]["features"]
