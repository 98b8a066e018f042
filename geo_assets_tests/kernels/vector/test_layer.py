"""The layer kernel: every row accounted for, as declared, in spatial order, reproducible."""

from __future__ import annotations

import datetime as dt
import json
import struct
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import geopandas as gpd
import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import HealthCheck, given, settings

from geo_assets.errors import ConfigError, ContractError, InputError
from geo_assets.kernels import layer_output, spill
from geo_assets.kernels.geoparquet import LayerWriter, geo_schema
from geo_assets.kernels.hilbert import hilbert_codes
from geo_assets.kernels.layer import build_layer
from geo_assets.kernels.layer_spec import LayerSpec
from geo_assets.kernels.layers import predicted_bytes
from geo_assets.rules.schema import conformance

Build = Callable[..., tuple]

BOW_TIE = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])


def parquet(layer: gpd.GeoDataFrame, path: Path) -> Path:
    layer.to_parquet(path)
    return path


def squares(count: int, crs: str = "EPSG:32633") -> gpd.GeoDataFrame:
    """Squares of 100 m in a row of 10, in shuffled order."""
    order = np.random.default_rng(1).permutation(count)
    x, y = 4e5 + order % 10 * 100, 5e6 + order // 10 * 100
    return gpd.GeoDataFrame({"id": order, "text": [f"n{i}" for i in order]},
                            geometry=shapely.box(x, y, x + 100, y + 100), crs=crs)  # fmt: skip


def test_a_layer_comes_out_in_its_canonical_form(build: Build, tmp_path: Path) -> None:
    layer = squares(100)
    source = parquet(layer, tmp_path / "in.parquet")

    result, got = build(source, crs="EPSG:4326", key="id")

    assert got.crs == "EPSG:4326"
    expected = layer.to_crs(4326).set_index("id").loc[got["id"]]
    assert shapely.equals_exact(
        got.geometry.to_numpy(), expected.geometry.to_numpy(), tolerance=1e-12
    ).all()
    assert list(got["text"]) == list(expected["text"])
    assert result.facts["rows"] == {"delivered": 100, "kept": 100, "quarantined": 0}
    assert result.facts["operation"]["accuracy_m"] == 0.0
    assert not list(conformance(result.files[0].path))
    assert (
        gpd.read_parquet(result.files[0].path, bbox=tuple(expected.iloc[0].geometry.bounds))["id"]
        .isin(got["id"])
        .all()
    )
    json.dumps(dict(result.facts))


def test_the_same_input_gives_the_same_bytes(build: Build, tmp_path: Path) -> None:
    source = parquet(squares(200), tmp_path / "in.parquet")
    first, _ = build(source, crs="EPSG:3857")
    second, _ = build(source, crs="EPSG:3857")
    assert [f.sha256 for f in first.files] == [f.sha256 for f in second.files]


def test_large_layers_are_sorted_in_partitions_and_cut_into_parts(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Group, partition and part limits change how the work is cut, never the order of rows."""
    source = parquet(squares(2000), tmp_path / "in.parquet")
    whole, _ = build(source, key="id")
    rows = pq.read_table(whole.files[0].path)
    monkeypatch.setattr(spill, "GROUP_ROWS", 100)
    monkeypatch.setattr(spill, "PARTITION_BYTES", 40_000)
    monkeypatch.setattr(layer_output, "PART_BYTES", 150_000)
    workdir = tmp_path / "parts"
    workdir.mkdir()

    result = build_layer(LayerSpec(source=source, name="x", key="id"), workdir)

    paths = [file.path for file in result.files]
    assert len(paths) > 1
    assert [path.name for path in paths] == [f"x-{i:05d}.parquet" for i in range(len(paths))]
    parts = pa.concat_tables([pq.read_table(path) for path in paths])
    assert parts.replace_schema_metadata(None).equals(rows.replace_schema_metadata(None))
    for path, file in zip(paths, result.files, strict=True):
        assert not list(conformance(path))
        assert np.allclose(gpd.read_parquet(path).total_bounds, file.facts["bounds"])
        meta = pq.read_metadata(path)
        assert all(meta.row_group(i).num_rows == 100 for i in range(meta.num_row_groups))
    assert not list(workdir.rglob("*.arrow"))


def test_row_groups_hold_50k_to_150k_rows(tmp_path: Path) -> None:
    for rows in (1, 99_999, 149_999, 150_001, 260_000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        store = spill.Spill(folder, pa.schema([("a", pa.int8()), ("b", pa.struct([]))]), "b")
        store.close()
        store._sizes = [np.full(rows, 50, dtype=np.uint32)]
        groups = store.groups(np.arange(rows, dtype=np.uint64))
        sizes = [group.stop - group.start for group in groups]
        assert sum(sizes) == rows
        assert len(sizes) == 1 or all(50_000 <= size <= 150_000 for size in sizes)


def test_hilbert_codes_follow_a_connected_curve() -> None:
    side = 64
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(side), np.arange(side)))
    codes = hilbert_codes(x * 1.0, y * 1.0, (0, 0, side - 1, side - 1))
    order = np.argsort(codes)
    assert len(set(codes.tolist())) == side**2
    assert (np.abs(np.diff(x[order])) + np.abs(np.diff(y[order])) == 1).all()
    assert hilbert_codes(np.array([np.nan]), np.array([0.0]), (0, 0, 1, 1))[0] == 2**32 - 1


def test_all_kinds_of_values_survive(build: Build, tmp_path: Path) -> None:
    noon = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    table = pa.table({
        "größe": pa.array([1.5, None, float("nan")]),
        "money": pa.array([Decimal("1.10"), None, Decimal("-99.99")], pa.decimal128(10, 2)),
        "day": pa.array([dt.date(2024, 1, 1), None, dt.date(1, 1, 1)]),
        "moment": pa.array([noon, None, None], pa.timestamp("us", "UTC")),
        "tags": pa.array([["a", "b"], None, []], pa.list_(pa.string())),
        "address": pa.array([{"street": "Ü", "no": 1}, None, {"street": None, "no": 2}]),
        "raw": pa.array([b"\0\1", None, b""]),
        "ok": pa.array([True, None, False]),
        "bbox": pa.array(["mine", "is", "text"]),
    })  # fmt: skip
    shapes = [shapely.Point(1, 2, 3), None, shapely.from_wkt("POLYGON EMPTY")]
    schema = geo_schema(table.schema, None, covering=None)
    wkb = pa.array(shapely.to_wkb(np.array(shapes, dtype=object)), pa.binary())
    source = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_arrays([*table.columns, wkb], schema=schema), source)

    result, _ = build(source, source_crs="EPSG:4326", null_geometry=True)

    got = pq.read_table(result.files[0].path).sort_by("fid")
    assert got.column("bbox").to_pylist() == ["mine", "is", "text"]
    assert pa.types.is_struct(got.schema.field("bbox_1").type)
    for name in table.column_names:
        assert got.column(name).type == table.column(name).type
        for mine, theirs in zip(got.column(name).to_pylist(), table.column(name).to_pylist(),
                                strict=True):  # fmt: skip
            assert mine == theirs or (mine != mine and theirs != theirs)
    back = shapely.from_wkb(got.column("geometry").to_numpy())
    assert [None if g is None else g.wkt for g in back] == [
        "POINT Z (1 2 3)",
        None,
        "POLYGON EMPTY",
    ]
    assert result.facts["geometry_types"] == ["Point Z", "Polygon"]


def planted() -> tuple[gpd.GeoDataFrame, dict[int, str]]:
    """A layer in UTM with one defect of each kind, and what is expected of each row."""
    good = [shapely.box(4e5 + i * 10, 5e6, 4e5 + i * 10 + 9, 5e6 + 9) for i in range(20)]
    wkb = struct.pack("<BIII8d", 1, 3, 1, 4, 4e5, 5e6, np.nan, 5e6, 4e5, 5.1e6, 4e5, 5e6)
    with np.errstate(invalid="ignore"):
        nan = shapely.from_wkb(wkb)
    bad = {
        3: (None, "null_geometry"),
        5: (nan, "non_finite"),
        7: (shapely.box(12, 48, 13, 49), "degrees_in_projected_crs"),
        9: (shapely.box(1e9, 5e6, 1.1e9, 6e6), "out_of_bounds"),
        11: (shapely.Point(4e5, 5e6), "unexpected_type"),
    }
    for row, (shape, _) in bad.items():
        good[row] = shape
    ids = [f"k{i}" for i in range(20)]
    ids[13], ids[15] = None, "k14"
    year = [str(2000 + i) for i in range(20)]
    year[17] = "MMXVII"
    layer = gpd.GeoDataFrame({"id": ids, "year": year}, geometry=good, crs="EPSG:32633")
    expected = {row: reason for row, (_, reason) in bad.items()}
    return layer, expected | {13: "null_key", 15: "duplicate_key", 17: "uncastable"}


@pytest.mark.filterwarnings("ignore:invalid value encountered in from_wkb")  # geopandas reads NaN
def test_planted_defects_are_quarantined_and_nothing_else(build: Build, tmp_path: Path) -> None:
    layer, expected = planted()
    source = parquet(layer, tmp_path / "in.parquet")

    result, got = build(source, crs="EPSG:4326", key="id", geometry_types=("MultiPolygon",),
                        columns={"id": "string", "year": "int16"})  # fmt: skip

    lost = pq.read_table(result.files[1].path)
    assert dict(zip(lost["_row"].to_pylist(), lost["_reason"].to_pylist(), strict=True)) == expected
    assert result.files[1].roles == ("quarantine",)
    assert len(got) == 20 - len(expected)
    assert set(got.geom_type) == {"MultiPolygon"}
    assert got["year"].dtype == "int16"
    assert lost.schema.names[:2] == ["id", "year"]
    again = gpd.read_parquet(result.files[1].path)
    assert again.crs == layer.crs
    for row, shape in zip(again["_row"], again.geometry, strict=True):
        before = layer.geometry.iloc[row]
        assert shape is before is None or shapely.to_wkb(shape) == shapely.to_wkb(before)
    samples = {s["kind"]: s for s in result.facts["quarantine"]["samples"]}
    assert samples["duplicate_key"]["feature"] == "k14"
    assert samples["unexpected_type"]["lat"] == pytest.approx(45.14, abs=0.1)
    assert "MMXVII" in samples["uncastable"]["detail"]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_rows_in_are_rows_out_and_rows_quarantined(data: st.DataObject) -> None:
    """Whatever is delivered and declared: each row is in exactly one place."""
    shapes = st.sampled_from([
        None, shapely.Point(4e5, 5e6), shapely.Point(1, 1), shapely.Point(np.nan, 1),
        shapely.box(4e5, 5e6, 5e5, 5.1e6), shapely.from_wkt("POINT EMPTY"),
        shapely.transform(BOW_TIE, lambda xy: xy + np.array([4e5, 5e6])),
        shapely.LineString([(4e5, 5e6), (np.inf, 5e6)]), shapely.Point(4e5, 5e6, 7),
    ])  # fmt: skip
    rows = data.draw(st.lists(
        st.tuples(shapes, st.sampled_from([None, 1, 2, 3, 4, 5, 6]), st.text(max_size=3)),
        min_size=1, max_size=12))  # fmt: skip
    layer = gpd.GeoDataFrame({"k": pa.array([r[1] for r in rows], pa.int64()).to_pandas(),
                              "t": [r[2] for r in rows]},
                             geometry=[r[0] for r in rows], crs="EPSG:32633")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        source = parquet(layer, Path(folder) / "in.parquet")
        workdir = Path(folder) / "work"
        workdir.mkdir()
        spec = LayerSpec(
            source=source, name="x", key=data.draw(st.sampled_from([None, "k"])),
            crs=data.draw(st.sampled_from([None, "EPSG:4326", "EPSG:3857"])),
            columns=data.draw(st.sampled_from([{}, {"k": "int8", "t": "int64"}])),
            geometry_types=data.draw(st.sampled_from([(), ("Point",), ("MultiPolygon", "Point")])),
            null_geometry=data.draw(st.booleans()), misplaced="keep",
            invalid=data.draw(st.sampled_from(["keep", "quarantine", "repair"])))  # fmt: skip
        result = build_layer(spec, workdir)
        kept = pq.read_table(workdir / "x.parquet")
        names = [file.name for file in result.files]
        quarantine = "quarantine.parquet"
        lost = pq.read_table(workdir / quarantine) if quarantine in names else None
        out = lost["_row"].to_pylist() if lost else []
        if spec.key is None:
            assert sorted(kept["fid"].to_pylist() + out) == list(range(len(rows)))
        assert kept.num_rows + len(out) == len(rows) == result.facts["rows"]["delivered"]
        assert not list(conformance(workdir / "x.parquet"))
        if spec.key == "k":
            assert len(set(kept["k"].to_pylist())) == kept.num_rows
        if spec.invalid != "keep":
            assert shapely.is_valid(
                shapely.from_wkb(kept["geometry"].to_numpy())[
                    ~kept["geometry"].is_null().to_numpy()
                ]
            ).all()


def test_a_wrong_crs_is_never_taken_silently(build: Build, tmp_path: Path) -> None:
    layer = squares(10)
    source = parquet(layer, tmp_path / "utm.parquet")
    with pytest.raises(InputError, match=r"declared CRS EPSG:32632.*got EPSG:32633"):
        build(source, source_crs="EPSG:32632")
    unknown = parquet(layer.set_crs(None, allow_override=True), tmp_path / "unknown.parquet")
    with pytest.raises(InputError, match="no CRS"):
        build(unknown)
    assert build(unknown, source_crs="EPSG:32633")[1].crs == "EPSG:32633"
    with pytest.raises(InputError, match=r"10 of 10 features elsewhere"):
        build(unknown, source_crs="EPSG:4326")
    degrees = parquet(layer.to_crs(4326).set_crs(None, allow_override=True), tmp_path / "d.parquet")
    with pytest.raises(InputError, match="degrees"):
        build(degrees, source_crs="EPSG:3857")
    with pytest.raises(InputError, match="degrees"):
        build(degrees, source_crs="EPSG:32633")
    with pytest.raises(ConfigError, match="EPSG:999999"):
        build(source, crs="EPSG:999999")
    swapped = layer.set_geometry(shapely.transform(layer.geometry, lambda xy: xy[:, ::-1]))
    swapped = swapped.set_crs("EPSG:32633", allow_override=True)
    with pytest.raises(InputError, match="swapped_axes"):
        build(parquet(swapped, tmp_path / "swapped.parquet"))


def test_declared_columns_are_exactly_what_is_published(build: Build, tmp_path: Path) -> None:
    source = parquet(squares(5).assign(extra=1.5), tmp_path / "in.parquet")
    result, got = build(source, columns={"text": "string"})
    assert list(got.columns) == ["fid", "text", "geometry", "bbox"] or list(got.columns) == [
        "fid", "text", "geometry"]  # fmt: skip
    assert result.facts["columns"] == {"fid": "int64", "text": "string"}
    result, _ = build(source, columns={"text": "string"}, extra_columns=True, key="id")
    assert list(result.facts["columns"]) == ["text", "id", "extra"]
    with pytest.raises(InputError, match=r"'owner'.*columns id, text, extra"):
        build(source, columns={"owner": "string"})
    with pytest.raises(InputError, match="got large_string"):
        build(source, columns={"text": "list<int64>"})
    with pytest.raises(ConfigError, match="'integer'"):
        build(source, columns={"id": "integer"})
    with pytest.raises(InputError, match="'nope'"):
        build(source, key="nope")


@pytest.mark.parametrize("policy", ["keep", "quarantine", "repair"])
def test_invalid_geometry_is_kept_quarantined_or_repaired(
    policy: str, build: Build, tmp_path: Path
) -> None:
    moved = shapely.transform(BOW_TIE, lambda xy: xy * 100 + np.array([4e5, 5e6]))
    layer = squares(3)
    layer.loc[1, "geometry"] = moved
    result, got = build(parquet(layer, tmp_path / "in.parquet"), invalid=policy)
    valid = got.geometry.is_valid
    assert (valid.sum(), len(got)) == {"keep": (2, 3), "quarantine": (2, 2), "repair": (3, 3)}[
        policy
    ]
    if policy == "quarantine":
        assert "Self-intersection" in result.facts["quarantine"]["samples"][0]["detail"]
    if policy == "repair":
        assert result.facts["repair"]["repaired"] == 1
        assert result.facts["repair"]["area_gained_m2"] == pytest.approx(5000)
        assert set(got.geom_type) == {"Polygon", "MultiPolygon"}


def test_a_required_accuracy_names_the_grid_that_is_missing(build: Build, tmp_path: Path) -> None:
    layer = gpd.GeoDataFrame({"a": [1]}, geometry=[shapely.box(-80, 35, -79, 36)], crs="EPSG:4267")
    source = parquet(layer, tmp_path / "nc.parquet")
    with pytest.raises(ContractError, match=r"us_noaa_\w+\.tif"):
        build(source, crs="EPSG:4269", required_accuracy_m=1)
    result, _ = build(source, crs="EPSG:4269")
    operation = result.facts["operation"]
    assert operation["accuracy_m"] is None
    assert not operation["best_available"]
    assert any(name.startswith("us_noaa") for name in operation["missing_grids"])


def test_an_empty_layer_stays_a_layer(build: Build, tmp_path: Path) -> None:
    result, got = build(parquet(squares(3).iloc[:0], tmp_path / "in.parquet"), crs="EPSG:4326")
    assert (len(got), got.crs) == (0, "EPSG:4326")
    assert result.facts["bounds"] is None


def test_a_file_that_cannot_be_read_back_is_not_a_result(tmp_path: Path) -> None:
    schema = geo_schema(pa.schema([("a", pa.int64())]), None)
    writer = LayerWriter(tmp_path / "x.parquet", schema)
    writer.rows = 5
    with pytest.raises(ContractError, match="'rows': 5"):
        writer.close()


def test_predicted_memory_grows_with_the_number_of_features_only() -> None:
    assert predicted_bytes(features=10**8) - predicted_bytes(features=0) == 30 * 10**8
