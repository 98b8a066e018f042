"""The command line: `geo-assets`."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="geo_assets")
def main() -> None:
    """Heavy GIS work as asynchronous Dagster assets."""


@main.command()
@click.option("--seed", default=1, show_default=True, help="Another seed, another world.")
@click.option("--size-px", default=2048, show_default=True, help="Edge of the scenes in pixels.")
@click.option("--polygons", default=600, show_default=True, help="Number of districts.")
@click.option("--events", default=20_000, show_default=True, help="Events of each day.")
def demo(seed: int, size_px: int, polygons: int, events: int) -> None:
    """Build a small world, run the whole graph on it, check it, and say what was found.

    A second run is quick and changes nothing that is current already.
    """
    from geo_assets.tour import tour

    passed = tour(seed=seed, size_px=size_px, polygons=polygons, events_per_day=events)
    raise SystemExit(0 if passed else 1)
