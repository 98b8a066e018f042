"""Pieces of SVG in whole pixels and few bytes."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

INLINE_LIMIT = 999
"""Characters of Markdown that Dagster shows inline."""

LARGE_LIMIT = 32 << 10
"""Characters of Markdown of one picture behind a link."""

ALT_SHOWN = 60
"""Characters of alternative text beside an inline picture."""

TEXT = "#7d8590"
"""Letters and axes."""
LIMIT = "#e5484d"
"""A limit, and what is beyond it."""
BLUE = "#4c8dbf"
GREEN = "#2a9d8f"
ORANGE = "#d98e32"
VIOLET = "#9a7bd0"
GREY = "#9aa0a6"


def document(width: int, height: int, title: str, body: str) -> str:
    """A whole picture; the title is what is read aloud."""
    words = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f"{words}{body}</svg>"
    )


def bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    """A filled rectangle, at least a pixel wide."""
    size = f'width="{max(1.0, width):.1f}" height="{height:g}"'
    return f'<rect x="{x:.1f}" y="{y:g}" {size} fill="{colour}"/>'


def words(x: float, y: float, text: str, *, anchor: str = "start", colour: str = TEXT) -> str:
    """A line of text that begins, is centred or ends at `x`."""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:g}" y="{y:g}"{where} fill="{colour}">{escape(text)}</text>'


def lettered(body: str, size: int = 11) -> str:
    """A group whose texts have one size and the page's kind of letters."""
    return f'<g font-family="system-ui,sans-serif" font-size="{size}">{body}</g>'


def curve(values: Sequence[float], box: tuple[int, int, int, int], top: float, colour: str) -> str:
    """Values as a filled step line.

    Args:
        values: At even steps.
        box: Left, upper edge, width and height in pixels.
        top: The value at the upper edge.
        colour: Of the line; the ground below it is of the same colour, paler.
    """
    left, upper, width, height = box
    if not values:
        return ""
    step = width / len(values)
    down = [round(height - height * min(max(v, 0.0), top) / (top or 1)) for v in values]
    data, x, level = f"M{left} {upper + height}", 0, height
    for place, value in enumerate(down):
        here = round(place * step)
        if value != level:
            data += f"{f'h{here - x}' if here > x else ''}v{value - level}"
            x, level = here, value
    data += f"H{left + width}V{upper + height}"
    return f'<path d="{data}" fill="{colour}" fill-opacity=".3" stroke="{colour}"/>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    """A straight line."""
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{colour}"{dash}/>'


def markdown(body: bytes, media_type: str, alt: str) -> str:
    """A picture as Markdown with a data URI, which Dagster's UI renders."""
    data = base64.b64encode(body).decode()
    return f"![{alt.replace('[', '(').replace(']', ')')}](data:{media_type};base64,{data})"


def inline(svg: str, alt: str) -> str:
    """A tiny SVG as Markdown that Dagster shows inline, or nothing if it is too long for that."""
    short = alt if len(alt) <= ALT_SHOWN else alt[: ALT_SHOWN - 1] + "…"
    text = markdown(svg.encode(), "image/svg+xml", short)
    return text if len(text) <= INLINE_LIMIT else ""


def large(svg: str, alt: str) -> str:
    """An SVG as Markdown behind a link, or nothing if it would bloat the event log."""
    text = markdown(svg.encode(), "image/svg+xml", alt)
    return text if len(text) <= LARGE_LIMIT else ""
