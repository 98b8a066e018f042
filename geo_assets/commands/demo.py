"""`geo-assets demo`."""

from __future__ import annotations

import click

from geo_assets.commands.shared import FAILED, PASSED, exits, guarded


@click.command(
    short_help="Build a small world, run everything on it, say what was found.",
    epilog=exits(
        _0="everything planted was found, and nothing else",
        _1="it was not, or a run failed",
        _2="the demo could not run",
    ),
)
@click.option("--seed", default=1, show_default=True, help="Another seed, another world.")
@click.option("--size-px", default=2048, show_default=True, help="Edge of the scenes in pixels.")
@click.option("--polygons", default=600, show_default=True, help="Number of districts.")
@click.option("--events", default=20_000, show_default=True, help="Events of each day.")
@guarded
def demo(seed: int, size_px: int, polygons: int, events: int) -> int:
    """Build a small world, run everything on it, and say what was found.

    Scenes, districts and events are made in GEO_ASSETS_SOURCE with defects planted in known
    places; the whole graph is materialized and checked; then what was found is compared with
    what was planted. A second run is quick: what is current already is left alone.
    """
    from geo_assets.commands.tour import tour

    passed = tour(seed=seed, size_px=size_px, polygons=polygons, events_per_day=events)
    return PASSED if passed else FAILED
