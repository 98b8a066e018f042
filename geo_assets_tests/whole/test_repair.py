"""A coverage with planted defects is repaired because its declaration says so, and only then."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest

from geo_assets.assets.topology_report import topology_report_asset
from geo_assets.assets.vector_layer import vector_layer_asset
from geo_assets.demo import build_world
from geo_assets.demo.defects import Defects
from geo_assets.policies import CoverageRepair
from geo_assets_tests.whole.project import LAYER, Project, failures, made, verdicts

DEFECTS = replace(Defects.none(), gap=2, overlap=2, bowtie=1)
REPAIRS = {"invalid": "repair", "coverage": CoverageRepair(width_m=3.0)}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source with 80 districts, among them two gaps, two overlaps and a bow-tie."""
    folder = tmp_path_factory.mktemp("broken")
    build_world(folder, size_px=512, dates=["2026-06-01"], polygons=80, events_per_day=1, days=1,
                defects=DEFECTS)  # fmt: skip
    return folder


def project(source: Path, folder: Path, **options: Any) -> Project:
    parts = [
        vector_layer_asset(
            "districts",
            source="layers/districts.gpkg",
            source_crs="EPSG:3035",
            crs="EPSG:32633",
            key="district_id",
            geometry_types=("Polygon", "MultiPolygon"),
            **options,
        ),
        topology_report_asset(layer="districts", key="district_id", gap_width_m=3.0),
    ]
    return Project(source=source, root=folder / "root", scratch=folder / "scratch", parts=parts)


def test_planted_defects_are_found_then_repaired_as_declared(broken, tmp_path, instance):
    as_is = project(broken, tmp_path / "as-is").run(instance, *LAYER)
    found = verdicts(as_is, "out", "topology_report")
    failed = {name for (name, _), passed in found.items() if not passed}
    assert {"gaps", "overlaps", "shapes"} <= failed
    assert not verdicts(as_is, "core", "districts")["geometry", None]

    whole = project(broken, tmp_path / "repaired", **REPAIRS)
    ran = whole.run(instance, *LAYER)
    assert ran.success, failures(ran)
    for key in (("core", "districts"), ("out", "topology_report")):
        assert all(verdicts(ran, *key).values()), verdicts(ran, *key)

    folder = whole.root / "core/districts/all"
    commit = json.loads((folder / "_commits/000000000001.json").read_text())
    data = next((folder / "data").iterdir())
    changes = gpd.read_parquet(data / "changes.parquet")
    planted = json.loads((broken / "truth.json").read_text())["districts"]["defects"]
    names = {name for kind in ("gap", "overlap") for pair in planted[kind] for name in pair}
    closed = changes[changes["how"] == "coverage"]
    assert set(closed["district_id"]) <= names
    assert len(closed) >= 4, "one of the two at each place"
    assert set(changes[changes["how"] == "make_valid"]["district_id"]) == set(planted["bowtie"])
    assert commit["assets"]["changes.parquet"]["roles"] == ["metadata"]
    shown = made(ran, "core", "districts")[None]
    assert shown["geo_assets/repaired_coverage"] == len(closed)
    assert shown["geo_assets/repaired_make_valid"] == 1
    assert shown["geo_assets/repaired_changed_m2"] == pytest.approx(
        changes["changed_m2"].sum(), abs=0.01
    )
    assert shown["geo_assets/repair_left_alone"] == 0
    assert f"{len(changes)} changes" in shown["changes"]
    assert len(gpd.read_parquet(data / "districts.parquet")) == shown["dagster/row_count"]


def test_a_coverage_that_does_not_fit_is_refused_with_the_budget(
    broken, tmp_path, instance, monkeypatch
):
    monkeypatch.setattr("geo_assets.kernels.layers._CLEAN_PER_BYTE", 1 << 20)
    ran = project(broken, tmp_path, **REPAIRS).run(instance, *LAYER)
    assert not ran.success
    said = failures(ran)["core__districts"]
    assert "memory budget of 2048 MiB" in said
    assert "GEO_ASSETS_MEMORY" in said
    assert not (tmp_path / "root/core/districts/all/_commits").exists()
