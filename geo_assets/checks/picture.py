"""Defects on a small map, drawn from what a verdict holds: no data is read for it."""

from __future__ import annotations

import math

from geo_assets.model import Findings
from geo_assets.pictures.svg import inline

_WIDTH, _HEIGHT, _MARGIN = 120, 80, 8
_MOST = 9
"""Dots that fit: Dagster shows Markdown inline below 1,000 characters."""

# Red and grey that stand out on white and on black: pictures cannot know the page's theme.
_RED, _GREY = "#e5484d", "#888"


def defects_picture(findings: Findings) -> str:
    """The first defects that have a place, north up, as Markdown; empty if none has one.

    Its frame is the box of what is shown, so it tells whether defects lie together or in a row;
    where on earth they are the table says, and so do the words of the picture.
    """
    places = [
        (sample.lon, sample.lat)
        for sample in findings.samples
        if sample.lon is not None and sample.lat is not None
    ][:_MOST]
    if not places:
        return ""
    lons, lats = zip(*places, strict=True)
    # A degree of longitude is shorter than one of latitude everywhere but at the equator.
    squeeze = max(0.05, math.cos(math.radians(sum(lats) / len(lats))))
    across, up = (max(lons) - min(lons)) * squeeze, max(lats) - min(lats)
    inner = (_WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN)
    scale = min(inner[0] / max(across, 1e-9), inner[1] / max(up, 1e-9))
    middle = (max(lons) + min(lons)) / 2, (max(lats) + min(lats)) / 2
    dots = "".join(
        f'<circle cx="{_WIDTH / 2 + (lon - middle[0]) * squeeze * scale:.0f}" '
        f'cy="{_HEIGHT / 2 - (lat - middle[1]) * scale:.0f}" r="3"/>'
        for lon, lat in places
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="{_GREY}"/>'
        f'<g fill="{_RED}">{dots}</g></svg>'
    )
    return inline(svg, f"{len(places)} of {findings.total} near {lats[0]:.3f}, {lons[0]:.3f}")
