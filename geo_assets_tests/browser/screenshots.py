"""The pictures of the README, taken from the demo.

`make demo`, `make dev`, and then with the extra `browser` installed:
`python -m geo_assets_tests.browser.screenshots docs/images http://localhost:3000`
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from geo_assets_tests.browser.conftest import launched
from geo_assets_tests.browser.interface import Interface

COLOURS = 128
_A_GAP = """() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const layer = read("page").layers.find(layer => layer.kind === "defects");
  const gap = read(layer.id).marks.features.find(mark => mark.properties.kind === "gap");
  const at = geoAssetsMap.project(gap.geometry.coordinates);
  return [at.x, at.y];
}"""
SCENE = "2026-06-01"


class Camera:
    """Takes pictures of one page and keeps them small."""

    def __init__(self, page: Any, folder: Path) -> None:
        self.page = page
        self._folder = folder

    def take(
        self, name: str, *, box: tuple[int, int, int, int] | None = None, width: int = 0
    ) -> None:
        """Write `<name>.png` in a palette of its own.

        Args:
            name: The file, without its ending.
            box: Left, top, right and bottom in pixels of the page; None takes all of it.
            width: Pixels across to shrink it to; 0 keeps its size.
        """
        self.page.mouse.move(2, 2)
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(2500)  # what moves comes to rest
        image = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB").crop(box)
        if width:
            image = image.resize((width, round(image.height * width / image.width)))
        path = self._folder / f"{name}.png"
        image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        sys.stdout.write(f"{path} {image.size} {path.stat().st_size}\n")


def graph(interface: Interface, camera: Camera) -> None:
    """All assets, with the groups open."""
    page = camera.page
    page.set_viewport_size({"width": 2000, "height": 1250})
    interface.open("/asset-groups")
    page.get_by_text("Hide navigation").click()
    page.get_by_role("button", name="Materialize").wait_for()
    page.mouse.click(1000, 900, button="right")
    page.get_by_text("Expand all groups").last.click()
    page.get_by_text("zonal_statistics").first.wait_for()
    page.get_by_text("100% filled").first.wait_for()
    canvas = page.locator("svg").filter(has=page.locator("path")).last.bounding_box()
    sys.stdout.write(f"{canvas}\n")
    camera.take("graph", box=(372, 112, 1930, 1250), width=1200)
    page.set_viewport_size({"width": 1280, "height": 800})


def event(interface: Interface, camera: Camera, asset: str, partition: str | None) -> None:
    """The newest event of an asset, and each of its large pictures."""
    interface.open_asset(asset, "events")
    if partition:
        camera.page.get_by_text(partition, exact=True).first.click()
    camera.page.locator("table img").first.wait_for()
    name = asset.rsplit("/", 1)[1]
    camera.take(name)
    for link in camera.page.get_by_text("[Show Markdown]", exact=True).all():
        link.click()
        dialog = camera.page.get_by_role("dialog")
        dialog.locator("img").first.wait_for()
        title = re.sub(r"\W+", "_", dialog.inner_text().split("\n")[0]).lower()
        edges = dialog.bounding_box()
        camera.take(f"{name}_{title}", box=(
            int(edges["x"]), int(edges["y"]), int(edges["x"] + edges["width"]),
            int(edges["y"] + edges["height"]),
        ))  # fmt: skip
        dialog.get_by_role("button", name="Close").click()
        dialog.wait_for(state="hidden")


def checks(interface: Interface, camera: Camera) -> None:
    """The gaps that the report has found, located."""
    interface.open_asset("out/topology_report", "checks")
    interface.wait_for_check("gaps", "Failed")
    camera.page.get_by_text("gaps", exact=True).first.click()
    camera.page.get_by_text("Show schema").first.wait_for()
    camera.take("checks")


def map_page(interface: Interface, camera: Camera) -> None:
    """The map of one scene, from the file that its event names."""
    interface.open_asset("out/map", "events")
    camera.page.get_by_text(SCENE, exact=True).first.click()
    address = camera.page.get_by_text(re.compile(r"/index\.html$")).first.inner_text()
    camera.page.set_viewport_size({"width": 1024, "height": 640})
    camera.page.goto(f"file://{address}")
    camera.page.locator("body[data-ready=yes]").wait_for()
    camera.page.mouse.click(*camera.page.evaluate(_A_GAP))
    camera.page.locator(".popup").wait_for()
    camera.take("map")


def main(folder: str, url: str) -> None:
    """Take all of them."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        interface, camera = Interface(page, url), Camera(page, Path(folder))
        graph(interface, camera)
        event(interface, camera, "raw/scenes", SCENE)
        event(interface, camera, "core/scene_tiles", SCENE)
        event(interface, camera, "core/districts", None)
        event(interface, camera, "out/topology_report", None)
        event(interface, camera, "out/events_by_zone", SCENE)
        checks(interface, camera)
        map_page(interface, camera)


if __name__ == "__main__":
    main(*sys.argv[1:])
