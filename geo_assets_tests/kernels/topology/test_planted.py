"""Every planted defect is found, by id, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from pyproj import Geod, Transformer

from geo_assets.errors import InputError
from geo_assets.kernels.layer_picture import LayerPicture, draw_layer
from geo_assets.model import MAX_SAMPLES
from geo_assets.rules.schema import conformance
from geo_assets.rules.topology import CoverageRules, NetworkRules, ShapeRules, TopologyRules

SIDE = 8
RULES = TopologyRules(
    shape=ShapeRules(geometry_types=("Polygon",), orientation="ccw", sliver_width_m=1.0),
    coverage=CoverageRules(gap_width_m=50.0),
)


def bowtie(polygon: shapely.Polygon) -> shapely.Polygon:
    xy = shapely.get_coordinates(polygon)
    xy[[1, 6]] = xy[[6, 1]]
    return shapely.Polygon(xy)


def planted(planting: Any) -> list:
    """One defect of each kind, none next to another."""
    shapes = planting.coverage(SIDE)
    shapes[9] = planting.moved(shapes[9], 1, (0.0, 30.0))  # its lower border retreats: gap to 1
    shapes[12] = planting.moved(shapes[12], 1, (0.0, -30.0))  # and advances: overlap with 4
    xy = shapely.get_coordinates(shapes[14])[:-1]  # an extra vertex where 6 has none
    shapes[14] = shapely.Polygon(np.insert(xy, 2, np.round((xy[1] + xy[2]) / 2, 3), axis=0))
    shapes[24] = bowtie(shapes[24])
    shapes[28] = None
    shapes[30] = shapely.Polygon()
    xy = shapely.get_coordinates(shapes[40])
    xy[3] = np.nan
    with np.errstate(invalid="ignore"):
        shapes[40] = shapely.Polygon(xy)
    shapes[44] = shapely.reverse(shapes[44])
    shapes[46] = shapely.MultiPolygon([shapes[46]])
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    shapes[56] = shapely.transform(
        shapes[56], lambda c: np.column_stack(to_degrees.transform(*c.T))
    )
    shapes.append(shapely.Polygon(np.roll(shapely.get_coordinates(shapes[60])[:-1], 5, axis=0)))
    shapes.append(shapely.box(0, 0, 0.4, 900))
    shapes[-1] = shapely.affinity.translate(shapes[-1], 380_000, 5_480_000)
    return shapes


WANTED = {
    "gap": ["f1+f9"],
    "overlap": ["f4+f12"],
    "unmatched_edge": ["f6+f14"],
    "self_intersection": ["f24"],
    "null_geometry": ["f28"],
    "empty_geometry": ["f30"],
    "non_finite": ["f40"],
    "ring_orientation": ["f44"],
    "multipart": ["f46"],
    "degrees_in_projected_crs": ["f56"],
    "duplicate": ["f60+f64"],
    "sliver": ["f65"],
}


@pytest.mark.parametrize("chunk_bytes", [1 << 30, 4000, 600])
@pytest.mark.parametrize("covering", [True, False])
def test_planted_defects_are_found_by_id_and_no_others(
    tmp_path: Path, planting: Any, examine: Any, chunk_bytes: int, covering: bool
) -> None:
    layer = planting.write(tmp_path / "layer.parquet", planted(planting), covering=covering)
    table, result = examine(layer, RULES, chunk_bytes)
    got = planting.pairs(table)
    assert {kind: sorted(ids) for kind, ids in got.items()} == WANTED
    assert result.facts["findings"]["counts"].keys() == WANTED.keys()
    assert result.facts["checked"] == len(planted(planting))


def test_sizes_are_metres_and_places_are_degrees(
    tmp_path: Path, planting: Any, examine: Any
) -> None:
    table, _ = examine(planting.write(tmp_path / "layer.parquet", planted(planting)), RULES)
    rows = {row["kind"]: row for row in table.to_pylist()}
    shapes = planted(planting)
    parts = shapely.get_parts(shapely.intersection(shapes[4], shapes[12]))
    (common,) = parts[shapely.area(parts) > 0]
    assert rows["overlap"]["area_m2"] == pytest.approx(common.area, rel=1e-9)
    circle = shapely.maximum_inscribed_circle(common, tolerance=0.01)
    assert rows["overlap"]["size_m"] == pytest.approx(2 * circle.length, rel=0.03)
    hole = shapely.difference(planting.coverage(SIDE)[9], shapes[9])
    assert rows["gap"]["area_m2"] == pytest.approx(hole.area, rel=1e-9)
    assert rows["duplicate"]["size_m"] == 0
    assert rows["self_intersection"]["size_m"] == pytest.approx(1100, abs=500)
    without = {kind for kind, row in rows.items() if row["size_m"] is None}
    assert without == {"null_geometry", "empty_geometry", "non_finite"}
    assert without == {kind for kind, row in rows.items() if row["lon"] is None}
    place = shapely.from_wkb(rows["gap"]["geometry"])
    to_lonlat = Transformer.from_crs(32633, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(place.centroid.x, place.centroid.y)
    assert (rows["gap"]["lon"], rows["gap"]["lat"]) == pytest.approx((lon, lat), abs=0.01)


def test_the_report_is_a_geoparquet_layer(tmp_path: Path, planting: Any, examine: Any) -> None:
    layer = planting.write(tmp_path / "layer.parquet", planted(planting))
    _, result = examine(layer, RULES)
    frame = gpd.read_parquet(result.files[0].path)
    assert frame.crs == "EPSG:32633"
    assert set(frame.geom_type.dropna()) >= {"Polygon", "MultiPolygon", "MultiLineString", "Point"}
    assert frame[frame.kind == "null_geometry"].geometry.isna().all()
    assert list(conformance(result.files[0].path)) == []
    west, south, _, _ = frame.total_bounds
    corner = gpd.read_parquet(result.files[0].path, bbox=(west, south, west + 1, south + 1))
    assert corner["kind"].tolist() == ["degrees_in_projected_crs"], "a viewer reads by bounding box"


def test_the_picture_shows_where_defects_are_of_every_kind(
    tmp_path: Path, planting: Any, examine: Any
) -> None:
    shapes = planted(planting)
    shapes += [shapely.affinity.translate(bowtie(shape), 2e4) for shape in planting.coverage(SIDE)]
    layer = planting.write(tmp_path / "layer.parquet", shapes)
    table, result = examine(layer, RULES)
    findings = result.facts["findings"]
    assert findings["counts"]["self_intersection"] == 1 + SIDE**2 > MAX_SAMPLES
    assert {sample["kind"] for sample in findings["samples"]} == WANTED.keys()
    assert len(findings["samples"]) == MAX_SAMPLES
    lon, lat = (table[name].drop_null().to_numpy() for name in ("lon", "lat"))
    assert result.facts["bbox"] == [lon.min(), lat.min(), lon.max(), lat.max()]
    folder = tmp_path / "picture"
    folder.mkdir()
    drawn = draw_layer(LayerPicture(paths=(layer,), findings=findings), folder)
    svg = drawn.files[0].path.read_text()
    assert svg.count("<circle") == sum("lon" in one for one in findings["samples"])
    assert f"{table.num_rows} defects" in drawn.facts["alt"]


def test_a_clean_layer_has_an_empty_report(tmp_path: Path, planting: Any, examine: Any) -> None:
    layer = planting.write(tmp_path / "layer.parquet", planting.coverage(5))
    table, result = examine(layer, RULES, 2000)
    assert table.num_rows == 0
    assert result.facts["findings"] == {"checked": 25, "counts": {}, "samples": []}
    assert len(gpd.read_parquet(result.files[0].path)) == 0


def test_a_layer_without_features_has_an_empty_report(
    tmp_path: Path, planting: Any, examine: Any
) -> None:
    table, _ = examine(planting.write(tmp_path / "layer.parquet", []), RULES)
    assert table.num_rows == 0


def test_rules_for_single_features_need_no_spool(
    tmp_path: Path, planting: Any, examine: Any
) -> None:
    layer = planting.write(tmp_path / "layer.parquet", planted(planting))
    alone = TopologyRules(shape=RULES.shape)
    table, _ = examine(layer, alone, 600)
    wanted = {k: v for k, v in WANTED.items() if k not in ("gap", "overlap", "duplicate")}
    del wanted["unmatched_edge"]
    got = planting.pairs(table)
    assert got.keys() == wanted.keys()
    assert table.equals(examine(layer, alone)[0])


def test_the_hole_of_an_invalid_feature_is_not_a_gap(
    tmp_path: Path, planting: Any, examine: Any
) -> None:
    shapes = planting.coverage(4)
    whole = planting.write(tmp_path / "null.parquet", [*shapes[:5], None, *shapes[6:]])
    broken = planting.write(
        tmp_path / "bowtie.parquet", [*shapes[:5], bowtie(shapes[5]), *shapes[6:]]
    )
    rules = TopologyRules(coverage=CoverageRules(gap_width_m=2000.0))
    assert planting.pairs(examine(whole, rules)[0])["gap"] == ["f1+f4+f6+f9"]
    assert "gap" not in planting.pairs(examine(broken, rules)[0])


def test_an_annular_gap_across_many_chunks_is_one_gap(
    tmp_path: Path, planting: Any, examine: Any
) -> None:
    """A ring-shaped gap between an island and a coverage that surrounds it, longer than a chunk."""
    shapes = planting.coverage(6)
    middle = shapely.union_all([shapes[i] for i in (14, 15, 20, 21)])
    rest = [s for i, s in enumerate(shapes) if i not in (14, 15, 20, 21)]
    layer = planting.write(tmp_path / "layer.parquet", [*rest, middle.buffer(-4.0, quad_segs=1)])
    rules = TopologyRules(coverage=CoverageRules(gap_width_m=20.0))
    table, _ = examine(layer, rules, 600)
    (row,) = table.to_pylist()
    assert row["kind"] == "gap"
    assert row["ids"].count("+") == 12 - 4
    assert row["size_m"] == pytest.approx(8.0 / 2, abs=4.0)
    assert table.equals(examine(layer, rules)[0])


def test_degrees_are_measured_in_metres(tmp_path: Path, planting: Any, examine: Any) -> None:
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    shapes = planting.coverage(4)
    shapes[5] = planting.moved(shapes[5], 1, (0.0, 30.0))
    lonlat = shapely.transform(
        np.array(shapes), lambda c: np.column_stack(to_degrees.transform(*c.T))
    )
    layer = planting.write(tmp_path / "layer.parquet", list(lonlat), crs="EPSG:4326")
    rules = TopologyRules(coverage=CoverageRules(gap_width_m=50.0))
    table, _ = examine(layer, rules, 600)
    (row,) = table.to_pylist()
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(shapely.from_wkb(row["geometry"]))
    assert (row["kind"], row["ids"]) == ("gap", "f1+f5")
    assert row["area_m2"] == pytest.approx(abs(area), rel=1e-3)
    assert row["size_m"] == pytest.approx(25, abs=7)
    narrow = TopologyRules(coverage=CoverageRules(gap_width_m=5.0))
    assert examine(layer, narrow, 600)[0].num_rows == 0


def test_networks_are_examined_with_a_halo(tmp_path: Path, planting: Any, examine: Any) -> None:
    rng = np.random.default_rng(3)
    start = rng.uniform(0, 1000, (80, 2)) + planting.ORIGIN
    ends = start + rng.uniform(-90, 90, (80, 2))
    lines = list(shapely.linestrings(np.stack([start, ends], 1)))
    lines += [shapely.reverse(lines[at]) for at in (3, 30, 31)]
    layer = planting.write(tmp_path / "layer.parquet", lines)
    rules = TopologyRules(network=NetworkRules(snap_m=5.0))
    table, _ = examine(layer, rules)
    assert {"dangle", "duplicate", "unconnected_end"} <= planting.pairs(table).keys()
    for chunk_bytes in (150, 400, 1500):
        assert table.equals(examine(layer, rules, chunk_bytes)[0])


def test_mixed_types_are_one_finding_of_the_layer(
    tmp_path: Path, planting: Any, examine: Any
) -> None:
    layer = planting.write(
        tmp_path / "layer.parquet", [shapely.Point(400_000, 5_500_000), *planting.coverage(2)]
    )
    (row,) = examine(layer, TopologyRules())[0].to_pylist()
    assert (row["kind"], row["detail"]) == ("mixed_types", "The layer holds 1 Point, 4 Polygon.")


def test_what_geos_cannot_read_is_named_and_nothing_is_lost(
    tmp_path: Path, planting: Any, examine: Any
) -> None:
    layer = planting.write(tmp_path / "layer.parquet", planting.coverage(3), covering=False)
    table = pq.read_table(layer)
    wkb = table["geometry"].to_pylist()
    wkb[4], wkb[5] = wkb[4][:20], None
    broken = table.set_column(
        table.schema.get_field_index("geometry"), "geometry", pa.array(wkb, pa.binary())
    )
    pq.write_table(broken, layer)
    for rules in (TopologyRules(), TopologyRules(coverage=CoverageRules(gap_width_m=5.0))):
        found, result = examine(layer, rules, 600)
        assert planting.pairs(found) == {"null_geometry": ["f5"], "unreadable_geometry": ["f4"]}
        assert result.facts["checked"] == 9


def test_a_bounding_box_that_is_wrong_is_refused(
    tmp_path: Path, planting: Any, examine: Any
) -> None:
    layer = planting.write(tmp_path / "layer.parquet", planting.coverage(3))
    table = pq.read_table(layer)
    boxes = table["bbox"].to_pylist()
    boxes[2]["xmax"] -= 500.0
    at = table.schema.get_field_index("bbox")
    pq.write_table(table.set_column(at, "bbox", pa.array(boxes)), layer)
    with pytest.raises(InputError, match="bounding box"):
        examine(layer, TopologyRules(coverage=CoverageRules(gap_width_m=5.0)))
