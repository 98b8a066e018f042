"""The map opens from a disk, asks for nothing, draws, and tells what lies at a click."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from geo_assets.kernels.map_layer import MapLayerSpec, map_layer
from geo_assets.kernels.map_page import COLOURS, OUTLINE, RED, MapPageSpec, PageLayer, map_page
from geo_assets.kernels.map_raster import MapRasterSpec, map_raster

HOSTILE = "</script><script>document.title = 'owned'</script><b>bold</b>"


@pytest.fixture
def html(tmp_path: Path) -> Path:
    """A red scene, a parcel with a hostile name over it, and a defect."""
    scene = tmp_path / "scene.tif"
    with rasterio.open(scene, "w", driver="GTiff", width=64, height=64, count=3, dtype="uint8",
                       crs="EPSG:32633", transform=Affine(10, 0, 450_000, 0, -10, 5_550_640),
                       photometric="RGB") as file:  # fmt: skip
        file.write(np.stack([np.full((64, 64), value, np.uint8) for value in (200, 20, 20)]))
    parcel, defect = (shapely.box(450_100, 5_550_100, 450_400, 5_550_500),
                      shapely.box(450_500, 5_550_300, 450_502, 5_550_310))  # fmt: skip
    layers = []
    for name, shape, values in (
        ("parcels", parcel, {"name": [HOSTILE]}),
        ("defects", defect, {"kind": ["gap"], "size_m": [2.0]}),
    ):
        path = tmp_path / f"{name}.parquet"
        frame = geopandas.GeoDataFrame(values, geometry=[shape], crs="EPSG:32633")
        frame.to_parquet(path, write_covering_bbox=True, schema_version="1.1.0")
        layers.append(path)

    def made(kernel, spec, name):
        folder = tmp_path / name
        folder.mkdir()
        return kernel(spec, folder)

    raster = made(map_raster, MapRasterSpec(files=(scene,)), "raster")
    parcels = made(map_layer, MapLayerSpec(paths=(layers[0],)), "one")
    found = made(map_layer, MapLayerSpec(paths=(layers[1],), marks=True), "two")
    shown = [
        PageLayer(title=title, kind=kind, file=drawn.files[0].path, facts=drawn.facts, colour=hue)
        for title, kind, drawn, hue in (
            ("scene", "raster", raster, OUTLINE),
            ("parcels", "layer", parcels, COLOURS[0]),
            ("defects", "defects", found, RED),
        )
    ]
    spec = MapPageSpec(title="a <map>", layers=tuple(shown), attribution="Nobody's <b>data</b>")
    first, second = made(map_page, spec, "page"), made(map_page, spec, "again")
    assert first.files[0].sha256 == second.files[0].sha256
    return first.files[0].path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # a screenshot
def test_map_draws_without_network_and_tells_what_lies_at_a_click(page, html: Path, tmp_path: Path):
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(html.as_uri())
    page.locator("body[data-ready=yes]").wait_for(timeout=30_000)

    assert not [url for url in requests if not url.startswith(("file:", "blob:", "data:"))]
    assert not errors
    assert page.title() == "a <map>"

    picture = tmp_path / "map.png"
    page.locator("canvas").screenshot(path=picture)
    x, y = _pixel(page, 14.307145, 50.101537)  # inside the scene, off the parcel
    with rasterio.open(picture) as drawn:
        red, green, _ = drawn.read()[:3, int(y), int(x)]
    assert red > 150, "the scene is red"
    assert green < 80

    x, y = _pixel(page, *_middle(page, "layer-1"))
    page.mouse.click(x, y)
    assert HOSTILE in page.locator(".popup").inner_text()

    page.locator(".maplibregl-popup-close-button").click()
    x, y = _pixel(page, *_middle(page, "layer-2"))
    page.mouse.click(x, y)
    told = page.locator(".popup").inner_text()
    assert "gap" in told
    assert "size_m" in told

    page.locator(".maplibregl-popup-close-button").click()
    page.get_by_label("defects").uncheck()
    page.wait_for_timeout(300)
    page.mouse.click(x, y)
    assert page.locator(".popup").count() == 0


def _middle(page, layer: str) -> tuple[float, float]:
    text = page.locator(f"#{layer}").text_content()
    shape = shapely.from_geojson(json.dumps(json.loads(text)["shapes"]))
    return shape.centroid.x, shape.centroid.y


def _pixel(page, lon: float, lat: float) -> tuple[float, float]:
    place = page.evaluate(
        "([lon, lat]) => { const at = geoAssetsMap.project([lon, lat]); return [at.x, at.y]; }",
        [lon, lat],
    )
    return place[0], place[1]
