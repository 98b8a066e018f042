"""A wrong declaration is refused with what is wrong and what would be right."""

import pytest

from geo_assets.declarations import Layer, SceneSeries
from geo_assets.errors import ConfigError
from geo_assets.grids import SquareGrid
from geo_assets.policies import CoverageRepair, Repair

GRID = SquareGrid(crs="EPSG:32633", resolution=10.0, cell_px=512)
SERIES = {"name": "scene_tiles", "scenes": "scenes", "source": "scenes/{scene}.tif", "grid": GRID}
LAYER = {"name": "districts", "source": "layers/districts.gpkg", "crs": "EPSG:32633"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Scene Tiles"}, "lower-case"),
        ({"source": "scenes/*.tif"}, "Put {scene}"),
        ({"source": "scenes/{scene}_{band}.tif"}, "go together"),
        ({"bands": ("B1",)}, "go together"),
        ({"source": "scenes/{scene}_{date}.tif"}, "knows {band}, {scene}"),
        ({"source": "scenes/{scene.tif"}, "pattern"),
        ({"resampling": "best"}, "resampling is one of nearest"),
        ({"compress": "jpeg"}, "compress is one of"),
        ({"crs": "EPSG:99999"}, "CRS that PROJ knows"),
        ({"categorical": True, "resampling": "cubic"}, "nearest or mode"),
    ],
)
def test_wrong_scene_series(change, message):
    with pytest.raises(ConfigError) as caught:
        SceneSeries(**(SERIES | change))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crs": "nowhere"}, "CRS that PROJ knows"),
        ({"source": "{scene}.gpkg"}, "knows {partition}"),
        ({"invalid": "ignore"}, "keep, quarantine, repair"),
        ({"geometry_types": ("Polygons",)}, "geometry_types is one of"),
        ({"key": "id", "columns": {"name": "string"}}, "one of the declared columns"),
        ({"required_accuracy_m": -1.0}, "positive number of metres"),
        ({"extent": (18.0, 48.0, 12.0, 52.0)}, "west, south, east, north"),
        ({"repair": Repair(precision=0.01)}, "Add invalid='repair'"),
        ({"coverage": CoverageRepair(width_m=3.0)}, "Only polygons form a coverage"),
        (
            {"coverage": CoverageRepair(width_m=3.0), "geometry_types": ("Polygon", "Point")},
            "Declare geometry_types=('Polygon', 'MultiPolygon')",
        ),
    ],
)
def test_wrong_layer(change, message):
    with pytest.raises(ConfigError) as caught:
        Layer(**(LAYER | change))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width_m": 1, "strategy": "coin"}, "strategy is one of longest_border"),
        ({"width_m": -1}, "positive number of metres"),
        ({"width_m": float("inf")}, "positive number of metres"),
        ({"width_m": 1, "tolerance_m": 2}, "at least tolerance_m"),
    ],
)
def test_wrong_coverage_repair(options, message):
    with pytest.raises(ConfigError) as caught:
        CoverageRepair(**options)
    assert message in str(caught.value)


def test_a_coverage_is_refused_where_geos_cannot_clean_it(monkeypatch):
    import shapely

    polygons = LAYER | {"geometry_types": ("Polygon",)}
    declared = Layer(**polygons, coverage=CoverageRepair(width_m=3.0))
    assert declared.config() != Layer(**polygons).config()
    assert declared.config() != Layer(**polygons, coverage=CoverageRepair(width_m=2.0)).config()
    monkeypatch.setattr(shapely, "geos_version", (3, 13, 1))
    monkeypatch.setattr(shapely, "geos_version_string", "3.13.1")
    with pytest.raises(ConfigError) as caught:
        Layer(**polygons, coverage=CoverageRepair(width_m=3.0))
    assert "coverage_clean of GEOS 3.14" in str(caught.value)
    assert "3.13.1" in caught.value.got


def test_classes_are_never_interpolated():
    assert SceneSeries(**SERIES).effective_resampling == "bilinear"
    assert SceneSeries(**SERIES, categorical=True).effective_resampling == "nearest"
    by_mode = SceneSeries(**SERIES, categorical=True, resampling="mode")
    assert by_mode.effective_resampling == "mode"


def test_the_name_does_not_change_the_configuration():
    assert SceneSeries(**SERIES).config() == SceneSeries(**(SERIES | {"name": "other"})).config()
    assert SceneSeries(**SERIES).config() != SceneSeries(**SERIES, nodata=0).config()
    assert Layer(**LAYER).config() != Layer(**LAYER, invalid="repair").config()
