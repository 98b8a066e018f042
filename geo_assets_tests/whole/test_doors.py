"""The doors: what Dagster loads, what it costs to load, and what users may rely on."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from geo_assets import io_manager, model, values
from geo_assets.assembly import assemble
from geo_assets.assets.factory import recipe_asset
from geo_assets.assets.raster_tiles import raster_tiles_asset
from geo_assets.assets.topology_report import topology_report_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.checks.freshness import freshness_check
from geo_assets.checks.references import referential_integrity_check
from geo_assets.declarations import Layer
from geo_assets.errors import ConfigError
from geo_assets.grids import SquareGrid, TileMatrixGrid

REPOSITORY = Path(__file__).parents[2]
GRID = SquareGrid("EPSG:32633", 10.0, 256)


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A fresh process that has none of our variables."""
    env = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("GEO_ASSETS_", "DAGSTER_", "AWS_"))
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def imported_by(statement: str, folder: Path) -> set[str]:
    """The libraries that do CPU work which a fresh process has after a statement."""
    code = (
        f"import sys; {statement};"
        "heavy = {'rasterio', 'geopandas', 'pandas', 'shapely', 'pyogrio', 'exactextract'};"
        "print(*(heavy & set(sys.modules)))"
    )
    loaded = python("-c", code, folder=folder)
    assert loaded.returncode == 0, loaded.stderr
    return set(loaded.stdout.split())


LOAD = "import geo_assets.definitions as d; d.defs.resolve_asset_graph()"


def test_loading_needs_no_variable_and_writes_nothing(tmp_path):
    imported_by(LOAD, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_declaring_scenes_imports_no_geo_library(tmp_path):
    assert imported_by("import geo_assets.assets.raster_tiles", tmp_path) == set()


def test_loading_the_definitions_imports_no_geo_library(tmp_path):
    assert imported_by(LOAD, tmp_path) == set()


def test_dagster_validates_the_definitions(tmp_path):
    ended = python(
        "-m", "dagster", "definitions", "validate", "-w", str(REPOSITORY / "workspace.yaml"),
        folder=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "geo_assets" in ended.stdout + ended.stderr


def test_every_shipped_asset_is_described_and_its_key_is_its_layer_and_name():
    from geo_assets.definitions import defs

    graph = defs.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert key.path[0] in ("raw", "core", "out")
        assert node.group_name == key.path[0]
        assert node.description
        assert node.kinds
    for checked in (["core", "districts"], ["core", "scene_tiles"], ["out", "topology_report"]):
        assert graph.get(dg.AssetKey(checked)).check_keys


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: raster_tiles_asset("Tiles", source="{scene}.tif", grid=GRID), "lower-case"),
        (lambda: raster_tiles_asset(source="scenes/*.tif", grid=GRID), "Put {scene}"),
        (lambda: raster_tiles_asset(source="{scene}.tif", grid=GRID, resampling="best"), "nearest"),
        (lambda: vector_layer_asset("x", source="x.gpkg", crs="EPSG:0"), "CRS that PROJ knows"),
        (lambda: vector_layer_asset("x", source="{partition}.gpkg", crs="EPSG:4326"), "together"),
        (lambda: vector_layer_asset("x", source="x.csv", crs="EPSG:4326", invalid="no"), "keep"),
        (lambda: TileMatrixGrid("WebMercator", 3), "WebMercatorQuad"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused_when_it_is_loaded(declare, said):
    with pytest.raises(ConfigError) as caught:
        declare()
    assert said in str(caught.value)
    assert caught.value.got, "what was found is told"


PUBLIC = {
    raster_tiles_asset: (
        "name", "source", "grid", "scenes", "crs", "bands", "resampling", "categorical", "nodata",
        "compress", "aligned", "value_range", "min_valid_share", "value_change", "owners",
    ),
    vector_layer_asset: (
        "name", "source", "crs", "partitions", "row_change", "owners", "options",
    ),
    referential_integrity_check: (
        "asset", "column", "to", "key", "nulls", "partitions", "to_partitioned", "blocking",
    ),
    freshness_check: ("asset", "max_age", "partitions", "severity"),
    topology_report_asset: (
        "name", "layer", "key", "gap_width_m", "tolerance_m", "sliver_width_m", "geometry_types",
        "orientation", "network", "owners",
    ),
    Layer: (
        "name", "source", "crs", "source_crs", "layer", "encoding", "xy_columns", "key", "columns",
        "extra_columns", "geometry_types", "extent", "null_geometry", "invalid", "repair",
        "coverage", "required_accuracy_m",
    ),
    recipe_asset: (
        "key", "planner", "description", "kinds", "deps", "partitions", "owners", "heavy",
        "automation",
    ),
    assemble: ("parts", "settings"),
    SquareGrid: ("crs", "resolution", "cell_px", "origin"),
    TileMatrixGrid: ("id", "level", "cell_px"),
    values.Raster: ("data", "transform", "crs", "nodata"),
    model.Artifact: (
        "asset", "partition", "sequence", "version", "data_prefix", "objects", "properties",
        "run_id",
    ),
}  # fmt: skip
"""What users write in their own definitions. A change here is a change of the public interface:
it belongs into the changelog."""


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_what_users_call_has_the_parameters_that_they_know(thing):
    assert tuple(inspect.signature(thing).parameters) == PUBLIC[thing]
    assert inspect.getdoc(thing)


def test_the_s3_manager_has_the_field_names_of_dagster_aws():
    fields = set(io_manager.GeoS3IOManager.model_fields)
    assert {"s3_resource", "s3_bucket", "s3_prefix"} <= fields
