"""How the values of a raster's bands are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geo_assets.pictures.svg import BLUE, GREEN, LIMIT, TEXT, document, inline, line

_WIDTH = 112
_HEIGHT = 40
_SHOWN = 3


def histogram_markdown(bands: Sequence[Mapping[str, Any]]) -> str:
    """The counts of at most three bands as a tiny picture, empty where there are none.

    Args:
        bands: Of each band `name`, `low` and `high` (its 2nd and 98th percentile, the ends of
            the picture) and `histogram`, counts of even steps between them.
    """
    shown = [band for band in bands[:_SHOWN] if band["low"] is not None and any(band["histogram"])]
    if not shown:
        return ""
    hues = (LIMIT, GREEN, BLUE) if len(bands) >= _SHOWN else (BLUE, GREEN)
    body = "".join(_steps(band["histogram"], hue) for band, hue in zip(shown, hues, strict=False))
    body += line(0, _HEIGHT + 0.5, _WIDTH, _HEIGHT + 0.5, TEXT)
    alt = "; ".join(f"{b['name']} {b['low']:.4g} to {b['high']:.4g}" for b in shown)
    return inline(document(_WIDTH, _HEIGHT + 1, "", f'<g fill="none">{body}</g>'), alt)


def _steps(counts: Sequence[int], hue: str) -> str:
    """A step line; the ends hold what lies beyond them and would hide the rest, so they are cut."""
    top = max(counts[1:-1], default=0) or max(counts)
    step = _WIDTH // len(counts)
    levels = [round(_HEIGHT * min(count, top) / top) for count in counts]
    data, level = f"M0 {_HEIGHT}", 0
    for value in levels:
        data += f"v{level - value}h{step}" if value != level else f"h{step}"
        level = value
    return f'<path d="{data}" stroke="{hue}"/>'
