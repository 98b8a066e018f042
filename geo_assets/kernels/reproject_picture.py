"""A layer before and after its reprojection, with the datum shift as arrows."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from geo_assets.kernels.datum_shift import Places, Shift, geographic
from geo_assets.kernels.reproject import Operation, Reprojection
from geo_assets.kernels.svg_map import INK, RED, Frame, svg_document
from geo_assets.model import OutputFile
from geo_assets.rules.crs import crs_name

PICTURE = "reprojection.svg"
_SIDE, _TOP, _GAP = 236, 20, 8
_DOTS = 250
"""Places that are drawn in a panel, at most."""
_ARROWS = 5
"""Arrows along each side of the picture, at most."""
_ARROW_PX = 28.0
_LINES, _POINTS = 4, 16
_STEPS = (1.0, 2.0, 5.0, 10.0)


def draw_reprojection(plan: Reprojection, shift: Shift, folder: Path) -> OutputFile:
    """Draw `reprojection.svg`, at most 16 KiB, with the numbers in its alternative text.

    Left the places as delivered, right as they are now, each in its own CRS over lines of equal
    longitude and latitude. Arrows show where the datum shift (see `datum_shift`) moves places:
    their directions are true, their lengths relative to the largest.
    """
    alt = _alt(plan, shift)
    body = _panel(0, crs_name(plan.source), _places(shift.source, plan, before=True))
    right = _places(shift.target, plan, before=False) + _arrows(shift)
    body += _panel(_SIDE + _GAP, crs_name(plan.target), right)
    body += _text(0, _TOP + _SIDE + 16, _caption(plan.operation, shift))
    path = folder / PICTURE
    svg = svg_document(2 * _SIDE + _GAP, _TOP + _SIDE + 24, alt, body)
    path.write_text(svg, encoding="utf-8")
    facts = {"alt": alt, "title": "reprojection"}
    return OutputFile.of(path, PICTURE, "image/svg+xml", roles=("overview",), facts=facts)


def _frame(places: Places) -> Frame:
    low, high = places.min(axis=0), places.max(axis=0)
    bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return Frame(bounds=bounds, width=_SIDE, height=_SIDE)


def _places(places: Places, plan: Reprojection, *, before: bool) -> str:
    frame = _frame(places)
    shown = np.rint(frame.pixels(places[:: -(-len(places) // _DOTS)])).astype(int)
    dots = "".join(f"M{x} {y}h0" for x, y in np.unique(shown, axis=0))
    look = f'stroke="{INK}" stroke-width="3.5" stroke-linecap="round" opacity=".8"'
    return _graticule(places, plan, frame, before=before) + f'<path d="{dots}" {look}/>'


def _panel(x: int, name: str, content: str) -> str:
    look = f'width="{_SIDE}" height="{_SIDE}" fill="none" stroke="{INK}"'
    short = name if len(name) <= 34 else name[:33] + "…"
    return (
        f'{_text(x, 13, short)}<svg x="{x}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}">'
        f"{content}<rect {look}/></svg>"
    )


def _text(x: int, y: int, words: str) -> str:
    look = f'font-family="sans-serif" font-size="12" fill="{INK}"'
    return f'<text x="{x}" y="{y}" {look}>{escape(words)}</text>'


def _graticule(places: Places, plan: Reprojection, frame: Frame, *, before: bool) -> str:
    """Lines of equal longitude and latitude; none where the CRS is nowhere on earth."""
    try:
        crs = geographic(plan.source if before else plan.target)
        lonlat = crs.degrees(places)
    except ProjError:
        return ""
    low, high = np.nanmin(lonlat, axis=0), np.nanmax(lonlat, axis=0)
    if not (np.isfinite([low, high]).all() and high[0] - low[0] <= 180):
        return ""
    lines = []
    for axis in (0, 1):
        step = _step(float(high[axis] - low[axis]))
        along = np.linspace(low[1 - axis], high[1 - axis], _POINTS)
        for value in np.arange(np.ceil(low[axis] / step), np.floor(high[axis] / step) + 1) * step:
            line = np.full((_POINTS, 2), value)
            line[:, 1 - axis] = along
            lines.append(_path(frame.pixels(crs.coordinates(line))))
    return f'<path d="{"".join(lines)}" fill="none" stroke="{INK}" stroke-width=".6"/>'


def _step(extent: float) -> float:
    """A round step in degrees that gives about `_LINES` lines."""
    wanted = max(extent, 1e-9) / _LINES
    size = 10.0 ** np.floor(np.log10(wanted))
    return float(next(size * step for step in _STEPS if size * step >= wanted * 0.999))


def _path(pixels: NDArray[np.float64]) -> str:
    finite = np.rint(pixels[np.isfinite(pixels).all(axis=1)]).astype(int)
    return "M" + "L".join(f"{x} {y}" for x, y in finite) if len(finite) > 1 else ""


def _arrows(shift: Shift) -> str:
    largest = shift.largest_m
    if largest is None or not shift.moves:
        return ""
    frame = _frame(shift.target)
    pixels = frame.pixels(shift.target)
    cells = np.floor(pixels / (_SIDE / _ARROWS)).clip(0, _ARROWS - 1)
    _, first = np.unique(cells, axis=0, return_index=True)
    marks = []
    for at in np.union1d(first, [np.nanargmax(shift.metres)]):
        step = (shift.target[at] - shift.unshifted[at]) * [1.0, -1.0]
        length = float(np.hypot(*step))
        if not length or not np.isfinite(shift.metres[at]):
            continue
        dx, dy = step / length * _ARROW_PX * shift.metres[at] / largest
        x, y = pixels[at]
        marks.append(f'<path d="M{x - dx:.0f} {y - dy:.0f}L{x:.0f} {y:.0f}" stroke="{RED}"/>'
                     f'<circle cx="{x:.0f}" cy="{y:.0f}" r="2.5" fill="{RED}"/>')  # fmt: skip
    return f'<g stroke-width="1.5">{"".join(marks)}</g>'


def _caption(operation: Operation, shift: Shift) -> str:
    """What is shown below the panels."""
    accuracy = operation.accuracy_m
    stated = "accuracy unknown" if accuracy is None else f"accuracy {accuracy:g} m"
    return f"{_size(shift)}; {stated}"


def _size(shift: Shift) -> str:
    largest = shift.largest_m
    if largest is None:
        return "datum shift unknown"
    if not shift.moves:
        return "no datum shift"
    median = float(np.nanmedian(shift.metres))
    return f"largest datum shift {_metres(largest)}, median {_metres(median)}"


def _metres(value: float) -> str:
    return f"{value:,.3g} m" if value < 100 else f"{value:,.0f} m"


def _alt(plan: Reprojection, shift: Shift) -> str:
    operation = plan.operation
    text = (f"{len(shift.metres):,} places before, in {crs_name(plan.source)}, and after, in "
            f"{crs_name(plan.target)}: {_size(shift)}")  # fmt: skip
    if shift.worst is not None and shift.moves:
        text += f" at {shift.worst[0]:.4f}, {shift.worst[1]:.4f}"
    accuracy = operation.accuracy_m
    text += "; accuracy unknown" if accuracy is None else f"; accuracy {accuracy:g} m"
    if operation.missing_grids:
        text += f"; better with the grid {operation.missing_grids[0]}"
    return text
