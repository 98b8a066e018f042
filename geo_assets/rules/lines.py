"""Rules of a line network: lines delivered twice, ends that meet nothing or nearly something."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray

from geo_assets.rules.duplicates import without_duplicates
from geo_assets.rules.found import Found, Geometries, Metric, Rows
from geo_assets.rules.topology import NetworkRules


def network_defects(
    lines: Geometries, rows: Rows, owned: NDArray[np.bool_], rules: NetworkRules, metric: Metric
) -> Iterator[Found]:
    """Findings about the owned lines: `duplicate`, `unconnected_end` and `dangle`.

    A line that repeats an earlier one is a duplicate, and is left out of all else.

    An end is connected when it touches another line, or the rest of its own. An end that touches
    nothing but lies within the snapping distance of another line (short of it or past a crossing)
    is unconnected; its size is the distance. The size of a dangle is its line's length.

    Args:
        lines: Shape (n,): LineStrings and MultiLineStrings, in ascending order of `rows`.
        rows: Their positions in the layer.
        owned: Which of them are reported on; the others are context.
        rules: What is declared.
        metric: Metres in the layer's CRS.
    """
    found, keep = without_duplicates(
        lines, rows, owned, metric.small_units(rules.tolerance_m), metric
    )
    yield from found
    lines, rows, owned = lines[keep], rows[keep], owned[keep]
    parts, index = shapely.get_parts(lines, return_index=True)
    ends, part = _ends(parts, owned[index])
    if not len(ends):
        return
    connected = np.zeros(len(ends), np.bool_)
    tree = shapely.STRtree(parts)
    reach = metric.units(rules.snap_m)
    end, other = tree.query(ends, predicate="dwithin", distance=reach)
    strange = part[end] != other
    end, other = end[strange], other[strange]
    gap = _distances(ends[end], parts[other], metric)
    connected[end[gap <= rules.tolerance_m]] = True
    asked = np.flatnonzero(~connected)
    touch = metric.small_units(rules.tolerance_m)
    connected[asked] = _closed_on_itself(parts, ends, part, asked, touch)
    near = gap <= rules.snap_m
    end, other, gap = end[near], other[near], gap[near]
    order = np.lexsort((index[other], gap, end))
    end, first = np.unique(end[order], return_index=True)
    nearest = dict(zip(end, order[first], strict=True))
    for at in np.flatnonzero(~connected):
        own = int(rows[index[part[at]]])
        if at in nearest:
            which = nearest[at]
            pair = tuple(sorted({own, int(rows[index[other[which]]])}))
            yield Found(kind="unconnected_end", rows=pair, geometry=ends[at],
                        size_m=float(gap[which]),
                        detail=f"The end misses another line by {gap[which]:.3g} m.")  # fmt: skip
        elif rules.dangles:
            length = shapely.length(metric.metres(parts[part[at] : part[at] + 1]))[0]
            yield Found(kind="dangle", rows=(own,), geometry=ends[at], size_m=float(length),
                        detail="The end touches no other line.")  # fmt: skip


def _ends(parts: Geometries, owned: NDArray[np.bool_]) -> tuple[Geometries, NDArray[np.int64]]:
    """First and last points of the owned lines that are not rings."""
    open_ = np.flatnonzero(owned & ~shapely.is_closed(parts) & ~shapely.is_empty(parts))
    ends = np.concatenate([shapely.get_point(parts[open_], 0), shapely.get_point(parts[open_], -1)])
    return shapely.force_2d(ends), np.concatenate([open_, open_])


def _closed_on_itself(
    parts: Geometries,
    ends: Geometries,
    part: NDArray[np.int64],
    asked: NDArray[np.int64],
    tolerance: float,
) -> NDArray[np.bool_]:
    """Which of the asked ends touch another segment of their own line, as a balloon's neck does."""
    touching = np.zeros(len(asked), np.bool_)
    for number, at in enumerate(asked):
        xy = shapely.get_coordinates(parts[part[at]])
        rest = xy[1:] if at < len(part) // 2 else xy[:-1]  # without the segment that ends here
        if len(rest) > 1:
            touching[number] = shapely.distance(ends[at], shapely.linestrings(rest)) <= tolerance
    return touching


def _distances(ends: Geometries, lines: Geometries, metric: Metric) -> NDArray[np.float64]:
    """Metres from ends to lines."""
    if not len(ends):
        return np.empty(0)
    shortest = shapely.shortest_line(ends, lines)
    measured: NDArray[np.float64] = shapely.length(metric.metres(shortest))
    return measured
