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
  const gap = read(layer.id).marks.features.findLast(mark => mark.properties.kind === "gap");
  const at = geoAssetsMap.project(gap.geometry.coordinates);
  return [at.x, at.y];
}"""
SCENE = "2026-06-01"


class Camera:
    """Takes pictures of one page and keeps them small."""

    def __init__(self, page: Any, folder: Path) -> None:
        self.page = page
        self._folder = folder

    def look(self, part: Any = None) -> Image.Image:
        """The page, or an element of it, once it is at rest."""
        self.page.mouse.move(2, 2)
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(2500)
        seen = (part or self.page).screenshot()
        return Image.open(io.BytesIO(seen)).convert("RGB")

    def keep(self, name: str, image: Image.Image) -> None:
        """Write `<name>.png` in a palette of its own."""
        path = self._folder / f"{name}.png"
        image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        sys.stdout.write(f"{path} {image.size} {path.stat().st_size}\n")


def graph(interface: Interface, camera: Camera) -> None:
    """All assets, with the groups open."""
    page = camera.page
    page.set_viewport_size({"width": 2000, "height": 1900})
    interface.open("/asset-groups")
    page.get_by_text("Hide navigation").click()
    page.get_by_role("button", name="Materialize").wait_for()
    page.get_by_text("raw", exact=True).last.wait_for()
    page.mouse.click(1000, 1700)
    page.keyboard.press("Alt+e")
    page.get_by_text("zonal_statistics").first.wait_for()
    page.get_by_text("100% filled").first.wait_for()
    camera.keep("graph", camera.look().crop((372, 112, 1930, 1900)).resize((779, 894)))
    page.set_viewport_size({"width": 1280, "height": 800})


def event(
    interface: Interface, camera: Camera, asset: str, partition: str | None
) -> dict[str, Image.Image]:
    """The newest event of an asset; its large pictures, by title."""
    interface.open_asset(asset, "events")
    if partition:
        camera.page.get_by_text(partition, exact=True).first.click()
    camera.page.locator("table img").first.wait_for()
    camera.keep(asset.replace("/", "_"), camera.look())
    pictures = {}
    for link in camera.page.get_by_text("[Show Markdown]", exact=True).all():
        link.click()
        dialog = camera.page.get_by_role("dialog")
        dialog.locator("img").first.wait_for()
        title = dialog.inner_text().split("\n")[0]
        pictures[title] = camera.look(dialog.locator("img"))
        camera.keep(f"{asset.replace('/', '_')}_{title.replace(' ', '_')}", pictures[title])
        dialog.get_by_role("button", name="Close").click()
        dialog.wait_for(state="hidden")
    return pictures


def montage(left: Image.Image, upper: Image.Image, lower: Image.Image) -> Image.Image:
    """Three pictures on white."""
    right = left.width + 20
    size = right + max(upper.width, lower.width), max(left.height, upper.height + lower.height + 20)
    whole = Image.new("RGB", size, "white")
    whole.paste(left, (0, (size[1] - left.height) // 2))
    whole.paste(upper, (right, 0))
    whole.paste(lower, (right, upper.height + 20))
    return whole


def checks(interface: Interface, camera: Camera) -> None:
    """The gaps that the report has found, located."""
    interface.open_asset("out/topology_report", "checks")
    interface.wait_for_check("gaps", "Failed")
    camera.page.get_by_text("gaps", exact=True).first.click()
    camera.page.get_by_text("Show schema").first.wait_for()
    camera.keep("checks", camera.look())


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
    camera.keep("map", camera.look())


def main(folder: str, url: str) -> None:
    """Take all of them."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        interface, camera = Interface(page, url), Camera(page, Path(folder))
        graph(interface, camera)
        for asset in ("raw/scenes", "core/scene_tiles", "out/events_by_zone"):
            event(interface, camera, asset, SCENE)
        layer = event(interface, camera, "core/districts", None)
        report = event(interface, camera, "out/topology_report", None)
        pictures = report["preview"], layer["reprojection"], report["timeline"]
        camera.keep("pictures", montage(*pictures))
        checks(interface, camera)
        map_page(interface, camera)


if __name__ == "__main__":
    main(*sys.argv[1:])
