"""Pictures of a scene's tiles: what became of each cell, and what is other than before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from geo_assets.model import COG, Artifact, Chunk, StoredObject
from geo_assets.pictures.grid import DIFFERENCE, Bounds, grid_picture
from geo_assets.pictures.svg import large
from geo_assets.store.artifact import ChunkReceipt

_MOST_TILES = 2000
"""Of a version that is shown again without being made: drawing more takes longer than looking."""


def coverage(chunks: Sequence[Chunk], receipts: Sequence[ChunkReceipt], title: str) -> str:
    """The grid as Markdown, coloured by what became of each cell in this run."""
    bounds = {cell.id: cell.bounds for chunk in chunks for cell in chunk.spec.cells}
    states: dict[str, str] = {}
    for receipt in receipts:
        made = "resumed" if receipt.resumed else "made"
        states |= {tile.facts["cell"]: made for tile in receipt.objects}
        states |= dict.fromkeys(receipt.facts["empty"], "empty")
    return large(*grid_picture(bounds, states, title))


def coverage_of(artifact: Artifact) -> str:
    """The grid of a version that is published already; cells without data are only counted."""
    tiles = _tiles(artifact.objects)
    if not 0 < len(tiles) <= _MOST_TILES:
        return ""
    svg, alt = grid_picture(_bounds(tiles), dict.fromkeys(tiles, "made"), artifact.label)
    return large(svg, f"{alt}, {artifact.properties.get('empty', 0)} without data")


def difference(before: Artifact, now: Iterable[StoredObject]) -> tuple[str, dict[str, int | float]]:
    """What is other than in the version before: a picture as Markdown, and numbers.

    Tiles are compared by their hashes: the same pixels give the same bytes, so nothing is read.
    """
    old, new = _tiles(before.objects), _tiles(now)
    states = dict.fromkeys(old.keys() - new.keys(), "gone")
    for cell, tile in new.items():
        kept = old.get(cell)
        states[cell] = "new" if kept is None else "same"
        if kept is not None and kept.sha256 != tile.sha256:
            states[cell] = "changed"
    counts = {state: sum(1 for value in states.values() if value == state) for state in DIFFERENCE}
    title = f"{before.label} against commit {before.sequence}"
    svg, alt = grid_picture(_bounds({**old, **new}), states, title, DIFFERENCE)
    other = len(states) - counts["same"]
    numbers: dict[str, int | float] = {
        "tiles_changed": counts["changed"],
        "tiles_new": counts["new"],
        "tiles_gone": counts["gone"],
        "tiles_changed_share": round(other / max(len(states), 1), 4),
    }
    return large(svg, alt), numbers


def _tiles(objects: Iterable[StoredObject]) -> dict[str, StoredObject]:
    """The tiles among the objects; a COG of another kind of asset lies on no cell."""
    tiles = [item for item in objects if item.media_type == COG and "cell" in item.facts]
    return {item.facts["cell"]: item for item in tiles}


def _bounds(tiles: Mapping[str, StoredObject]) -> dict[str, Bounds]:
    return {cell: tuple(tile.facts["bounds"]) for cell, tile in tiles.items()}
