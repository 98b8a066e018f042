"""`python -m geo_assets.demo FOLDER`: build a world of any size."""

from __future__ import annotations

from pathlib import Path

import click

from geo_assets.demo import build
from geo_assets.demo.defects import Defects
from geo_assets.errors import GeoAssetsError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seed", default=1, show_default=True, help="Another seed, another world.")
@click.option("--size-px", default=build.SIZE_PX, show_default=True, help="Edge, in 10 m pixels.")
@click.option("--date", "dates", multiple=True, default=build.DATES, help="A scene; repeatable.")
@click.option("--polygons", default=build.POLYGONS, show_default=True, help="Districts.")
@click.option("--events-per-day", default=build.EVENTS_PER_DAY, show_default=True)
@click.option("--days", default=build.DAYS, show_default=True, help="Days with events.")
@click.option("--clean", is_flag=True, help="Plant no defects.")
def main(
    folder: Path,
    seed: int,
    size_px: int,
    dates: tuple[str, ...],
    polygons: int,
    events_per_day: int,
    days: int,
    *,
    clean: bool,
) -> None:
    """Build a demo world in FOLDER, or complete the one that is there."""
    try:
        report = build.build_world(
            folder,
            seed=seed,
            size_px=size_px,
            dates=dates,
            polygons=polygons,
            events_per_day=events_per_day,
            days=days,
            defects=Defects.none() if clean else Defects(),
        )
    except GeoAssetsError as error:
        raise click.ClickException(str(error)) from error
    for name in report.written:
        click.echo(f"wrote {name}")
    click.echo(
        f"{report.folder}: {len(report.written)} files written, {len(report.kept)} kept, "
        f"{report.size / 1e6:.1f} MB, {report.seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
