"""The cells of a grid, coloured by what became of them."""

from __future__ import annotations

from collections.abc import Mapping

from geo_assets.pictures.svg import GREEN, GREY, LIMIT, ORANGE, document

SVG_BYTES = 8 << 10
"""Bytes of the picture of a grid, at most."""

Bounds = tuple[float, float, float, float]

COVERAGE: Mapping[str, tuple[str, str]] = {
    "made": (GREEN, "made"),
    "resumed": ("#4a7fd6", "kept from an earlier run"),
    "empty": (GREY, "without data"),
    "failed": (LIMIT, "failed"),
}
"""State of a cell: its colour and its name in the text; where cells are drawn as one, the later
of `empty`, `resumed`, `made`, `failed` is seen."""

DIFFERENCE: Mapping[str, tuple[str, str]] = {
    "same": (GREY, "the same"),
    "changed": (ORANGE, "changed"),
    "new": (GREEN, "new"),
    "gone": (LIMIT, "gone"),
}
"""What became of a cell since the version before."""

_RANK = {
    state: rank
    for rank, state in enumerate(
        ("empty", "resumed", "made", "failed", "same", "new", "changed", "gone")
    )
}


def grid_picture(
    bounds: Mapping[str, Bounds],
    states: Mapping[str, str],
    title: str,
    looks: Mapping[str, tuple[str, str]] = COVERAGE,
) -> tuple[str, str]:
    """The cells of a grid as an SVG of at most 8 KiB, and the text for it with the numbers.

    Where cells are too many for that, several are drawn as one, in the state of the worst.

    Args:
        bounds: Left, bottom, right, top of each cell by its id, in the grid's CRS.
        states: A state of `looks` by cell id.
        title: What it shows.
        looks: Colour and name of each state.
    """
    counts = {state: sum(1 for value in states.values() if value == state) for state in looks}
    told = ", ".join(f"{n} {looks[state][1]}" for state, n in counts.items() if n)
    alt = f"{title}: {sum(counts.values())} cells, {told or 'none'}"
    places = _places(bounds, states)
    step = 1
    while len((svg := _svg(_merged(places, step), alt, looks)).encode()) > SVG_BYTES:
        step *= 2
    return svg, alt


def _places(bounds: Mapping[str, Bounds], states: Mapping[str, str]) -> dict[tuple[int, int], str]:
    """State by column and row from the upper left."""
    known = {name: bounds[name] for name in states if name in bounds}
    if not known:
        return {}
    left = min(box[0] for box in known.values())
    top = max(box[3] for box in known.values())
    places = {}
    for name, box in known.items():
        width, height = box[2] - box[0], box[3] - box[1]
        places[round((box[0] - left) / width), round((top - box[3]) / height)] = states[name]
    return places


def _merged(places: Mapping[tuple[int, int], str], step: int) -> dict[tuple[int, int], str]:
    merged: dict[tuple[int, int], str] = {}
    for (column, row), state in places.items():
        place = column // step, row // step
        merged[place] = max(merged.get(place, state), state, key=_RANK.__getitem__)
    return merged


def _svg(
    places: Mapping[tuple[int, int], str], alt: str, looks: Mapping[str, tuple[str, str]]
) -> str:
    """One path for each state, one square for each cell."""
    columns = 1 + max((column for column, _ in places), default=0)
    rows = 1 + max((row for _, row in places), default=0)
    unit = max(1, min(24, 384 // max(columns, rows)))
    gap = unit / 12 if unit > 3 else 0
    paths = []
    for state, (colour, _) in looks.items():
        here = sorted((row, column) for (column, row), value in places.items() if value == state)
        squares = "".join(
            f"M{column * unit} {row * unit}h{unit}v{unit}h-{unit}z" for row, column in here
        )
        if squares:
            paths.append(
                f'<path fill="{colour}" stroke="#8888" stroke-width="{gap:g}" d="{squares}"/>'
            )
    return document(columns * unit, rows * unit, alt, "".join(paths))
