"""A map as one HTML file: everything it shows is inside, and nothing is asked of any network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from geo_assets.errors import ContractError
from geo_assets.model import KernelResult, OutputFile, fingerprint

PAGE = "index.html"
HTML = "text/html"
COLOURS = ("#2f7fd1", "#2a9d8f", "#b06fd8", "#c98a1b", "#6b7f99", "#d1608f")
"""Of vector layers in turn; each is told from light and from dark ground."""
OUTLINE = "#8a8f98"
RED = "#e5484d"

_PLACE = re.compile("@@([A-Z_]+)@@")
_STATIC = ("map_page.html", "map_page.js", "maplibre-gl.js", "maplibre-gl.css")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLayer:
    """One layer of a map, drawn before: the first of a page lies at the bottom."""

    title: str
    kind: Literal["raster", "layer", "outline", "defects"]
    file: Path
    """A WebP for a raster, else what `map_layer` wrote."""
    facts: Mapping[str, Any]
    """What the kernel that drew it said: `bbox`, `note`, for a raster `corners`."""
    colour: str
    shown: bool = True
    """Whether it is switched on when the page opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPageSpec:
    """A map."""

    title: str
    layers: tuple[PageLayer, ...]
    attribution: str = ""
    """Whose data it is: plain text."""


def static_version() -> str:
    """A fingerprint of what every page is made with: template, code and library."""
    return fingerprint(*(_static(name) for name in _STATIC))


def map_page(spec: MapPageSpec, workdir: Path) -> KernelResult:
    """Write the map.

    The page opens from a disk, a bucket or a web server. Its security policy forbids every
    request. Attributes are shown as text, so a layer cannot bring code along.

    Returns:
        `index.html` with the role `map`. Facts: `layers`, their notes by title; `bbox`.

    Raises:
        ContractError: No layer has a place.
    """
    bounds = _bounds(spec)
    page = {
        "bounds": bounds,
        "attribution": escape(spec.attribution),
        "layers": [_described(number, layer) for number, layer in enumerate(spec.layers)],
    }
    parts = {
        "TITLE": escape(spec.title),
        "PAGE": _embedded(json.dumps(page)),
        "DATA": "\n".join(_data(spec)),
        "PAGE_JS": _static("map_page.js"),
        "MAPLIBRE_JS": _static("maplibre-gl.js"),
        "MAPLIBRE_CSS": _static("maplibre-gl.css"),
    }
    path = workdir / PAGE
    text = _PLACE.sub(lambda place: parts[place[1]], _static("map_page.html"))
    path.write_text(text, encoding="utf-8", newline="\n")
    facts = {
        "layers": {layer.title: layer.facts["note"] for layer in spec.layers},
        "bbox": bounds,
    }
    file = OutputFile.of(path, PAGE, HTML, roles=("data", "map"), facts={"title": spec.title})
    return KernelResult(files=(file,), facts=facts)


def predicted_page_bytes() -> int:
    """Memory the assembly needs: a few layers of some MB as text, twice."""
    return 128 << 20


def _bounds(spec: MapPageSpec) -> list[float]:
    """What is looked at first: the features, else the pixels. Tiles reach beyond their scene."""
    placed = [layer for layer in spec.layers if layer.facts["bbox"]]
    if not placed:
        raise ContractError("A map shows at least one feature or pixel", "none", spec.title)
    features = [layer for layer in placed if layer.kind in ("layer", "defects")]
    boxes = [layer.facts["bbox"] for layer in features or placed]
    return [*map(min, zip(*(box[:2] for box in boxes), strict=True)),
            *map(max, zip(*(box[2:] for box in boxes), strict=True))]  # fmt: skip


def _described(number: int, layer: PageLayer) -> dict[str, Any]:
    return {
        "id": f"layer-{number}",
        "title": layer.title,
        "kind": layer.kind,
        "colour": layer.colour,
        "note": layer.facts["note"],
        "shown": layer.shown,
        "corners": layer.facts.get("corners"),
        "counts": layer.facts.get("counts") if layer.kind == "defects" else None,
    }


def _data(spec: MapPageSpec) -> Iterator[str]:
    for number, layer in enumerate(spec.layers):
        if layer.kind == "raster":
            body = base64.b64encode(layer.file.read_bytes()).decode()
            kind, text = "text/plain", f"data:image/webp;base64,{body}"
        else:
            kind, text = "application/json", _embedded(layer.file.read_text(encoding="utf-8"))
        yield f'<script id="layer-{number}" type="{kind}">{text}</script>'


def _embedded(text: str) -> str:
    """JSON that cannot end the element it stands in."""
    return text.replace("<", "\\u003c")


@cache
def _static(name: str) -> str:
    return resources.files("geo_assets").joinpath("static", name).read_text(encoding="utf-8")
